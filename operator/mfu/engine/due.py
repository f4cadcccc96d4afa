"""Whose turn it is. Judging a workload takes some milliseconds: a large fleet is judged in rounds, news first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nsmallest
from math import inf
from typing import Final

from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import Assignment, WorkloadView

MOST_JUDGED: Final = 60
"""Workloads judged in one cycle, a quarter of a second's work: more wait for the next, which follows at once."""
PART_OF_FLEET: Final = 40
"""Of a fleet larger than that takes one part in so many: to see how all stand takes longer there, too."""
MOST_BEHIND: Final = 300
"""The same while more news waits than one cycle judges, as after a start."""
MOST_LOOKED_AT: Final = 600
"""Workloads in one cycle of which it is only asked whether they still are as they were judged."""
LOOK_SECONDS: Final = 20.0
"""Answers younger than this are not looked at again."""
ROUND_SECONDS: Final = 35.0
"""A fleet too large for one cycle is judged whole within this time, as far as the core allows."""
WHOLE_SECONDS: Final = 180.0
"""At the latest so long after it was judged a workload is judged anew, however steady its readings are."""
OLD_SHARE: Final = 3
"""One turn in so many belongs to overdue answers, however much news there is."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Each workload beside what was planned for it last, looked at once a cycle."""

    views: Sequence[WorkloadView]
    plans: Sequence[WorkloadPlan | None]
    since: Sequence[float]
    """When what is there now was judged; -inf where it never was, or has changed since."""

    @classmethod
    def of(cls, workloads: Sequence[WorkloadView], claims: Assignment, before: Mapping[str, WorkloadPlan]) -> Answers:
        plans = [before.get(view.uid) for view in workloads]
        since = [_since(view, plan, claims) for view, plan in zip(workloads, plans, strict=True)]
        return cls(workloads, plans, since)


def most_judged(fleet: int) -> int:
    """Workloads judged in one cycle: `most_judged(10_000) == 250`."""
    return max(MOST_JUDGED, fleet // PART_OF_FLEET)


def turn(
    answers: Answers,
    *,
    most: int = MOST_JUDGED,
    overdue_before: float = -inf,
    rested_before: float = inf,
    behind: int = 0,
    still: Set[str] = frozenset(),
) -> frozenset[str]:
    """uids to be judged, at most `most`: news first, shared by namespace, then those that were judged longest ago,
    before `rested_before`, and that do not stand `still`. Where more news than that waits, up to `behind` are judged:
    most of a short cycle is spent on what all cycles have in common.

    A part of the turns is kept for answers from before `overdue_before`, so that news without end makes nobody wait
    for ever; among news, what was judged a moment ago comes after what was never judged.
    """
    views, since = answers.views, answers.since
    if len(views) <= most and rested_before == inf:
        return frozenset(view.uid for view in views)
    fresh = [row for row, at in enumerate(since) if at == -inf and views[row].uid not in still]
    if len(fresh) > most:
        most = max(most, min(len(fresh), behind))
    old = [row for row, at in enumerate(since) if -inf < at < rested_before and views[row].uid not in still]
    kept = min(sum(since[row] < overdue_before for row in old), most // OLD_SHARE)
    chosen = _shared([(_judged_at(answers.plans[row]), views[row].key, views[row]) for row in fresh], most - kept)
    oldest = nsmallest(most - len(chosen), old, key=lambda row: (since[row], views[row].key))
    return frozenset(view.uid for view in (*chosen, *(views[row] for row in oldest)))


def steady(
    answers: Answers, now: float, *, stands: Callable[[WorkloadPlan], bool], most: int = MOST_LOOKED_AT
) -> frozenset[str]:
    """uids of those whose judgement stands, the longest not looked at first: nothing was declared, no pod came or went,
    nobody waits for a decision about them, and `stands` says that they run as they did."""
    latest = now - LOOK_SECONDS
    old = [
        (since, plan.key, plan)
        for plan, since in zip(answers.plans, answers.since, strict=True)
        if plan is not None and -inf < since <= latest and _settled(plan, now)
    ]
    return frozenset(plan.uid for *_, plan in nsmallest(most, old) if stands(plan))


def _settled(plan: WorkloadPlan, now: float) -> bool:
    """Could it stand? Not where something was proposed or asked for: that waits for what others do."""
    if plan.level is None or plan.whole_at is None or not 0.0 <= now - plan.whole_at < WHOLE_SECONDS:
        return False
    standing = plan.standing
    wants = standing is not None and (standing.ask is not None or standing.growth is not None)
    return not (wants or plan.proposals or plan.paused or plan.frozen or plan.error)


def _shared(news: list[tuple[float, str, WorkloadView]], most: int) -> list[WorkloadView]:
    """Namespaces take turns, each with the one that was judged longest ago. Keys differ: views are never compared."""
    ranks: Counter[str] = Counter()
    ranked: list[tuple[int, float, str, WorkloadView]] = []
    for at, key, view in sorted(news):
        ranked.append((ranks[view.namespace], at, key, view))
        ranks[view.namespace] += 1
    return [view for *_, view in nsmallest(most, ranked)]


def _judged_at(plan: WorkloadPlan | None) -> float:
    return -inf if plan is None or plan.judged_at is None else plan.judged_at


def waiting(answers: Answers, looked_at: Set[str], since: float) -> int:
    """How many are changed or were judged before `since`, and are not looked at now: while there are any, the next
    cycle should follow at once."""
    late = (view for view, at in zip(answers.views, answers.since, strict=True) if at < since)
    return sum(view.uid not in looked_at for view in late)


def _since(view: WorkloadView, plan: WorkloadPlan | None, claims: Assignment) -> float:
    if plan is None or plan.judged_at is None or plan.judged is None:
        return -inf
    known, pods, conflict = plan.judged
    same = (
        known.spec is view.spec
        and known.generation == view.generation
        and known.paused == view.paused
        and pods is claims.pods.get(view.key, ())
        # Which pod it is about wanders with the pods: only whether there is a conflict is news.
        and (conflict is None) == (claims.conflicts.get(view.key) is None)
    )
    return plan.judged_at if same else -inf
