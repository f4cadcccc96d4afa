"""Whose turn it is. Judging a workload takes some milliseconds: a large fleet is judged in rounds, news first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from heapq import nsmallest
from math import inf
from typing import Final

from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import Assignment, WorkloadView

MOST_JUDGED: Final = 60
"""Workloads judged in one cycle, a quarter of a second's work: more wait for the next, which follows at once."""
MOST_BEHIND: Final = 180
"""The same while more news waits than one cycle judges, as after a start."""
MOST_LOOKED_AT: Final = 600
"""Workloads in one cycle of which it is only asked whether they still are as they were judged."""
LOOK_SECONDS: Final = 20.0
"""Answers younger than this are not looked at again."""
WHOLE_SECONDS: Final = 180.0
"""At the latest so long after it was judged a workload is judged anew, however steady its readings are."""
OLD_SHARE: Final = 3
"""One turn in so many belongs to overdue answers, however much news there is."""


def turn(
    workloads: Sequence[WorkloadView],
    claims: Assignment,
    before: Mapping[str, WorkloadPlan],
    *,
    most: int = MOST_JUDGED,
    overdue_before: float = -inf,
    rested_before: float = inf,
    behind: int = 0,
) -> frozenset[str]:
    """uids to be judged, at most `most`: news first, shared by namespace, then those that were judged longest ago,
    before `rested_before`. Where more news than that waits, up to `behind` are judged: most of a short cycle is spent
    on what all cycles have in common.

    A part of the turns is kept for answers from before `overdue_before`, so that news without end makes nobody wait
    for ever; among news, what was judged a moment ago comes after what was never judged.
    """
    if len(workloads) <= most and rested_before == inf:
        return frozenset(view.uid for view in workloads)
    ages = [(_age(view, claims, before), view) for view in workloads]
    fresh = [(_judged_at(view, before), view) for age, view in ages if age[0] == -inf]
    if len(fresh) > most:
        most = max(most, min(len(fresh), behind))
    old = [each for each in ages if -inf < each[0][0] < rested_before]
    kept = min(sum(age[0] < overdue_before for age, _ in old), most // OLD_SHARE)
    chosen = _shared(fresh, most - kept)
    oldest = nsmallest(most - len(chosen), old, key=lambda item: item[0])
    return frozenset(view.uid for view in (*chosen, *(view for _, view in oldest)))


def steady(
    workloads: Sequence[WorkloadView],
    claims: Assignment,
    before: Mapping[str, WorkloadPlan],
    now: float,
    *,
    stands: Callable[[WorkloadPlan], bool],
    most: int = MOST_LOOKED_AT,
) -> frozenset[str]:
    """uids of those whose judgement stands, the longest not looked at first: nothing was declared, no pod came or went,
    nobody waits for a decision about them, and `stands` says that they run as they did."""
    known = ((view, before.get(view.uid)) for view in workloads)
    old = [
        (plan.judged_at, view.key, plan)
        for view, plan in known
        if plan is not None and plan.judged_at is not None and plan.judged_at <= now - LOOK_SECONDS
        if _settled(plan, now) and _age(view, claims, before)[0] != -inf
    ]
    return frozenset(plan.uid for *_, plan in nsmallest(most, old, key=lambda each: each[:2]) if stands(plan))


def _settled(plan: WorkloadPlan, now: float) -> bool:
    """Could it stand? Not where something was proposed or asked for: that waits for what others do."""
    if plan.level is None or plan.whole_at is None or not 0.0 <= now - plan.whole_at < WHOLE_SECONDS:
        return False
    standing = plan.standing
    wants = standing is not None and (standing.ask is not None or standing.growth is not None)
    return not (wants or plan.proposals or plan.paused or plan.frozen or plan.error)


def _shared(news: list[tuple[float, WorkloadView]], most: int) -> list[WorkloadView]:
    """Namespaces take turns, each with the one that was judged longest ago."""
    ranks: Counter[str] = Counter()
    ranked: list[tuple[int, float, str, WorkloadView]] = []
    for at, view in sorted(news, key=lambda item: (item[0], item[1].key)):
        ranked.append((ranks[view.namespace], at, view.key, view))
        ranks[view.namespace] += 1
    return [view for *_, view in nsmallest(most, ranked, key=lambda item: item[:3])]


def _judged_at(view: WorkloadView, before: Mapping[str, WorkloadPlan]) -> float:
    plan = before.get(view.uid)
    return -inf if plan is None or plan.judged_at is None else plan.judged_at


def waiting(
    workloads: Sequence[WorkloadView], claims: Assignment, before: Mapping[str, WorkloadPlan], since: float
) -> int:
    """How many are changed or were judged before `since`: while there are any, the next cycle should follow at once."""
    return sum(1 for view in workloads if _age(view, claims, before)[0] < since)


def _age(view: WorkloadView, claims: Assignment, before: Mapping[str, WorkloadPlan]) -> tuple[float, str]:
    plan = before.get(view.uid)
    if plan is None or plan.judged_at is None or plan.judged is None:
        return -inf, view.key
    known, pods, conflict = plan.judged
    same = (
        known.spec is view.spec
        and known.generation == view.generation
        and known.paused == view.paused
        and pods is claims.pods.get(view.key, ())
        # Which pod it is about wanders with the pods: only whether there is a conflict is news.
        and (conflict is None) == (claims.conflicts.get(view.key) is None)
    )
    return (plan.judged_at if same else -inf), view.key
