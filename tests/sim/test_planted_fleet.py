"""What is planted in a simulated fleet stands in its report: factors, full nodes that idle, and a family's own loss."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from mfu.api.causes import Cause
from mfu.api.fleetreport import Figures, FleetStatus
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.observe.readings import ProgressReading
from mfu.show.fleet import fleet_view
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.recordings import load as load_recordings
from mfu.sim.truth import IDLE, Fault, Truth
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from tests.builders.cases import node
from tests.builders.exporters import Exporters

pytestmark = pytest.mark.slow

SECONDS = 20
H100, H200 = "H100-SXM5", "H200-SXM"
NODES = {H100: 6, H200: 4}
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
"""Each holds one node whole: llamas and the idle one H100s, one of which stays free, qwens H200s, as well."""
LLAMAS = [truth.mfu for name, truth in PLANTED.items() if name.startswith(LLAMA[:5])]
QWENS = [truth.mfu for name, truth in PLANTED.items() if name.startswith(QWEN[:4])]
LABELS = {H100: "NVIDIA-H100-80GB-HBM3", H200: "NVIDIA-H200"}


def product_of(name: str) -> str:
    return H200 if name.startswith("qwen") else H100


def team_of(name: str) -> str:
    return "team-qwen" if name.startswith("qwen") else "team-llama"


def spec_of(name: str, truth: Truth) -> WorkloadSpec:
    document: dict[str, Any] = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": truth.model or LLAMA},
        "accelerators": {"count": 8, "products": [product_of(name)]},
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
    fleet = SimFleet(parse_nodes(",".join(f"{product}={count}" for product, count in NODES.items())), seed=3)
    free = {product: [each for each in fleet.nodes if each.startswith(product.lower())] for product in NODES}
    places = {name: free[product_of(name)].pop(0) for name in PLANTED}
    jobs = [Workload(team_of(name), name, truth, nodes=(places[name],)) for name, truth in PLANTED.items()]
    for job in jobs:
        for pod in job.sim_pods():
            fleet.place(pod)
    exporters = Exporters(fleet, 1.0, 1000.0)
    for second in range(SECONDS):
        exporters.look(1000.0 + second, {pod_of(name): read for name, truth in PLANTED.items() if truth.mfu})
    held = set(places.values())
    snapshot = Snapshot(
        workloads=tuple(
            WorkloadView(team_of(name), name, name, 1, 0.0, spec_of(name, PLANTED[name])) for name in PLANTED
        ),
        pods=tuple(
            PodView(
                job.namespace,
                f"{job.name}-0",
                job.name,
                0.0,
                places[job.name],
                "Running",
                {WORKLOAD_LABEL: job.name},
                (),
                {"nvidia.com/gpu": 8},
            )
            for job in jobs
        ),
        nodes=tuple(made(name, name in held) for name in fleet.nodes),
        fleet=exporters.readings,
        series=exporters.series({f"{team_of(name)}/{name}": [pod_of(name)] for name in PLANTED}),
    )
    return evaluate(snapshot, exporters.now).report.read()


def pod_of(name: str) -> tuple[str, str]:
    return team_of(name), f"{name}-0"


def read(page: bytes, pod: ScrapedPod, now: float) -> ProgressReading:
    return declared(page, pod, now, DeclaredProgress("train_tokens_total"))


def made(name: str, held: bool) -> NodeView:
    product = next(each for each in LABELS if name.startswith(each.lower()))
    return node(name, product=LABELS[product], used=8 if held else 0)


def near(found: Figures | None, scheduling: float, runtime: float, program: float) -> None:
    """Each factor, and what they multiply to, within two points of what was planted."""
    assert found is not None and found.factors is not None
    three = [float(each or "nan") for each in (found.factors.scheduling, found.factors.runtime, found.factors.program)]
    assert three == pytest.approx([scheduling, runtime, program], abs=0.02)
    assert float(found.mfu or "nan") == pytest.approx(scheduling * runtime * program, abs=0.02)
    assert float(found.mfu or "nan") == pytest.approx(three[0] * three[1] * three[2], abs=0.0002)


def test_each_factor_of_the_fleet_is_within_two_points_of_the_truth() -> None:
    working = [*filter(None, LLAMAS), *QWENS]
    near(report().totals, len(PLANTED) / 10, len(working) / len(PLANTED), sum(working) / len(working))


def test_and_so_is_each_factor_of_products_and_namespaces() -> None:
    llama, qwen = sum(LLAMAS) / len(LLAMAS), sum(QWENS) / len(QWENS)
    products = {each.product: each for each in report().products}
    near(products[H100], 5 / 6, 4 / 5, llama)
    near(products[H200], 3 / 4, 1.0, qwen)
    namespaces = {each.namespace: each for each in report().namespaces}
    near(namespaces["team-llama"], 1.0, 4 / 5, llama)
    near(namespaces["team-qwen"], 1.0, 1.0, qwen)


def test_and_of_each_node_and_workload() -> None:
    """A workload holds its node whole, so that its MFU is that of the node."""
    nodes = sorted(report().nodes, key=lambda each: each.node)
    planted = [truth.mfu for name, truth in sorted(PLANTED.items(), key=lambda each: product_of(each[0]))]
    expected = [*planted[:5], 0.0, *planted[5:], 0.0]
    assert [float(each.mfu or "nan") for each in nodes] == pytest.approx(expected, abs=0.02)
    for each, mfu in zip(nodes, expected, strict=True):
        if mfu:
            near(each, 1.0, 1.0, mfu)


def test_a_full_node_that_does_nothing_is_named_and_no_other() -> None:
    (line,) = fleet_view(report()).held_for_nothing
    assert "all 8 GPUs are held, 0.0% of their time makes progress" in line


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
    assert power.gpus == 8 * sum(NODES.values())
    assert 0 < float(power.idle_watts) < 0.3 * float(power.watts)
