"""Whose turn it is: news first, then the oldest answer; nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.engine.due import turn, waiting
from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import NO_STATUS, Assignment, PodView, WorkloadView
from mfu.hardware.problem import Problem, ProblemReason
from tests.engine.scenes import STEADY, pod, workload

SPEC = workload().spec
NOBODY = Assignment({}, {}, ())


def view(name: str) -> WorkloadView:
    return WorkloadView("team-a", name, f"uid-{name}", 1, 0.0, SPEC)


def judged(
    each: WorkloadView, at: float | None, pods: tuple[PodView, ...] = (), said: Problem | None = None
) -> WorkloadPlan:
    plan = WorkloadPlan(each.namespace, each.name, each.uid, NO_STATUS)
    return replace(plan, judged_at=at, judged=(each, pods, said))


def test_a_small_fleet_is_judged_whole() -> None:
    fleet = [view(name) for name in "abc"]
    assert turn(fleet, NOBODY, {}, most=3) == {each.uid for each in fleet}


def test_the_oldest_answers_first() -> None:
    fleet = [view(name) for name in "abcd"]
    before = {each.uid: judged(each, at) for each, at in zip(fleet, (40.0, 10.0, 30.0, 20.0), strict=True)}
    assert turn(fleet, NOBODY, before, most=2) == {"uid-b", "uid-d"}


A, B = view("a"), view("b")
PODS = (pod(),)
CLAIMED = Problem(ProblemReason.PODS_CLAIMED, "targetRef", "pod p is claimed", "let go of it")
NEWS: dict[str, tuple[WorkloadView, WorkloadPlan | None, Assignment]] = {
    "a new one": (A, None, NOBODY),
    "one that was never judged": (A, judged(A, None), NOBODY),
    "one that only was told": (A, replace(judged(A, 99.0), judged=None), NOBODY),
    "another generation": (replace(A, generation=2), judged(A, 99.0), NOBODY),
    "another reading of its spec": (replace(A, spec=SPEC.model_copy() if SPEC else None), judged(A, 99.0), NOBODY),
    "paused": (replace(A, paused=True), judged(A, 99.0), NOBODY),
    "other pods": (A, judged(A, 99.0), Assignment({A.key: PODS}, {}, ())),
    "pods gone": (A, judged(A, 99.0, PODS), NOBODY),
    "a conflict": (A, judged(A, 99.0), Assignment({}, {A.key: CLAIMED}, ())),
    "a conflict that is over": (A, judged(A, 99.0, said=CLAIMED), NOBODY),
}


@pytest.mark.parametrize("name", NEWS)
def test_news_goes_before_the_oldest_answer(name: str) -> None:
    changed, plan, claims = NEWS[name]
    before = {B.uid: judged(B, 1.0)} | ({changed.uid: plan} if plan else {})
    assert turn([B, changed], claims, before, most=1) == {changed.uid}
    assert waiting([B, changed], claims, before, 1.0) == 1


def test_no_news_waits_for_its_turn() -> None:
    claims = Assignment({A.key: PODS}, {}, ())
    before = {A.uid: judged(A, 99.0, PODS), B.uid: judged(B, 1.0)}
    assert turn([A, B], claims, before, most=1) == {B.uid}
    assert waiting([A, B], claims, before, 1.0) == 0
    assert waiting([A, B], claims, before, 99.0) == 1
    assert waiting([A, B], claims, before, inf) == 2


@STEADY
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 40))
def test_everybody_is_judged_within_so_many_rounds(count: int, most: int, news: int) -> None:
    fleet = [view(f"w{number:02d}") for number in range(count)]
    before: dict[str, WorkloadPlan] = {each.uid: judged(each, 0.0) for each in fleet[news:]}
    seen: set[str] = set()
    for moment in range(1, ceil(count / most) + 1):
        now = turn(fleet, NOBODY, before, most=most)
        assert len(now) == min(most, count)
        before |= {each.uid: judged(each, float(moment)) for each in fleet if each.uid in now}
        seen |= now
    assert len(seen) == count
    assert waiting(fleet, NOBODY, before, 1.0) == 0


@STEADY
@given(st.permutations([view(name) for name in "abcdef"]), st.integers(1, 5))
def test_the_order_of_workloads_is_nothing(fleet: list[WorkloadView], most: int) -> None:
    before = {each.uid: judged(each, float(ord(each.name) % 3)) for each in fleet}
    assert turn(fleet, NOBODY, before, most=most) == turn(
        sorted(fleet, key=lambda each: each.key), NOBODY, before, most=most
    )
