"""One workload at a time: judged in its turn, else as it was judged before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mfu.act.costs import ReplicaUse
from mfu.act.templates import HeldOwner
from mfu.decide.fleet.fitting import Grant, Incumbent
from mfu.decide.fleet.order import Together
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.acting import proposals_of
from mfu.engine.history.longterm import take
from mfu.engine.judged import Surroundings
from mfu.engine.plan import WorkloadPlan
from mfu.engine.policies import InForce
from mfu.engine.snapshot import Assignment, Snapshot, WorkloadView
from mfu.engine.usefulness import uses
from mfu.engine.views import NO_STATUS
from mfu.engine.workload import Asked, Examined, broken, examine, paused, planned, spoken_up, unsaid
from mfu.observe.assessment import Window
from mfu.observe.steady import level_of


def judged_alone(
    view: WorkloadView, snapshot: Snapshot, known: tuple[Assignment, InForce], around: Surroundings
) -> Examined | WorkloadPlan:
    """Judged now if it is its turn, else as it was judged before."""
    claims, force = known
    before = snapshot.before.plans.get(view.uid)
    if snapshot.turn is not None and view.uid not in snapshot.turn:
        if before is not None and view.uid in snapshot.steady:
            return _standing_still(before.told, force.of(view.namespace), around.now)
        return before.told if before else unsaid(view)
    asked = Asked(
        view=view,
        pods=claims.pods.get(view.key, ()),
        series=snapshot.series.get(view.key),
        policy=force.of(view.namespace),
        conflict=claims.conflicts.get(view.key),
        before=before,
    )
    if view.paused:
        return _judged_now(paused(asked), asked, around.now)
    try:
        return examine(asked, around)
    except Exception as error:
        # A defect that one declaration brings to light must not silence all the others.
        return _judged_now(broken(asked, error, around.now), asked, around.now)


def standing_among(found: Examined | WorkloadPlan) -> Standing | None:
    """With the places that it was told last: they are kept while nothing is clearly better."""
    before = found if isinstance(found, WorkloadPlan) else found.asked.before
    standing = found.standing
    if standing is None or standing.ask is None or before is None or not before.places:
        return standing
    return replace(standing, incumbent=before.places)


@dataclass(frozen=True, slots=True)
class Among:
    """What one workload is told among all, and the devices that were drawn for it."""

    decisions: tuple[Decision, ...]
    grants: tuple[Grant, ...]

    @property
    def places(self) -> tuple[Incumbent, ...]:
        return tuple((grant.kind, grant.nodes) for grant in self.grants)

    @classmethod
    def of(cls, together: Together, key: str) -> Among:
        return cls(together.decisions.get(key, ()), together.grants.get(key, ()))


def planned_among(
    found: Examined | WorkloadPlan, view: WorkloadView, among: Among, around: Surroundings
) -> WorkloadPlan:
    """What it says after all were decided, and what it proposes."""
    now = around.now
    if isinstance(found, WorkloadPlan):
        plan = spoken_up(found, among.decisions, now)
        return plan if plan is found else _proposing(plan, view, among, among.decisions, around.held_owner(view))
    held = around.held_owner(view)
    try:
        plan = planned(found, among.decisions, now)
        replicas = uses(found.asked.series, found.asked.pods) if found.asked.view.spec else ()
        plan = _proposing(plan, view, among, plan.decisions, held, replicas)
    except Exception as error:
        plan = broken(found.asked, error, now)
    level = level_of(found.asked.series) if found.asked.series else None
    return replace(_judged_now(_lean(plan), found.asked, now), level=level)


def _proposing(
    plan: WorkloadPlan,
    view: WorkloadView,
    among: Among,
    decided: Sequence[Decision],
    held: HeldOwner | None,
    replicas: tuple[ReplicaUse, ...] = (),
) -> WorkloadPlan:
    """Of kinds that were not decided anew, what was proposed before stays."""
    kinds = {each.type for each in decided}
    kept = tuple(each for each in plan.proposals if each.action.decides not in kinds)
    made = proposals_of(view, plan, decided, grants=among.grants, held=held, replicas=replicas)
    return replace(plan, proposals=(*kept, *made), places=among.places)


def _judged_now(plan: WorkloadPlan, asked: Asked, now: float) -> WorkloadPlan:
    kept = (_bare(asked.view), asked.pods, asked.conflict)
    return replace(plan, judged_at=now, whole_at=now, first_judged_at=asked.first_judged(now), judged=kept)


def _lean(plan: WorkloadPlan) -> WorkloadPlan:
    """Without what status has said in words: ten thousand plans are kept until the next cycle."""
    assessment = plan.assessment and replace(plan.assessment, findings=(), readings=())
    findings = tuple(replace(each, evidence=(), action="", message="") for each in plan.findings)
    best = plan.attainable and replace(plan.attainable, changes=())
    decided = tuple(replace(each, message="", hint=None) for each in plan.decisions)
    return replace(plan, assessment=assessment, attainable=best, findings=findings, decisions=decided)


def _bare(view: WorkloadView) -> WorkloadView:
    """The declaration, for telling whether it changed."""
    return replace(view, status=NO_STATUS, annotations={})


def _standing_still(plan: WorkloadPlan, policy: EffectivePolicy, now: float) -> WorkloadPlan:
    """Looked at: it runs as it did, so what was judged stands, and the minute since then counts like the one before.

    Under another policy it does not stand: it waits for its turn like everyone.
    """
    if plan.policy != policy:
        return replace(plan, level=None)
    seen = plan.assessment.observations if plan.assessment else ()
    minute = {each.meter: each for each in seen if each.window is Window.MINUTE}
    long = {meter: take(kept, minute.get(meter), now) for meter, kept in plan.memory.long.items()}
    return replace(plan, judged_at=now, memory=replace(plan.memory, long=long))
