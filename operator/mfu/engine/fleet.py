"""Node, namespace, product and fleet MFU: what is known of each holding of GPUs, rolled up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Final

import numpy as np

from mfu.account.bill import HELD_IDLE, UNALLOCATED, UNKNOWN, Bill, Item, Use, bills, used
from mfu.account.factors import MOST_IDLE
from mfu.account.rollup import FleetFigures, Floats, Indices, Knowledge, WorkDone, roll_up_table
from mfu.api.causes import Cause
from mfu.api.workload_status import Meter
from mfu.decide.scale import MOST_POSSIBLE, observed_on_scale
from mfu.decide.types import NodeView
from mfu.engine.holdings.fleet import IDLE, UNCLAIMED, Ground, Grounds, build
from mfu.engine.holdings.workload import device_of
from mfu.engine.plan import Handover, WorkloadPlan
from mfu.engine.snapshot import FleetReadings
from mfu.hardware.labels import MIG_PREFIX, WHOLE
from mfu.hardware.types import Device
from mfu.observe.assessment import Observation
from mfu.observe.counters import fleet_counters_mfu, peak_table

_MOST_UNMEASURED: Final = 0.1


def ground(made_from: Grounds, before: Handover) -> Ground:
    """The one of the last cycle while it still holds."""
    known = before.ground
    return known if known is not None and known.made_from.same(made_from) else build(made_from)


@dataclass(frozen=True, slots=True)
class Sum:
    """The fleet's efficiency, and where its money goes, by currency."""

    figures: FleetFigures
    bills: Mapping[str, Bill]
    revenue_of: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """What holders are charged per hour, by currency and namespace; absent where nothing is charged."""
    in_use: float | None = None
    """GPUs at work; None where more than a tenth of the held ones are not measured."""

    @property
    def revenue(self) -> Mapping[str, float]:
        """By currency."""
        found: dict[str, float] = defaultdict(float)
        for (currency, _), each in self.revenue_of.items():
            found[currency] += each
        return found


def add_up(
    ground: Ground, plans: Sequence[WorkloadPlan], readings: FleetReadings, nodes: Mapping[str, NodeView]
) -> Sum:
    """Workloads by their best meter, pods without one by counters alone (estimated), the rest is unknown or idle."""
    mfu, moving = (np.full(len(ground.table), np.nan) for _ in range(2))
    knowledge = np.full(len(ground.table), int(Knowledge.UNKNOWN), dtype=np.int64)
    knowledge[ground.owner == IDLE] = Knowledge.IDLE
    by_workload = _known(ground, plans)
    owned = ground.owner >= 0
    owner = ground.owner[owned]
    mfu[owned], knowledge[owned], moving[owned] = (
        column[owner] for column in (by_workload.mfu, by_workload.knowledge, by_workload.moving)
    )
    _estimate(ground, readings, nodes, (mfu, knowledge))
    figures = roll_up_table(ground.table, WorkDone(mfu, knowledge, moving), ground.made_from.default.currency)
    return Sum(figures, _bills(ground, plans, mfu), _revenue(ground, plans), _in_use(ground, mfu))


def _in_use(ground: Ground, mfu: Floats) -> float | None:
    """What is not measured counts as at work."""
    held = ground.owner != IDLE
    gpus, reached = ground.table.gpus[held], mfu[held]
    if gpus[np.isnan(reached)].sum() > _MOST_UNMEASURED * gpus.sum():
        return None
    return float(gpus[~(reached <= MOST_IDLE)].sum())


def _revenue(ground: Ground, plans: Sequence[WorkloadPlan]) -> dict[tuple[str, str], float]:
    """Of workloads as each is charged; of all others by the GPUs that they hold, but for services that sell tokens."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    told: set[str] = set()
    for plan in plans:
        if plan.revenue_per_hour is not None:
            found[plan.policy.currency, plan.namespace] += plan.revenue_per_hour
        if plan.revenue_per_hour is not None or plan.sells_tokens:
            told.add(plan.key)
    table = ground.table
    for row in np.flatnonzero((ground.owner != IDLE) & np.isfinite(table.charge)).tolist():
        owner = int(ground.owner[row])
        if owner >= 0 and ground.workloads[owner] in told:
            continue
        currency = table.currencies.names[table.currencies.index[row]]
        found[currency, table.namespaces.names[table.namespaces.index[row]]] += float(table.charge[row])
    return dict(found)


def _bills(ground: Ground, plans: Sequence[WorkloadPlan], mfu: Floats) -> dict[str, Bill]:
    """Of every holding of GPUs: nobody's, a workload's, or a pod's that declares nothing."""
    table, by_key = ground.table, {plan.key: use_of(plan) for plan in plans}
    by_owner = [by_key.get(key, UNKNOWN) for key in ground.workloads]
    rows = zip(ground.owner.tolist(), table.gpus.tolist(), table.price.tolist(), mfu.tolist(), strict=True)
    names, currency = table.currencies.names, table.currencies.index.tolist()
    return bills(
        Item(names[currency[row]], gpus, None if isnan(price) else price, _use(owner, by_owner, reached))
        for row, (owner, gpus, price, reached) in enumerate(rows)
    )


