"""Whose turn it is: news first, then the oldest answer; nobody waits for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.fleet.standing import Need, Standing
from mfu.engine import due
from mfu.engine.due import LOOK_SECONDS, WHOLE_SECONDS, Answers
from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import NO_STATUS, Assignment, PodView, WorkloadView
from mfu.hardware.problem import Problem, ProblemReason
from mfu.observe.steady import Level
from tests.builders.scenes import STEADY, pod, workload

SPEC = workload().spec
NOBODY = Assignment({}, {}, ())


def turn(
    fleet: Sequence[WorkloadView], claims: Assignment, before: Mapping[str, WorkloadPlan], **limits: Any
) -> frozenset[str]:
    return due.turn(Answers.of(fleet, claims, before), **limits)


def steady(
    fleet: Sequence[WorkloadView], claims: Assignment, before: Mapping[str, WorkloadPlan], now: float, **rest: Any
) -> frozenset[str]:
    return due.steady(Answers.of(fleet, claims, before), now, **rest)


def waiting(fleet: Sequence[WorkloadView], claims: Assignment, before: Mapping[str, WorkloadPlan], since: float) -> int:
    return due.waiting(Answers.of(fleet, claims, before), frozenset(), since)


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


def of(namespace: str, name: str) -> WorkloadView:
    return replace(view(name), namespace=namespace, uid=f"uid-{namespace}-{name}")


def test_a_namespace_that_always_has_news_does_not_take_the_turns_of_others() -> None:
    """300 workloads whose conflict wanders, one newcomer elsewhere: the newcomer is judged in the next cycle."""
    noisy = [of("noisy", f"w{row:03d}") for row in range(300)]
    newcomer = of("quiet", "new")
    assert newcomer.uid in turn([*noisy, newcomer], NOBODY, {}, most=10)


def test_news_without_end_lets_the_overdue_have_their_share() -> None:
    noisy = [of("noisy", f"w{row:03d}") for row in range(300)]
    patient = [of("quiet", f"p{row:02d}") for row in range(30)]
    before = {each.uid: judged(each, 10.0) for each in patient}
    chosen = turn([*noisy, *patient], NOBODY, before, most=30, overdue_before=20.0)
    assert len(chosen & {each.uid for each in patient}) == 10
    assert len(turn([*noisy, *patient], NOBODY, before, most=30, overdue_before=5.0) & before.keys()) == 0


def test_one_that_comes_and_goes_stands_behind_those_never_judged() -> None:
    flapping, others = of("a", "flapping"), [of("a", f"w{row}") for row in range(5)]
    claims = Assignment({flapping.key: (pod("a"),)}, {}, ())
    before = {flapping.uid: judged(flapping, 99.0)}
    assert flapping.uid not in turn([flapping, *others], claims, before, most=5)


def test_which_pod_a_conflict_is_about_is_no_news() -> None:
    before = {A.uid: judged(A, 99.0, said=CLAIMED), B.uid: judged(B, 1.0)}
    claims = Assignment({}, {A.key: replace(CLAIMED, problem="pod q is claimed")}, ())
    assert turn([A, B], claims, before, most=1) == {B.uid}


@STEADY
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(3, 12))
def test_no_namespace_waits_more_than_another_has_turns(namespaces: list[str], most: int) -> None:
    fleet = [of(each, f"w{row:02d}") for row, each in enumerate(namespaces)]
    chosen = turn(fleet, NOBODY, {}, most=most)
    served = {each: sum(view.uid in chosen for view in fleet if view.namespace == each) for each in set(namespaces)}
    waiting_ = {each for each in served if served[each] < namespaces.count(each)}
    assert all(served[one] <= served[other] + 1 for one in served for other in waiting_)


NOW = 1000.0
LEVEL = Level((), np.empty((0, 0), dtype=np.float32), np.empty((0, 0), dtype=np.float32), {})


def levelled(each: WorkloadView, looked_at: float = NOW - 30.0, whole_at: float = NOW - 100.0) -> WorkloadPlan:
    return replace(judged(each, looked_at), whole_at=whole_at, level=LEVEL)


def still(plan: WorkloadPlan, claims: Assignment = NOBODY) -> bool:
    return bool(steady([A], claims, {A.uid: plan}, NOW, stands=lambda _: True))


def test_a_judgement_stands_while_readings_do() -> None:
    known = {A.uid: levelled(A), B.uid: levelled(B)}
    found = steady([A, B], NOBODY, known, NOW, stands=lambda plan: plan.uid == B.uid)
    assert found == {B.uid}


MOVED: dict[str, WorkloadPlan] = {
    "without a level": replace(levelled(A), level=None),
    "judged too long ago": levelled(A, whole_at=NOW - WHOLE_SECONDS),
    "judged in the future": levelled(A, whole_at=NOW + 60.0),
    "looked at a moment ago": levelled(A, looked_at=NOW - LOOK_SECONDS + 1.0),
    "paused": replace(levelled(A), paused=True),
    "frozen": replace(levelled(A), frozen=True),
    "broken": replace(levelled(A), error="IndexError"),
    "waiting for a place": replace(levelled(A), standing=Standing("team-a/a", ask=Need(8))),
    "declared anew": replace(levelled(A), judged=(replace(A, generation=7), (), None)),
}


@pytest.mark.parametrize("name", MOVED)
def test_what_could_have_changed_is_judged(name: str) -> None:
    assert still(levelled(A))
    assert not still(MOVED[name])


def test_pods_that_come_or_go_are_judged() -> None:
    assert not still(levelled(A), Assignment({A.key: PODS}, {}, ()))


def test_the_longest_not_looked_at_come_first() -> None:
    fleet = [view(name) for name in "abcd"]
    known = {each.uid: levelled(each, NOW - 30.0 - row) for row, each in enumerate(fleet)}
    assert steady(fleet, NOBODY, known, NOW, stands=lambda _: True, most=2) == {"uid-c", "uid-d"}


def test_who_was_judged_a_moment_ago_rests() -> None:
    fleet = [view(name) for name in "abc"]
    known = {each.uid: judged(each, at) for each, at in zip(fleet, (10.0, 20.0, 30.0), strict=True)}
    assert turn(fleet, NOBODY, known, most=3, rested_before=25.0) == {"uid-a", "uid-b"}
    assert turn(fleet[:2], NOBODY, {}, most=3, rested_before=25.0) == {"uid-a", "uid-b"}, "news does not rest"


def test_a_backlog_of_news_is_judged_in_larger_turns() -> None:
    fleet = [view(f"w{row:03d}") for row in range(50)]
    assert len(turn(fleet, NOBODY, {}, most=10, behind=30)) == 30
    assert len(turn(fleet[:15], NOBODY, {}, most=10, behind=30)) == 15
    known = {each.uid: judged(each, 1.0) for each in fleet}
    assert len(turn(fleet, NOBODY, known, most=10, behind=30)) == 10, "answers that only grow old are no backlog"
