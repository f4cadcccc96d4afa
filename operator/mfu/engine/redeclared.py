"""One workload whose declaration changed, judged at once: what is decided among all follows with the next cycle."""

from __future__ import annotations

from mfu.engine.alone import Among, planned_among
from mfu.engine.claims import claim_of
from mfu.engine.judged import Surroundings
from mfu.engine.plan import WorkloadPlan
from mfu.engine.views import WorkloadView
from mfu.engine.workload import Asked, Examined, examine


def rejudged(asked: Asked, around: Surroundings) -> WorkloadPlan | None:
    """None where only a cycle can answer: for what asks for GPUs, or whose pods may be others by now.

    Of what is decided among all, that stands which the last cycle decided. Raises what a defect of ours raises: a cycle
    meets it again and says so.
    """
    before = asked.before
    if before is None or not _by_itself(before) or not _same_pods(before, asked.view):
        return None
    found = examine(asked, around)
    if _wants(found):
        return None
    return planned_among(found, asked.view, Among(before.together, ()), around)


def _by_itself(before: WorkloadPlan) -> bool:
    """Did the last judgement hang on nobody else?"""
    standing = before.standing
    waits = standing is None or standing.ask is not None or standing.growth is not None
    return not (waits or before.places or before.paused or before.error)


def _same_pods(before: WorkloadPlan, view: WorkloadView) -> bool:
    if before.judged is None or view.spec is None or view.paused:
        return False
    known, _, conflict = before.judged
    return conflict is None and known.spec is not None and claim_of(known.spec) == claim_of(view.spec)


def _wants(found: Examined) -> bool:
    """Now it asks for something, or teaches the others."""
    standing, lesson = found.standing, found.remembered.lesson
    return standing.ask is not None or standing.growth is not None or lesson is not None
