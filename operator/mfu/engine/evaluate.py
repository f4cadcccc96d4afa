"""`evaluate(snapshot, now) -> Plan`: the whole cycle as one pure function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mfu.act.costs import marked
from mfu.act.queue_gates import queue_releases
from mfu.act.steps import act
from mfu.act.templates import HeldOwner, template_hints
from mfu.act.types import Acts, Circumstances
from mfu.api.fleetreport import FleetStatus
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.order import decide_together
from mfu.decide.fleet.standing import Standing
from mfu.engine import fleet
from mfu.engine.acting import (
    answers,
    governed,
    on_their_way,
    placed,
    releases,
    rescales,
    suspending,
    suspensions,
    told,
)
from mfu.engine.alone import Among, judged_alone, planned_among, standing_among
from mfu.engine.claims import assign
from mfu.engine.history.calibration import taught
from mfu.engine.holdings.fleet import Ground, Grounds
from mfu.engine.holdings.workload import products_of
from mfu.engine.judged import Surroundings
from mfu.engine.layouts import layout_orders, layout_proposals, layout_rows
from mfu.engine.oversubscribing import Shadow, advanced, shadow_of, with_shadow
from mfu.engine.packed import Packed
from mfu.engine.plan import FleetSum, Plan, Supply, WorkloadPlan
from mfu.engine.policies import InForce, in_force
from mfu.engine.products import agreed
from mfu.engine.say.events import on_fleet
from mfu.engine.say.hysteresis import novelty
from mfu.engine.say.report import Tally, report
from mfu.engine.shown import circumstances, held_owners
from mfu.engine.slowness import Slowness, slow_orders, slow_proposals, slowness
from mfu.engine.snapshot import Assignment, Snapshot, WorkloadView
from mfu.engine.workload import Examined
from mfu.predict.types import Corrections

SUM_SECONDS: Final = 10.0
"""Between two sums over a fleet that is judged in turns."""


def evaluate(snapshot: Snapshot, now: float, between: Callable[[], None] = lambda: None) -> Plan:
    """What the cluster should say and do, given all that is known at `now` (Unix seconds).

    The same snapshot and moment give the same plan; applying the plan and evaluating again changes nothing. `between`
    is called between two workloads, for who has something else to do meanwhile.
    """
    # 1. Who governs, and whose pod is whose.
    known = _known(snapshot, now)
    # 2. Each workload alone.
    alone = tuple(
        judged_alone(view, snapshot, (known.claims, known.force), known.around)
        for view in _each(snapshot.workloads, between)
    )
    # 3. All of them together, over one ledger.
    decided = _decided(known, alone, between)
    # 4. What of it may be done now.
    acting = _acting(known, decided)
    # 5. What was learned; and the sum of it all.
    corrections = _learned(acting.plans, snapshot.corrections)
    ground, summed = _summed(known, decided, acting, corrections)
    return _plan(known, acting, corrections, ground, summed)


def _each(views: Iterable[WorkloadView], between: Callable[[], None]) -> Iterator[WorkloadView]:
    for view in views:
        between()
        yield view


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What every step reads."""

    snapshot: Snapshot
    now: float
    force: InForce
    claims: Assignment
    supply: Supply
    around: Surroundings
    held: Mapping[str, HeldOwner]
    """Owners of which nothing runs, by workload."""
    told_last: FleetStatus
    """The report as it was said last, by us or by who wrote before us."""


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    standings: tuple[Standing, ...]
    shown: Circumstances
    shadow: Shadow
    plans: tuple[WorkloadPlan, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Acting:
    acts: Acts
    found: Slowness
    plans: tuple[WorkloadPlan, ...]
    """With the events of what is done."""


def _known(snapshot: Snapshot, now: float) -> _Known:
    force = in_force(snapshot.policies, snapshot.namespaces, now, snapshot.before, switched_on=snapshot.switched_on)
    claims = snapshot.claims or assign(snapshot.workloads, snapshot.pods)
    supply = _supply(snapshot, tuple(force.cluster.topology_levels))
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
    summed = snapshot.before.summed
    told_last = summed.report if summed and summed.report else snapshot.report.read()
    return _Known(snapshot, now, force, claims, supply, around, held_owners(snapshot), told_last)


def _decided(known: _Known, alone: tuple[Examined | WorkloadPlan, ...], between: Callable[[], None]) -> _Decided:
    snapshot, supply = known.snapshot, known.supply
    standings = tuple(standing for each in alone if (standing := standing_among(each)))
    shown = circumstances(snapshot, standings, known.held, known.now)
    shadow = shadow_of(known.told_last.oversubscription, standings, (known.claims, supply.nodes))
    together = decide_together(standings, supply.capacity, on_their_way(snapshot, shown))
    together = with_shadow(together, shadow, known.now)
    plans = tuple(
        planned_among(each, view, Among.of(together, view.key), known.around)
        for view, each in zip(_each(snapshot.workloads, between), alone, strict=True)
    )
    return _Decided(standings, shown, shadow, plans)


def _acting(known: _Known, decided: _Decided) -> _Acting:
    snapshot, nodes, plans = known.snapshot, known.supply.nodes, decided.plans
    reshaped = layout_proposals(snapshot, plans, decided.standings, (nodes, known.force))
    found = slowness(snapshot, plans, nodes, known.now)
    slow = slow_proposals(found, plans, nodes, (known.force, snapshot.before.acted))
    acts = act([*governed(plans, known.force), *reshaped, *slow], snapshot.before.acted, decided.shown)
    return _Acting(acts, found, told(plans, acts))


def _summed(
    known: _Known, decided: _Decided, acting: _Acting, corrections: Corrections
) -> tuple[Ground | None, FleetSum]:
    """Added up anew where it is due, else as it was."""
    snapshot, ground, summed = known.snapshot, known.snapshot.before.ground, known.snapshot.before.summed
    if summed is not None and not _due(snapshot, summed.at, known.now):
        return ground, summed
    force, nodes = known.force, known.supply.nodes
    ground = fleet.ground(Grounds(known.claims, nodes, force.by_namespace, force.cluster), snapshot.before)
    total = fleet.add_up(ground, acting.plans, snapshot.fleet, known.around.nodes)
    tally = Tally(
        total=total,
        plans=acting.plans,
        products={node.name: node.device.gpu.api_name for node in nodes if node.device},
        currency=force.cluster.currency,
        corrections=corrections,
        drafts=ground.drafts,
        readings=snapshot.fleet,
        trend=known.told_last.trend,
        oversubscription=advanced(decided.shadow, known.told_last.oversubscription, total.in_use, known.now),
        layouts=layout_rows(snapshot, decided.standings, (nodes, force), layout_orders(acting.acts)),
    )
    told_now = report(tally, known.now)
    return ground, FleetSum(total.figures, told_now, known.now, total.bills, total.revenue_of)


def _plan(known: _Known, acting: _Acting, corrections: Corrections, ground: Ground | None, summed: FleetSum) -> Plan:
    snapshot, force, acts, plans = known.snapshot, known.force, acting.acts, acting.plans
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
        supply=known.supply,
        acts=acts,
        releases=releases(acts, known.claims, snapshot.switched_on),
        answers=answers(snapshot, acts, known.now),
        marks=marked(acts, _costs(acts, snapshot)),
        hints=template_hints(acts, known.held),
        queue_releases=queue_releases(acts, known.held, placed(plans) if known.held else frozenset()),
        slowed=slow_orders(acting.found, acts, known.supply.nodes, force, known.now) if _slows(snapshot) else (),
        slow=acting.found.memory,
        suspensions=suspensions(acts, plans),
        rescales=rescales(acts, plans),
        layouts=layout_orders(acts),
        around=known.around,
        governing=force.by_namespace,
    )


def _costs(acts: Acts, snapshot: Snapshot) -> dict[str, tuple[str, str, int | None]]:
    """Namespace, name and deletion cost of pods by uid, where any is to be marked."""
    if not any(tag.type is ActionType.POD_DELETION_COST for tag in acts.remembered.tracks):
        return {}
    return {pod.uid: (pod.namespace, pod.name, pod.deletion_cost) for pod in snapshot.pods}


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
