"""Oversubscription in the cycle: a dry run that counts, by class, and goes on after a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.api.decisions import DecisionType
from mfu.api.fleetreport import ShadowClass, ShadowDay, ShadowFigures, ShadowRun
from mfu.api.mfupolicy import PolicySpec
from mfu.decide.fleet.oversubscription import HOUR
from mfu.decide.types import Decision
from mfu.engine.evaluate import evaluate
from mfu.engine.oversubscribing import DAY, SAMPLE_SECONDS, restored
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import PolicyView, Snapshot
from mfu.engine.text import moment
from mfu.show.fleet_groups import shadow_sentence
from tests.builders.cases import TRAINING, node
from tests.builders.scenes import NOW, pod, workload

SPEC = {"oversubscription": [{"priorityClass": "batch", "maxPercent": 150}]}
START = NOW // DAY * DAY


def week(used: float) -> tuple[ShadowDay, ...]:
    """The same at every hour of the last seven days and of this one."""
    days = [START - DAY * back for back in range(7, -1, -1)]
    return tuple(ShadowDay(day=moment(each)[:10], hours=" ".join([f"{used:g}"] * 24)) for each in days)


def figures(used: float = 0.0, **fields: Any) -> ShadowFigures:
    return ShadowFigures(updated_at=moment(NOW - SAMPLE_SECONDS), days=week(used), **fields)


def scene(said: ShadowFigures | None, *, spec: dict[str, Any] | None = None, priority_class: str = "batch") -> Snapshot:
    waits = replace(pod("w-0", "w", node=None, phase="Pending"), priority_class=priority_class)
    policy = PolicyView("p", "uid-p", 1, PolicySpec.model_validate(SPEC if spec is None else spec))
    made = Snapshot((workload("w", TRAINING),), (waits,), (node("n0"), node("n1")), (policy,), {"team-a": {}})
    report = evaluate(made, NOW).report.read().model_copy(update={"oversubscription": said})
    return replace(made, report=Packed.of(report))


def counted(plan: Plan) -> ShadowFigures:
    found = plan.report.read().oversubscription
    assert found is not None
    return found


def decision(plan: Plan) -> Decision | None:
    decided = plan.workloads[0].decisions
    return next((each for each in decided if each.type is DecisionType.OVERSUBSCRIPTION), None)


def test_what_waits_is_let_in_where_the_week_leaves_room_and_it_is_counted_by_class() -> None:
    plan = evaluate(scene(figures()), NOW)
    found = counted(plan)
    assert [(each.priority_class, each.admitted, each.exceeded) for each in found.classes] == [("batch", 1, 0)]
    assert [(each.workload, each.priority_class) for each in found.running] == [("team-a/w", "batch")]
    status = plan.workloads[0].status.read()
    said = next(each for each in status.decisions if each.type is DecisionType.OVERSUBSCRIPTION)
    assert (said.outcome, said.reason) == ("Admit", "RoomInUse")
    assert said.message.startswith("dry run: let in ") and said.message.endswith("nothing is admitted")
    assert not plan.releases and not plan.answers


def test_it_is_held_back_in_dry_run_words_where_the_week_leaves_none() -> None:
    plan = evaluate(scene(figures(used=12.0)), NOW)
    status = plan.workloads[0].status.read()
    said = next(each for each in status.decisions if each.type is DecisionType.OVERSUBSCRIPTION)
    assert (said.outcome, said.reason) == ("Hold", "NoRoomInUse")
    assert said.message.startswith("dry run: hold ") and "may be in use at worst" in said.message
    assert [each.admitted for each in counted(plan).classes] == [0]


@pytest.mark.parametrize(("spec", "name"), [({"currency": "$"}, "batch"), (SPEC, "urgent")])
def test_classes_that_no_policy_names_are_told_nothing(spec: dict[str, Any], name: str) -> None:
    plan = evaluate(scene(figures(), spec=spec, priority_class=name), NOW)
    assert decision(plan) is None


def test_the_next_operator_goes_on_where_this_one_was() -> None:
    first = evaluate(scene(figures()), NOW)
    told = counted(first)
    killed = replace(scene(told), before=Handover())
    again = evaluate(killed, NOW + SAMPLE_SECONDS)
    assert [(each.admitted, each.exceeded) for each in counted(again).classes] == [(1, 0)], "let in once"
    assert len(restored(counted(again)).hours) >= 24 * 7
    assert restored(told).running == restored(told.model_copy()).running


def test_a_figure_stands_for_five_minutes_and_applying_it_changes_nothing() -> None:
    told = counted(evaluate(scene(figures()), NOW))
    assert counted(evaluate(scene(told), NOW)) == told


def test_who_waits_no_more_leaves_the_shadow_and_stays_counted() -> None:
    gone = ShadowRun(
        workload="team-a/gone", priority_class="batch", gpus="4", since=moment(NOW - HOUR), until=moment(NOW + HOUR)
    )
    row = ShadowClass(priority_class="batch", admitted=3, exceeded=1, gpu_hours_gained="12.50")
    found = counted(evaluate(scene(figures(running=(gone,), classes=(row,))), NOW))
    assert [each.workload for each in found.running] == ["team-a/w"]
    assert found.classes[0].admitted == 4 and found.classes[0].gpu_hours_gained == "12.50"
    assert "4 requests let in (1 found no room later), 12 GPU-hours" in shadow_sentence(found.classes[0])
