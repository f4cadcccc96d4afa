"""What is planted in a simulated fleet stands in its report: factors, full nodes that idle, and a family's own loss."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import pytest

from mfu.api.causes import Cause
from mfu.api.fleetreport import FleetStatus
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import FleetReadings, PodView, Snapshot, WorkloadView
from mfu.show.fleet import fleet_view
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.recordings import load as load_recordings
from mfu.sim.server import SimServer
from mfu.sim.truth import IDLE, Fault, Truth
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.store.recent import Store
from tests.builders.cases import node

pytestmark = pytest.mark.slow

SECONDS = 20
NODES = 10
HEALTHY = 0.47
LOST = load_recordings()["ddp-comm-pcie"].mfu / load_recordings()["ddp-healthy-nvlink"].mfu
SLOW = HEALTHY * (1 - 0.5 + 0.5 * LOST)
"""Half of what a link over PCIe was recorded to cost."""
LLAMA, QWEN = "llama-3.1-8b", "qwen2.5-7b"


def healthy(model: str, mfu: float = HEALTHY) -> Truth:
    return Truth(mfu, model=model, sequence_length=4096)


def bound(model: str) -> Truth:
    return Truth(SLOW, Fault.SLOW_LINK, 0.5, model=model, sequence_length=4096)


PLANTED: dict[str, Truth] = {
    "llama-a": healthy(LLAMA),
    "llama-b": healthy(LLAMA, 0.45),
    "llama-c": bound(LLAMA),
    "llama-d": healthy(LLAMA, 0.44),
    "qwen-a": bound(QWEN),
    "qwen-b": bound(QWEN),
    "qwen-c": bound(QWEN),
    "idle": IDLE,
}
"""Each holds one node whole; two nodes stay free."""


def spec_of(name: str, truth: Truth) -> WorkloadSpec:
    document: dict[str, Any] = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": truth.model or LLAMA},
        "accelerators": {"count": 8, "products": ["H100-SXM5"]},
        "training": {
            "sequenceLength": 4096,
            "globalBatchSize": 256,
            "microBatchSize": 2,
            "parallelism": {"data": 8},
            "sharding": "FSDP",
        },
        "runtime": {"engine": "torchtitan"},
        "progress": {"metric": "train_tokens_total", "port": 9400},
    }
    return WorkloadSpec.model_validate(document)


@cache
def report() -> FleetStatus:
    """The operator's own cycle over twenty seconds of the simulated exporters' text."""
    jobs = [Workload("team", name, truth, nodes=(f"n{at}",)) for at, (name, truth) in enumerate(PLANTED.items())]
    fleet = SimFleet(parse_nodes(f"H100-SXM5={NODES}"), seed=3)
    places = dict(zip((f"n{each}" for each in range(NODES)), fleet.nodes, strict=True))
    for job in jobs:
        for pod in Workload(job.namespace, job.name, job.truth, nodes=(places[job.nodes[0]],)).sim_pods():
            fleet.place(pod)
    clock = [1000.0]
    endpoint = SimServer(fleet, counters="full", clock=lambda: clock[0])
    adapter, store = DCGMFleet(1.0, 1.0), Store(interval_seconds=1.0)
    for second in range(SECONDS):
        clock[0] = now = 1000.0 + second
        bodies = {name: endpoint.node_text(name).encode() for name in fleet.nodes}
        found = adapter.round(bodies, now, nodes={name: name for name in fleet.nodes})
        store.add_round(found, now)
        for name, truth in PLANTED.items():
            with suppress(NotExposition):
                body = endpoint.pod_text(f"team/{name}-0").encode()
                if truth.mfu:
                    told = declared(body, ScrapedPod("team", f"{name}-0"), now, DeclaredProgress("train_tokens_total"))
                    store.add_progress([told])
    held = {places[job.nodes[0]] for job in jobs}
    snapshot = Snapshot(
        workloads=tuple(WorkloadView("team", name, name, 1, 0.0, spec_of(name, PLANTED[name])) for name in PLANTED),
        pods=tuple(
            PodView(
                "team",
                f"{job.name}-0",
                job.name,
                0.0,
                places[job.nodes[0]],
                "Running",
                {WORKLOAD_LABEL: job.name},
                (),
                {"nvidia.com/gpu": 8},
            )
            for job in jobs
        ),
        nodes=tuple(node(name, used=8 if name in held else 0) for name in fleet.nodes),
        fleet=FleetReadings(found.devices, found.values, found.observed_at),
        series={
            f"team/{name}": found_of for name in PLANTED if (found_of := store.series([("team", f"{name}-0")], now))
        },
    )
    return evaluate(snapshot, now).report.read()


def test_each_factor_is_within_two_points_of_the_truth() -> None:
    totals = report().totals
    assert totals is not None and totals.factors is not None
    working = [each.mfu for each in PLANTED.values() if each.mfu]
    program = sum(working) / len(working)
    assert float(totals.factors.scheduling or 0) == pytest.approx(len(PLANTED) / NODES, abs=0.02)
    assert float(totals.factors.runtime or 0) == pytest.approx(len(working) / len(PLANTED), abs=0.02)
    assert float(totals.factors.program or 0) == pytest.approx(program, abs=0.02)
    assert float(totals.mfu or 0) == pytest.approx(sum(working) / NODES, abs=0.02)


def test_a_full_node_that_does_nothing_is_named_and_no_other() -> None:
    (line,) = fleet_view(report()).held_for_nothing
    assert "all 8 GPUs are held, 0.0% of them make progress" in line


def test_a_loss_that_a_family_shares_is_its_own_and_one_jobs_is_not() -> None:
    families = {each.family: each for each in report().families}
    assert (families["qwen2.5"].structural, families["qwen2.5"].affected) == (Cause.COMMUNICATION, 3)
    assert families["llama-3.1"].structural is None
    (sentence,) = fleet_view(report()).structural
    assert sentence.startswith("qwen2.5: 3 of 3 workloads lose to Communication, ")
    assert float(families["qwen2.5"].observed or 0) == pytest.approx(SLOW, abs=0.02)


def test_power_is_added_up_where_it_is_read() -> None:
    power = report().power
    assert power is not None
    assert power.gpus == 8 * NODES
    assert 0 < float(power.idle_watts) < 0.3 * float(power.watts)
