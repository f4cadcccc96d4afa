"""`evaluate(snapshot, now) -> Plan`: the whole cycle as one pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mfu.act.costs import ReplicaUse, marked
from mfu.act.queue_gates import queue_releases
from mfu.act.steps import act
from mfu.act.templates import HeldOwner, template_hints
from mfu.api.fleetreport import FleetStatus
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.fitting import Grant, Incumbent
from mfu.decide.fleet.order import Together, decide_together
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine import fleet
from mfu.engine.acting import (
    answers,
    governed,
    on_their_way,
    placed,
    proposals_of,
    releases,
    rescales,
    suspending,
    suspensions,
    told,
)
from mfu.engine.claims import assign
from mfu.engine.history.calibration import taught
from mfu.engine.history.longterm import take
from mfu.engine.holdings.fleet import Grounds
from mfu.engine.holdings.workload import products_of
from mfu.engine.judged import Surroundings
from mfu.engine.layouts import layout_orders, layout_proposals, layout_rows
from mfu.engine.oversubscribing import advanced, shadow_of, with_shadow
from mfu.engine.packed import Packed
from mfu.engine.plan import FleetSum, Plan, Supply, WorkloadPlan
from mfu.engine.policies import InForce, in_force
from mfu.engine.products import agreed
from mfu.engine.say.events import on_fleet
from mfu.engine.say.hysteresis import novelty
from mfu.engine.say.report import Tally, report
from mfu.engine.shown import circumstances, held_owners
from mfu.engine.slowness import slow_orders, slow_proposals, slowness
from mfu.engine.snapshot import Assignment, Snapshot, WorkloadView
from mfu.engine.usefulness import uses
from mfu.engine.views import NO_STATUS
from mfu.engine.workload import Asked, Examined, broken, examine, paused, planned, spoken_up, unsaid
from mfu.observe.assessment import Window
from mfu.observe.steady import level_of
from mfu.predict.types import Corrections

SUM_SECONDS: Final = 10.0
"""Between two sums over a fleet that is judged in turns."""


def evaluate(snapshot: Snapshot, now: float) -> Plan:
    """What the cluster should say and do, given all that is known at `now` (Unix seconds).

    The same snapshot and moment give the same plan; applying the plan and evaluating again changes nothing.
    """
    # 1. Who governs, and whose pod is whose.
    force = in_force(snapshot.policies, snapshot.namespaces, now, snapshot.before, switched_on=snapshot.switched_on)
    claims = snapshot.claims or assign(snapshot.workloads, snapshot.pods)
    supply = _supply(snapshot, tuple(force.cluster.topology_levels))
    nodes = supply.nodes
    # 2. Each workload alone.
    around = Surroundings(
        nodes=supply.by_name,
        products=supply.products,
        corrections=snapshot.corrections,
        now=now,
        refused=snapshot.fleet.refused,
        queued={(each.namespace, *each.owner): each.priority for each in snapshot.queued},
        held={each.key: each for each in snapshot.held},
        suspending=suspending(snapshot.before.acted),
    )
    alone = tuple(_alone(view, snapshot, (claims, force), around) for view in snapshot.workloads)
    # 3. All of them together, over one ledger.
    standings = tuple(standing for each in alone if (standing := _standing(each)))
    shown = circumstances(snapshot, standings, now)
    ground, summed = snapshot.before.ground, snapshot.before.summed
    told_last = summed.report if summed and summed.report else snapshot.report.read()
    shadow = shadow_of(told_last.oversubscription, standings, (claims, nodes))
    together = decide_together(standings, supply.capacity, on_their_way(snapshot, shown))
    together = with_shadow(together, shadow, now)
    plans = tuple(
        _planned(each, view, _Among.of(together, view.key), around)
        for view, each in zip(snapshot.workloads, alone, strict=True)
    )
    # 4. What of it may be done now.
    reshaped = layout_proposals(snapshot, plans, standings, (nodes, force))
    found = slowness(snapshot, plans, nodes, now)
    slow = slow_proposals(found, plans, nodes, (force, snapshot.before.acted))
    acts = act([*governed(plans, force), *reshaped, *slow], snapshot.before.acted, shown)
    plans, held = told(plans, acts), held_owners(snapshot)
    # 5. What was learned; and the sum of it all.
    corrections = _learned(plans, snapshot.corrections)
    if summed is None or _due(snapshot, summed.at, now):
        ground = fleet.ground(Grounds(claims, nodes, force.by_namespace, force.cluster), snapshot.before)
        total = fleet.add_up(ground, plans, snapshot.fleet, around.nodes)
        products = {node.name: node.device.gpu.api_name for node in nodes if node.device}
        tally = Tally(
            total=total,
            plans=plans,
            products=products,
            currency=force.cluster.currency,
            corrections=corrections,
            drafts=ground.drafts,
            readings=snapshot.fleet,
            trend=told_last.trend,
            oversubscription=advanced(shadow, told_last.oversubscription, total.in_use, now),
            layouts=layout_rows(snapshot, standings, (nodes, force), layout_orders(acts)),
        )
        summed = FleetSum(total.figures, report(tally, now), now, total.bills, total.revenue_of)
    return Plan(
        workloads=plans,
        policies=force.plans,
        figures=summed.figures,
        report=_reported(summed.report, snapshot.report),
        events=on_fleet(snapshot.report.read(), summed.report),
        corrections=corrections,
        accepted=force.accepted,
        ground=ground,
        summed=summed,
        supply=supply,
        acts=acts,
        releases=releases(acts, claims, snapshot.switched_on),
        answers=answers(snapshot, acts, now),
        marks=marked(acts, {pod.uid: (pod.namespace, pod.name, pod.deletion_cost) for pod in snapshot.pods}),
        hints=template_hints(acts, held),
        queue_releases=queue_releases(acts, held, placed(plans)),
        slowed=slow_orders(found, acts, nodes, force, now) if _slows(snapshot) else (),
        slow=found.memory,
        suspensions=suspensions(acts, plans),
        rescales=rescales(acts, plans),
        layouts=layout_orders(acts),
    )


def _slows(snapshot: Snapshot) -> bool:
    return ActionType.PREFER_NO_SCHEDULE in snapshot.switched_on


def _supply(snapshot: Snapshot, levels: tuple[str, ...]) -> Supply:
    """The one of the last cycle while it still holds."""
    known, devices = snapshot.before.supply, snapshot.fleet.devices
    if known is not None and known.told is snapshot.nodes and known.devices is devices and known.levels == levels:
        return known
    nodes = agreed(snapshot.nodes, devices)
    by_name = {node.name: node for node in nodes}
    return Supply(snapshot.nodes, devices, levels, nodes, by_name, products_of(nodes), capacity_of(nodes, levels))


def _due(snapshot: Snapshot, summed_at: float, now: float) -> bool:
    """A fleet that is judged in turns need not be added up after each of them."""
    in_turns = snapshot.turn is not None and len(snapshot.turn) < len(snapshot.workloads)
    return not in_turns or not 0.0 <= now - summed_at < SUM_SECONDS


def _standing(found: Examined | WorkloadPlan) -> Standing | None:
    """With the places that it was told last: they are kept while nothing is clearly better."""
    before = found if isinstance(found, WorkloadPlan) else found.asked.before
    standing = found.standing
    if standing is None or standing.ask is None or before is None or not before.places:
        return standing
    return replace(standing, incumbent=before.places)


@dataclass(frozen=True, slots=True)
class _Among:
    """What one workload is told among all, and the devices that were drawn for it."""

    decisions: tuple[Decision, ...]
    grants: tuple[Grant, ...]

    @property
    def places(self) -> tuple[Incumbent, ...]:
        return tuple((grant.kind, grant.nodes) for grant in self.grants)

    @classmethod
    def of(cls, together: Together, key: str) -> _Among:
        return cls(together.decisions.get(key, ()), together.grants.get(key, ()))


def _alone(
    view: WorkloadView, snapshot: Snapshot, known: tuple[Assignment, InForce], around: Surroundings
) -> Examined | WorkloadPlan:
    """Judged now if it is its turn, else as it was judged before."""
    claims, force = known
    before = snapshot.before.plans.get(view.uid)
    if snapshot.turn is not None and view.uid not in snapshot.turn:
        if before is not None and view.uid in snapshot.steady:
            return _standing_still(_as_before(before), force.of(view.namespace), around.now)
        return _as_before(before) if before else unsaid(view)
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


def _planned(found: Examined | WorkloadPlan, view: WorkloadView, among: _Among, around: Surroundings) -> WorkloadPlan:
    """What it says after all were decided, and what it proposes."""
    now, held = around.now, around.held_owner(view)
    if isinstance(found, WorkloadPlan):
        plan = spoken_up(found, among.decisions, now)
        return plan if plan is found else _proposing(plan, view, among, among.decisions, held)
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
    among: _Among,
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


def _as_before(plan: WorkloadPlan) -> WorkloadPlan:
    """Events and lessons are of the moment; everything else is still said."""
    return replace(plan, events=(), lesson=None) if plan.events or plan.lesson else plan


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


def _learned(plans: tuple[WorkloadPlan, ...], known: Corrections) -> Corrections:
    """In the order of keys, so that the order of workloads is nothing."""
    for plan in sorted((each for each in plans if each.lesson), key=lambda each: each.key):
        known = taught(known, plan.lesson) if plan.lesson else known
    return known


def _reported(told: FleetStatus | None, stands: Packed[FleetStatus]) -> Packed[FleetStatus]:
    """What stands already where the report brings no news, or there is nothing to report."""
    if told is None or not novelty(stands.read(), told):
        return stands
    return Packed.of(told)
