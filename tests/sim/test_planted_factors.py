"""What is planted in single workloads stands in their three factors: what they hold, when they move, how well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.api.workload_status import WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.observe.readings import ProgressReading
from mfu.show.explanation import explanation
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import SimPod
from mfu.sim.progress import replant
from mfu.sim.truth import IDLE, Truth
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from tests.builders.cases import node
from tests.builders.exporters import Exporters

pytestmark = pytest.mark.slow

SECONDS, EVERY, PAUSE = 85, 20, 5
"""Of each twenty seconds a job that saves too often does nothing in the last five; the last begin with work."""
PAUSES = PAUSE * (SECONDS // EVERY)
TEAM, GPUS, START = "team", 8, 1000.0
WORKS = Truth(0.45, model="llama-3.1-8b", sequence_length=4096, total=False)
DEAD = replace(WORKS, mfu=0.0)


@dataclass(frozen=True, slots=True)
class Planted:
    """One workload: what each of its pods does, how many more wait, how many GPUs it declares, and what is true."""

    pods: tuple[Truth, ...]
    factors: tuple[float, float, float | None]
    waiting: int = 0
    pauses: bool = False


PLANTED = {
    "steady": Planted((WORKS,), (1.0, 1.0, 0.45)),
    "half-there": Planted((WORKS,), (0.5, 1.0, 0.45), waiting=1),
    "pausing": Planted((WORKS,), (1.0, 1 - PAUSES / SECONDS, 0.45), pauses=True),
    "half-dead": Planted((WORKS, DEAD), (1.0, 0.5, 0.45)),
    "all-at-once": Planted((WORKS, DEAD), (2 / 3, 0.5 * (1 - PAUSES / SECONDS), 0.45), waiting=1, pauses=True),
    "idle": Planted((IDLE,), (1.0, 0.0, None)),
}


def spec_of(name: str, planted: Planted) -> WorkloadSpec:
    count = GPUS * (len(planted.pods) + planted.waiting)
    document: dict[str, Any] = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": count, "products": ["H100-SXM5"]},
        "training": {
            "sequenceLength": 4096,
            "globalBatchSize": 32 * count,
            "microBatchSize": 2,
            "parallelism": {"data": count},
            "sharding": "FSDP",
        },
        "progress": {"metric": "train_tokens_total", "port": 9400, "scope": "PerRank"},
    }
    return WorkloadSpec.model_validate(document)


def sim_pods(nodes: list[str]) -> Iterator[SimPod]:
    for name, planted in PLANTED.items():
        for index, truth in enumerate(planted.pods):
            yield SimPod(TEAM, f"{name}-{index}", name, truth, GPUS, node=nodes.pop(0))


def judged() -> dict[str, WorkloadStatus]:
    return {each.name: each.status.read() for each in cycle().workloads}


@cache
def cycle() -> Plan:
    """The operator's own cycle over what the simulated exporters and trainers said each second."""
    fleet = SimFleet(parse_nodes("H100-SXM5=8"), seed=5)
    placed = list(sim_pods(list(fleet.nodes)))
    for each in placed:
        fleet.place(each)
    exporters = Exporters(fleet, 1.0, START)
    for second in range(SECONDS):
        pause(fleet, second, START + second)
        exporters.look(START + second, {(TEAM, each.name): read for each in placed})
    pods = (
        *(pod_view(each.name, each.owner, each.node) for each in placed),
        *(pod_view(f"{name}-late", name, None) for name, planted in PLANTED.items() if planted.waiting),
    )
    snapshot = Snapshot(
        workloads=tuple(
            WorkloadView(TEAM, name, name, 1, 0.0, spec_of(name, planted)) for name, planted in PLANTED.items()
        ),
        pods=pods,
        nodes=tuple(node(each, used=GPUS) for each in fleet.nodes),
        fleet=exporters.readings,
        series=exporters.series(
            {f"{TEAM}/{name}": [(TEAM, each.name) for each in placed if each.owner == name] for name in PLANTED}
        ),
    )
    return evaluate(snapshot, exporters.now)


def read(page: bytes, pod: ScrapedPod, now: float) -> ProgressReading:
    return declared(page, pod, now, DeclaredProgress("train_tokens_total", scope="PerRank"))


def pause(fleet: SimFleet, second: int, now: float) -> None:
    """Those that pause stop and go on; what is dead stays so."""
    turn = second % EVERY
    if turn not in (0, EVERY - PAUSE):
        return
    for name, planted in PLANTED.items():
        for index, truth in enumerate(planted.pods):
            if planted.pauses and truth.mfu:
                replant(fleet, f"{TEAM}/{name}-{index}", truth if turn == 0 else DEAD, now)


def pod_view(name: str, owner: str, on: str | None) -> PodView:
    phase = "Running" if on else "Pending"
    return PodView(TEAM, name, name, 0.0, on, phase, {WORKLOAD_LABEL: owner}, (), {"nvidia.com/gpu": GPUS})


@pytest.mark.parametrize("name", PLANTED)
def test_each_factor_is_within_two_points_of_the_truth(name: str) -> None:
    found, planted = judged()[name].factors, PLANTED[name].factors
    assert found is not None
    three = [None if each is None else float(each) for each in (found.scheduling, found.runtime, found.program)]
    assert three[:2] == pytest.approx(planted[:2], abs=0.02)
    if planted[2] is None:
        assert (three[2], found.mfu) == (None, None)
        return
    assert three[2] == pytest.approx(planted[2], abs=0.02)
    assert float(found.mfu or "nan") == pytest.approx(planted[0] * planted[1] * planted[2], abs=0.02)
    assert float(found.mfu or "nan") == pytest.approx((three[0] or 0) * (three[1] or 0) * (three[2] or 0), abs=0.0002)


def test_a_fleet_of_them_moves_as_long_as_they_do() -> None:
    """Eight full nodes of one namespace and product: each pod of each workload holds one."""
    moves = sum(len(each.pods) * each.factors[1] for each in PLANTED.values()) / sum(
        len(each.pods) for each in PLANTED.values()
    )
    report = cycle().report.read()
    for group in (report.totals, *report.products, *report.namespaces):
        assert group is not None
        assert group.factors is not None
        three = [
            float(each or "nan") for each in (group.factors.scheduling, group.factors.runtime, group.factors.program)
        ]
        assert three == pytest.approx([1.0, moves, 0.45], abs=0.02)
        assert float(group.mfu or "nan") == pytest.approx(three[0] * three[1] * three[2], abs=0.0002)


def test_they_stand_where_people_look() -> None:
    facts = {each.label: each.value for each in explanation(TEAM, "all-at-once", judged()["all-at-once"]).facts}
    assert facts["factors"].split(" = ")[1].startswith("66.7% held of what it asks for × 3")
    assert facts["factors"].endswith(" program efficiency")
    idle = {each.label: each.value for each in explanation(TEAM, "idle", judged()["idle"]).facts}
    assert idle["factors"].startswith(
        "reference MFU Unknown = 100.0% held of what it asks for × 0.0% of that making progress"
    )