def _use(owner: int, by_owner: Sequence[Use], reached: float) -> Use:
    if owner >= 0:
        return by_owner[owner]
    if owner == IDLE:
        return UNALLOCATED
    # What declares nothing promises nothing: only that it does nothing can be told.
    return HELD_IDLE if reached <= MOST_IDLE else UNKNOWN


def use_of(plan: WorkloadPlan) -> Use:
    """What becomes of a workload's money."""
    if plan.lost_per_hour is None or not plan.cost_per_hour or plan.expected is None:
        return UNKNOWN
    reached = observed_on_scale(plan.assessment, plan.expected.scale)
    idle = plan.cause is Cause.IDLE_ALLOCATION or (reached is not None and reached <= MOST_IDLE)
    return used(plan.lost_per_hour / plan.cost_per_hour, idle=idle)


def _known(ground: Ground, plans: Sequence[WorkloadPlan]) -> WorkDone:
    """By workload."""
    number = {key: index for index, key in enumerate(ground.workloads)}
    mfu, moving = (np.full(len(number), np.nan) for _ in range(2))
    how = np.full(len(number), int(Knowledge.UNKNOWN), dtype=np.int64)
    for plan in plans:
        index = number.get(plan.key)
        best = plan.assessment.best() if plan.assessment else None
        if index is None or best is None or best.reference_mfu is None or not believable(plan, best):
            continue
        mfu[index] = best.reference_mfu
        how[index] = Knowledge.PROGRESS if best.meter is Meter.PROGRESS else Knowledge.COUNTERS
        if plan.assessment is not None and plan.assessment.progressing is not None:
            moving[index] = plan.assessment.progressing
    return WorkDone(mfu, how, moving)


def believable(plan: WorkloadPlan, best: Observation) -> bool:
    """Does the workload's own summary show a number? What it calls unknown is unknown to the fleet as well."""
    fractions = [each for each in (best.mfu, best.mbu, best.reference_mfu) if each is not None]
    shown = plan.expected is None or observed_on_scale(plan.assessment, plan.expected.scale) is not None
    possible = all(0 <= each <= MOST_POSSIBLE for each in (best.mfu, best.mbu) if each is not None)
    return shown and possible and all(isfinite(each) for each in fractions)


def _estimate(
    ground: Ground, readings: FleetReadings, nodes: Mapping[str, NodeView], columns: tuple[Floats, Indices]
) -> None:
    """Fill in the columns of pods that declare nothing, where counters tell."""
    rows = np.flatnonzero(ground.owner == UNCLAIMED).tolist()
    if not rows:
        return
    estimates = _estimates(readings, nodes, {ground.pods[row] for row in rows})
    for row in rows:
        value = estimates.get(ground.pods[row] or "")
        if value is not None:
            columns[0][row], columns[1][row] = value, Knowledge.COUNTERS


def _estimates(readings: FleetReadings, nodes: Mapping[str, NodeView], pods: set[str | None]) -> dict[str, float]:
    """Reference MFU by pod key from counters alone. Pods of which nothing is known are absent."""
    keys = [None if each.pod is None or each.shared else f"{each.namespace}/{each.pod}" for each in readings.devices]
    rows = [row for row, key in enumerate(keys) if key is not None and key in pods]
    if not rows:
        return {}
    devices = tuple(_device_read(readings.devices[row].node, readings.devices[row].mig_profile, nodes) for row in rows)
    mfu = fleet_counters_mfu(readings.values[rows], peak_table(devices))
    by_pod: dict[str, list[float]] = defaultdict(list)
    for row, value in zip(rows, mfu.tolist(), strict=True):
        if 0 <= value <= MOST_POSSIBLE:
            by_pod[keys[row] or ""].append(value)
    return {key: sum(values) / len(values) for key, values in by_pod.items()}


def _device_read(node: str | None, profile: str | None, nodes: Mapping[str, NodeView]) -> Device | None:
    """None where a device is offered to several pods too: exporters name only one of them."""
    view, resource = nodes.get(node or ""), f"{MIG_PREFIX}{profile}" if profile else WHOLE
    return None if view is None or view.sliced(resource) else device_of(view, resource)
