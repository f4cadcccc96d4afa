"""The saved example: it round-trips, replays to the same plan, and holds what the demo shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mfu.api.conditions import ConditionType
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import BadSnapshot, dump, load
from mfu.engine.snapshot import FleetReadings, Snapshot

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"


@pytest.fixture(scope="module")
def moment() -> tuple[Snapshot, float]:
    return load(SAVED.read_text())


def conditions(plan_status: object) -> dict[str, str]:
    return {each["type"]: each["status"] for each in plan_status["conditions"]}  # type: ignore[index]


def test_round_trip(moment: tuple[Snapshot, float]) -> None:
    text = dump(*moment)
    again = load(text)
    assert dump(*again) == text
    assert again[0].workloads == moment[0].workloads
    assert again[0].pods == moment[0].pods
    assert again[0].nodes == moment[0].nodes


def test_the_same_snapshot_gives_the_same_plan(moment: tuple[Snapshot, float]) -> None:
    one, other = evaluate(*moment), evaluate(*moment)
    assert [each.status for each in one.workloads] == [each.status for each in other.workloads]
    assert one.report == other.report


def test_what_the_demo_shows(moment: tuple[Snapshot, float]) -> None:
    causes = {each.name: each.status.document()["summary"]["cause"] for each in evaluate(*moment).workloads}
    assert causes.pop("faulty-training") == "Communication"
    # How near expected comes to what was planted moves with each fit; that nobody healthy is accused must not.
    assert set(causes.values()) <= {"None", "Unknown"}


def test_applying_the_plan_leaves_nothing_to_write(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    plan = evaluate(snapshot, now)
    said = {each.key: each for each in plan.workloads}
    applied = replace(
        snapshot,
        workloads=tuple(
            replace(view, status=said[view.key].status, annotations=said[view.key].annotations)
            for view in snapshot.workloads
        ),
    )
    for each in evaluate(applied, now + 1).workloads:
        assert each.status == said[each.key].status, each.key
        assert each.annotations == said[each.key].annotations
        assert each.events == ()


def test_without_telemetry_readings_turn_unknown_and_decisions_stay(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    said = {each.key: each for each in evaluate(snapshot, now).workloads}
    dark = replace(
        snapshot,
        series={},
        fleet=FleetReadings(),
        workloads=tuple(
            replace(view, status=said[view.key].status, annotations=said[view.key].annotations)
            for view in snapshot.workloads
        ),
    )
    for each in evaluate(dark, now + 3600).workloads:
        assert each.status.document()["summary"]["observed"] == "Unknown"
        assert each.status.document()["summary"]["cause"] == "Unknown"
        assert each.status.document()["summary"]["lostPerHour"] == "Unknown"
        assert "observed" not in each.status.document()
        assert conditions(each.status.document())[ConditionType.TELEMETRY_AVAILABLE] == "False"
        assert each.status.document()["decisions"] == said[each.key].status.document()["decisions"]
        assert each.annotations == said[each.key].annotations


def test_a_paused_workload_is_left_exactly_as_it_is(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    frozen = replace(snapshot, workloads=tuple(replace(view, paused=True) for view in snapshot.workloads))
    for view, each in zip(frozen.workloads, evaluate(frozen, now).workloads, strict=True):
        assert (each.status, each.annotations) == (view.status, view.annotations)
        assert [event.reason for event in each.events] == ["Paused"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("[]", "no snapshot of version"),
        ('{"version": 99}', "no snapshot of version"),
        ('{"version": 1}', "damaged"),
    ],
)
def test_what_is_no_snapshot(text: str, words: str) -> None:
    with pytest.raises(BadSnapshot, match=words):
        load(text)


def test_a_damaged_snapshot_says_so() -> None:
    document = json.loads(SAVED.read_text())
    document["pods"] = [{"nonsense": 1}]
    with pytest.raises(BadSnapshot, match="damaged"):
        load(json.dumps(document))
