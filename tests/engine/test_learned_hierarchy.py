"""Learning from end to end: namespaces teach by their own readings, several that agree tell the fleet, and no cycle
moves what is declared, assigned or lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.history.calibration import LESSON_SECONDS, restored
from mfu.engine.plan import WorkloadPlan
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.observe.readings import GPUKey, WorkloadSeries
from tests.builders.cases import NAMED, node
from tests.builders.scenes import NOW, pod, series, workload, written

LISTENER = "team-z"
HEALTHY = 0.43


def readings(view: WorkloadView, mfu: float, now: float) -> WorkloadSeries:
    """Of GPUs on the namespace's own node."""
    found = series(view, mfu, now=now)
    own = (
        replace(each, key=GPUKey(f"{view.namespace}-{each.key.uuid}"), node=view.namespace) for each in found.devices
    )
    return replace(found, devices=tuple(own))


def fleet(mfus: Mapping[str, float], now: float = NOW) -> Snapshot:
    """A job on eight GPUs of its own node in each namespace, running at that MFU."""
    views = tuple(workload(document=NAMED, namespace=name) for name in mfus)
    return Snapshot(
        views,
        tuple(replace(pod(namespace=name, node=name), uid=f"uid-{name}-w-0") for name in mfus),
        tuple(node(name) for name in mfus),
        namespaces={name: {} for name in mfus},
        series={view.key: readings(view, mfus[view.namespace], now) for view in views},
    )


def lived(mfus: Mapping[str, float], lessons: int) -> tuple[Snapshot, list[WorkloadPlan]]:
    """The fleet after so many lessons each, and the listener's plan of each cycle."""
    snapshot, told = fleet(mfus), []
    for lesson in range(lessons):
        now = NOW + LESSON_SECONDS * lesson
        plan = evaluate(replace(snapshot, series=fleet(mfus, now).series), now)
        snapshot = written(snapshot, plan)
        told += [each for each in plan.workloads if each.uid.startswith(f"uid-{LISTENER}")]
    return snapshot, told


def bases(plan: WorkloadPlan) -> dict[str, float]:
    return {str(each.basis): float(each.mfu or 0.0) for each in plan.status.read().expected}


TEACHERS: dict[str, tuple[dict[str, float], bool]] = {
    "one namespace": ({"team-a": HEALTHY}, False),
    "two namespaces": ({"team-a": HEALTHY, "team-b": HEALTHY}, False),
    "three that agree": ({"team-a": HEALTHY, "team-b": HEALTHY, "team-c": 1.03 * HEALTHY}, True),
    "three, one far from the others": ({"team-a": HEALTHY, "team-b": HEALTHY, "team-c": 1.3 * HEALTHY}, False),
    "four that agree": (dict.fromkeys(("team-a", "team-b", "team-c", "team-d"), HEALTHY), True),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_the_fleet_is_told_what_several_namespaces_agree_on(name: str) -> None:
    teachers, heard = TEACHERS[name]
    _, told = lived({**teachers, LISTENER: HEALTHY}, lessons=4)
    assert ("Learned" in bases(told[-1])) is heard
    assert "Learned" not in bases(told[0])


def test_every_namespace_teaches_under_its_own_name_alone() -> None:
    mfus = {**TEACHERS["three that agree"][0], LISTENER: HEALTHY}
    snapshot, _ = lived(mfus, lessons=3)
    assert {key.partition("/")[0] for key in snapshot.corrections.by_key} == set(mfus)
    assert len({key.partition("/")[2] for key in snapshot.corrections.by_key}) == 1


def test_what_is_learned_comes_near_what_the_others_run_at_and_moves_nothing_else() -> None:
    mfus = {**TEACHERS["four that agree"][0], LISTENER: 0.9 * HEALTHY}
    _, told = lived(mfus, lessons=8)
    first, last = told[0], told[-1]
    assert bases(last)["Learned"] == pytest.approx(HEALTHY, rel=0.04)
    assert bases(last)["Assigned"] == bases(first)["Assigned"]
    assert abs(bases(last)["Learned"] - HEALTHY) < abs(bases(last)["Assigned"] - HEALTHY)
    assert last.expected == first.expected
    assert last.lost_per_hour == pytest.approx(first.lost_per_hour)
    assert last.status.read().losses == first.status.read().losses


def test_a_restart_between_lessons_tells_the_same() -> None:
    mfus = {**TEACHERS["three that agree"][0], LISTENER: HEALTHY}
    snapshot, told = lived(mfus, lessons=5)
    assert snapshot.report is not None
    again = restored(snapshot.report.read().calibration)
    now = NOW + 6 * LESSON_SECONDS
    plan = evaluate(replace(fleet(mfus, now), corrections=again), now)
    (mine,) = (each for each in plan.workloads if each.uid.startswith(f"uid-{LISTENER}"))
    assert bases(mine)["Learned"] == pytest.approx(bases(told[-1])["Learned"], rel=0.01)
