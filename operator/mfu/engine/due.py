"""Whose turn it is. Judging a workload takes some milliseconds: a large fleet is judged in rounds, news first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from heapq import nsmallest
from math import inf
from typing import Final

from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import Assignment, WorkloadView

MOST_JUDGED: Final = 100
"""Workloads judged in one cycle: more of them wait for the next, which follows at once."""


OLD_SHARE: Final = 3
"""One turn in so many belongs to overdue answers, however much news there is."""


def turn(
    workloads: Sequence[WorkloadView],
    claims: Assignment,
    before: Mapping[str, WorkloadPlan],
    *,
    most: int = MOST_JUDGED,
    overdue_before: float = -inf,
) -> frozenset[str]:
    """uids to be judged, at most `most`: news first, shared by namespace, then those that were judged longest ago.

    A part of the turns is kept for answers from before `overdue_before`, so that news without end makes nobody wait
    for ever; among news, what was judged a moment ago comes after what was never judged.
    """
    if len(workloads) <= most:
        return frozenset(view.uid for view in workloads)
    ages = [(_age(view, claims, before), view) for view in workloads]
    fresh = [(_judged_at(view, before), view) for age, view in ages if age[0] == -inf]
    old = [each for each in ages if each[0][0] != -inf]
    kept = min(sum(age[0] < overdue_before for age, _ in old), most // OLD_SHARE)
    chosen = _shared(fresh, most - kept)
    oldest = nsmallest(most - len(chosen), old, key=lambda item: item[0])
    return frozenset(view.uid for view in (*chosen, *(view for _, view in oldest)))


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
