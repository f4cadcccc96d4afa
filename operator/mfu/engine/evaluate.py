"""`evaluate(snapshot, now) -> Plan`: the whole cycle as one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from mfu.api.names import DECISION_ANNOTATION_PREFIX
from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.order import decide_together
from mfu.decide.types import Decision
from mfu.engine import fleet
from mfu.engine.claims import assign
from mfu.engine.history.calibration import calibration_rows
from mfu.engine.holdings.fleet import Grounds
from mfu.engine.holdings.workload import products_of
from mfu.engine.judge import Surroundings, broken, plan_workload, unsaid
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.policies import InForce, in_force
from mfu.engine.products import agreed
from mfu.engine.say import notes
from mfu.engine.say.hysteresis import differs
from mfu.engine.say.packed import Packed, packed, plain
from mfu.engine.say.recall import YOUNG_SECONDS, unshaken
from mfu.engine.say.report import report
from mfu.engine.say.together import news, with_together
from mfu.engine.snapshot import Assignment, Snapshot, WorkloadView
from mfu.predict.learn import learn

_NOTHING: Final[Mapping[str, Any]] = {}


def evaluate(snapshot: Snapshot, now: float) -> Plan:
    """What the cluster should say and do, given all that is known at `now` (Unix seconds).

    The same snapshot and moment give the same plan; applying the plan and evaluating again changes nothing.
    """
    # 1. Who governs, and whose pod is whose.
    force = in_force(snapshot.policies, snapshot.namespaces, now, snapshot.before.accepted)
    claims = snapshot.claims or assign(snapshot.workloads, snapshot.pods)
    nodes = agreed(snapshot.nodes, snapshot.fleet.devices)
    # 2. Each workload alone.
    around = Surroundings(
        nodes={node.name: node for node in nodes},
        products=products_of(nodes),
        corrections=snapshot.corrections,
        now=now,
        refused=snapshot.fleet.refused,
    )
    judged = tuple(_alone(view, snapshot, claims, force, around) for view in snapshot.workloads)
    # 3. All of them together, over one ledger.
    together = decide_together(tuple(each.standing for each in judged if each.standing), capacity_of(nodes))
    plans = tuple(
        _said(view, plan, together.decisions.get(view.key, ()), now, due=_due(view, snapshot))
        for view, plan in zip(snapshot.workloads, judged, strict=True)
    )
    # 4. Add it up.
    ground = fleet.ground(Grounds(claims, nodes, force.by_namespace, force.cluster), snapshot.before)
    figures = fleet.figures(ground, plans, snapshot.fleet, around.nodes)
    products = {node.name: node.device.gpu.api_name for node in nodes if node.device}
    # 5. What was learned.
    corrections = snapshot.corrections
    for plan in sorted((each for each in plans if each.lesson), key=lambda each: each.key):
        corrections = learn(corrections, plan.lesson) if plan.lesson else corrections
    told = report(figures, plans, products, force.cluster.currency, now)
    if told:
        told["calibration"] = calibration_rows(corrections)
    events = notes.fleet_events(snapshot.report, told)
    return Plan(plans, force.plans, figures, told, events, corrections, force.accepted, ground)


def _alone(
    view: WorkloadView, snapshot: Snapshot, claims: Assignment, force: InForce, around: Surroundings
) -> WorkloadPlan:
    """Judged now if it is its turn, else as it was judged before."""
    before = snapshot.before.plans.get(view.uid)
    if not _due(view, snapshot):
        return _as_before(before) if before else unsaid(view)
    pods, conflict = claims.pods.get(view.key, ()), claims.conflicts.get(view.key)
    policy = force.of(view.namespace)
    first = around.now if before is None or before.first_judged_at is None else before.first_judged_at
    try:
        plan = plan_workload(
            view,
            pods,
            snapshot.series.get(view.key),
            policy,
            around,
            conflict=conflict,
            before=before,
        )
    except Exception as error:
        # A defect that one declaration brings to light must not silence all the others.
        plan = broken(view, error, policy, around.now, before)
    return replace(plan, judged_at=around.now, first_judged_at=first, judged=(_bare(view), pods, conflict))


def _due(view: WorkloadView, snapshot: Snapshot) -> bool:
    return snapshot.turn is None or view.uid in snapshot.turn


def _said(view: WorkloadView, plan: WorkloadPlan, made: Sequence[Decision], now: float, *, due: bool) -> WorkloadPlan:
    """What it says after all were decided. One that was not judged now speaks up only where it has news."""
    if not due:
        return _spoken_up(plan, made, now) if plan.standing and news(plan, made) else plan
    try:
        whole = with_together(plan, made, plain(view.status), now)
        young = now - (plan.first_judged_at or now) < YOUNG_SECONDS
        status = _settled(view, whole, young=young)
    except Exception as error:
        whole = broken(view, error, plan.policy, now, plan)
        whole = replace(whole, judged_at=now, first_judged_at=plan.first_judged_at, judged=plan.judged)
        status = Packed(whole.status)
    notes = _settled_notes(view.annotations, whole.annotations)
    return replace(_lean(whole), status=status, annotations=notes)


def _spoken_up(plan: WorkloadPlan, made: Sequence[Decision], now: float) -> WorkloadPlan:
    stands = plain(plan.status)
    told = with_together(replace(plan, status=stands), made, stands, now)
    return replace(told, status=Packed(told.status))


def _lean(plan: WorkloadPlan) -> WorkloadPlan:
    """Without what status has said in words: ten thousand plans are kept until the next cycle."""
    assessment = plan.assessment and replace(plan.assessment, findings=(), readings=())
    findings = tuple(replace(each, evidence=(), action="", message="") for each in plan.findings)
    best = plan.attainable and replace(plan.attainable, changes=())
    decided = tuple(replace(each, message="", hint=None) for each in plan.decisions)
    return replace(plan, assessment=assessment, attainable=best, findings=findings, decisions=decided)


def _bare(view: WorkloadView) -> WorkloadView:
    """The declaration, for telling whether it changed."""
    return replace(view, status=_NOTHING, annotations=_NOTHING)


def _settled(view: WorkloadView, plan: WorkloadPlan, *, young: bool) -> Packed:
    """What stands there already where the new status brings no news."""
    if plan.status is view.status:
        return packed(view.status)
    standing = plain(view.status)
    said = unshaken(standing, plan.status) if young else plan.status
    return Packed(said) if differs(standing, said) else packed(view.status)


def _settled_notes(standing: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """The readings inside a sentence wander: that alone writes nothing."""
    return {
        name: standing[name] if name in standing and _same_words(name, standing[name], text) else text
        for name, text in said.items()
    }


def _same_words(name: str, standing: str, said: str) -> bool:
    prose = name.startswith(DECISION_ANNOTATION_PREFIX)
    return not differs(standing, said, key="message") if prose else standing == said


def _as_before(plan: WorkloadPlan) -> WorkloadPlan:
    """Events and lessons are of the moment; everything else is still said."""
    return replace(plan, events=(), lesson=None) if plan.events or plan.lesson else plan
