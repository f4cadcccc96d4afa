"""A fleet judged in turns says what a fleet judged at once says; events are told once; a defect silences nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mfu.engine import judge as judging
from mfu.engine.claims import assign
from mfu.engine.due import Answers, turn
from mfu.engine.evaluate import SUM_SECONDS, evaluate
from mfu.engine.plan import Handover
from mfu.engine.saved import load
from mfu.engine.snapshot import Snapshot
from mfu.engine.views import NO_STATUS
from mfu.predict import declared

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"


@pytest.fixture(scope="module")
def moment() -> tuple[Snapshot, float]:
    return load(SAVED.read_text())


def test_judged_in_turns_they_say_the_same(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    whole = {each.key: each.status.document() for each in evaluate(snapshot, now).workloads}
    claims, before = assign(snapshot.workloads, snapshot.pods), Handover()
    for _ in range(len(snapshot.workloads) + 1):
        whose = turn(Answers.of(snapshot.workloads, claims, before.plans), most=1)
        assert len(whose) == 1
        plan = evaluate(replace(snapshot, claims=claims, before=before, turn=whose), now)
        before = plan.handover
    assert {each.key: each.status.document() for each in plan.workloads} == whole


def test_who_was_never_judged_is_left_as_it_is(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    for view, each in zip(
        snapshot.workloads, evaluate(replace(snapshot, turn=frozenset()), now).workloads, strict=True
    ):
        assert (each.status, each.annotations, each.events) == (view.status, view.annotations, ())


def test_what_runs_as_it_did_keeps_its_judgement_and_its_minutes(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    first = evaluate(snapshot, now)
    everyone = frozenset(view.uid for view in snapshot.workloads)
    looked = replace(snapshot, turn=frozenset(), steady=everyone, before=first.handover)
    again = evaluate(looked, now + 61.0)
    for old, new in zip(first.workloads, again.workloads, strict=True):
        assert (new.judged_at, new.whole_at) == (now + 61.0, now)
        assert new.status == old.status
        assert (new.events, new.lesson) == ((), None)
        for meter, kept in old.memory.long.items():
            assert len(new.memory.long[meter].bins) == len(kept.bins) + bool(len(kept.bins))


def test_under_another_policy_no_judgement_stands(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    first = evaluate(snapshot, now)
    plans = {
        uid: replace(each, policy=replace(each.policy, name="other")) for uid, each in first.handover.plans.items()
    }
    before = replace(first.handover, plans=plans)
    looked = replace(snapshot, turn=frozenset(), steady=frozenset(plans), before=before)
    assert all(each.judged_at == now and each.level is None for each in evaluate(looked, now + 30.0).workloads)


def test_a_fleet_in_turns_is_added_up_every_few_seconds(moment: tuple[Snapshot, float]) -> None:
    snapshot, now = moment
    first = evaluate(snapshot, now)
    gone = replace(snapshot, nodes=(), before=first.handover)
    soon, later = (evaluate(replace(gone, turn=frozenset()), now + wait) for wait in (1.0, SUM_SECONDS))
    assert (soon.figures, soon.summed) == (first.figures, first.summed)
    assert later.figures != first.figures
    assert evaluate(gone, now + 1.0).figures == later.figures, "all of it is judged: all of it is added up"
    back = evaluate(replace(gone, turn=frozenset()), now - 600.0)
    assert back.figures == later.figures, "a clock that went back holds nothing up"


def test_events_are_told_once(moment: tuple[Snapshot, float]) -> None:
    """Though the write of the status has not come back, or never will."""
    snapshot, now = moment
    first = snapshot.workloads[0]
    assert first.spec is not None
    odd = first.spec.accelerators.model_copy(update={"products": ("H1000",)})
    bad = replace(first, spec=first.spec.model_copy(update={"accelerators": odd}), status=NO_STATUS)
    scene = replace(snapshot, workloads=(bad,), pods=())
    plan = evaluate(scene, now)
    assert [each.reason for each in plan.workloads[0].events] == ["UnknownProduct"]
    again = evaluate(replace(scene, before=plan.handover), now + 1)
    assert again.workloads[0].events == ()
    waits = evaluate(replace(scene, before=plan.handover, turn=frozenset()), now + 1)
    assert waits.workloads[0].events == ()


def test_one_that_can_not_be_judged_silences_nobody(
    moment: tuple[Snapshot, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, now = moment
    good = {each.key: each.status.document() for each in evaluate(snapshot, now).workloads}
    real = declared.from_spec
    victim = snapshot.workloads[0].spec

    def fails(spec: object) -> object:
        if spec is victim:
            raise ZeroDivisionError("a defect")
        return real(spec)  # type: ignore[arg-type]

    monkeypatch.setattr(judging, "from_spec", fails)
    plan = evaluate(snapshot, now)
    broken, *others = plan.workloads
    assert broken.error == "ZeroDivisionError: a defect"
    ready = next(each for each in broken.status.document()["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InternalError")
    assert {each.key: each.status.document() for each in others} == {
        key: good[key] for key in good if key != broken.key
    }
