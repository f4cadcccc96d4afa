"""Whose turn it is. Judging a workload takes some milliseconds: a large fleet is judged in rounds, news first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nsmallest
from math import inf
from typing import Final

from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import Assignment, WorkloadView

MOST_JUDGED: Final = 150
"""Workloads judged in one cycle: more of them wait for the next, which follows at once."""


def turn(
    workloads: Sequence[WorkloadView],
    claims: Assignment,
    before: Mapping[str, WorkloadPlan],
    *,
    most: int = MOST_JUDGED,
) -> frozenset[str]:
    """uids to be judged: those that are new or changed, then those that were judged longest ago; at most `most`."""
    if len(workloads) <= most:
        return frozenset(view.uid for view in workloads)
    return frozenset(view.uid for view in nsmallest(most, workloads, key=lambda view: _age(view, claims, before)))


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
        and conflict == claims.conflicts.get(view.key)
    )
    return (plan.judged_at if same else -inf), view.key
