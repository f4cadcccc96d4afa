"""The FleetReport's status: totals, products, and the nodes, namespaces and causes that lose most. Bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfu.account.bill import Bill
from mfu.account.factors import Factors
from mfu.account.rollup import Figure
from mfu.api import fleetreport as api
from mfu.api.causes import Actor, Cause, Explains
from mfu.decide.scale import observed_on_scale, on_scale
from mfu.engine.drafts import UndeclaredPods
from mfu.engine.fleet import Sum
from mfu.engine.history.calibration import calibration_rows
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say.families import family_rows
from mfu.engine.say.kept import power_row, service_row
from mfu.engine.say.lately import Today, change_rows, trend_rows
from mfu.engine.snapshot import FleetReadings
from mfu.engine.text import moment
from mfu.predict.types import Corrections
from mfu.units import decimal, money, percent

MOST, MOST_PRODUCTS, MOST_LOSSES, MOST_CURRENCIES = 20, 64, 40, 16


@dataclass(frozen=True, slots=True)
class Tally:
    """What the report tells of."""

    total: Sum
    plans: Sequence[WorkloadPlan]
    products: Mapping[str, str]
    """Each node's product."""
    currency: str
    corrections: Corrections = field(default_factory=Corrections)
    drafts: Sequence[UndeclaredPods] = ()
    readings: FleetReadings = field(default_factory=FleetReadings)
    trend: Sequence[api.DayFigures] = ()
    """Days as they were reported last."""
    oversubscription: api.ShadowFigures | None = None
    """What the shadow counted."""
    layouts: Sequence[api.PlannedLayout] = ()
    """MIG layouts that are planned or under way."""


def report(told: Tally, now: float) -> api.FleetStatus | None:
    """None without any GPU: there is nothing to report."""
    figures, whole = told.total.figures, told.total.figures.fleet
    if whole is None:
        return None
    losses, lost = _losses(told, whole), _lost_by_namespace(told)
    return api.FleetStatus(
        observed_at=moment(now),
        window="10m",
        currency=told.currency,
        summary=_summary(told, whole, losses),
        bills=tuple(
            _bill(currency, each, told.total.revenue.get(currency))
            for currency, each in list(told.total.bills.items())[:MOST_CURRENCIES]
        ),
        totals=api.Figures(**_figures(whole), lost_per_hour=decimal(_total_lost(told), 2)),
        products=tuple(
            api.ProductFigures(product=name, **_figures(each))
            for name, each in sorted(figures.products.items())[:MOST_PRODUCTS]
        ),
        nodes=tuple(
            api.NodeFigures(node=name, product=told.products.get(name, ""), **_figures(each))
            for name, each in _worst(figures.nodes)
        ),
        namespaces=tuple(
            api.NamespaceFigures(
                namespace=name,
                **_figures(each),
                lost_per_hour=decimal(lost.get(name), 2),
                revenue_per_hour=decimal(told.total.revenue_of.get((told.currency, name)), 2),
            )
            for name, each in _worst(figures.namespaces)
        ),
        losses=losses[:MOST_LOSSES],
        families=family_rows(told.plans),
        changes=change_rows(told.plans, now),
        trend=trend_rows(told.trend, Today(whole, _total_lost(told)), now),
        power=power_row(told.readings),
        services=service_row(told.plans),
        oversubscription=told.oversubscription,
        layouts=tuple(told.layouts),
        drafts=tuple(map(_draft, told.drafts)),
        calibration=calibration_rows(told.corrections),
    )


def _draft(each: UndeclaredPods) -> api.Undeclared:
    return api.Undeclared(
        namespace=each.namespace,
        target=each.target,
        pods=each.pods,
        gpus=each.gpus,
        seems=each.seems,
        command=each.command,
    )


def _bill(currency: str, bill: Bill, revenue: float | None) -> api.Bill:
    def amount_of(cents: int) -> str:
        return f"{cents // 100}.{cents % 100:02d}"

    return api.Bill(
        currency=currency,
        per_hour=amount_of(bill.total),
        useful=amount_of(bill.useful),
        lost=amount_of(bill.lost),
        held_idle=amount_of(bill.held_idle),
        unallocated=amount_of(bill.unallocated),
        unknown=amount_of(bill.unknown),
        unpriced_gpus=amount(bill.unpriced_gpus),
        revenue=decimal(revenue, 2),
    )


def _figures(each: Figure) -> dict[str, Any]:
    return {
        "gpus": amount(each.gpus),
        "allocated_gpus": amount(each.allocated_gpus),
        "mfu": decimal(each.mfu),
        "allocated_mfu": decimal(each.allocated_mfu),
        "price_weighted_mfu": decimal(each.price_weighted_mfu),
        "factors": _factors(each.factors),
        "coverage": api.Coverage(
            measured=decimal(each.measured + each.idle, 3),
            estimated=decimal(each.estimated, 3),
            unknown=decimal(each.unknown, 3),
        ),
        "cost_per_hour": decimal(each.cost_per_hour, 2),
        "cost_per_useful_pflop": decimal(each.cost_per_useful_pflop, 7),
    }


def _factors(each: Factors) -> api.ThreeFactors | None:
    if each.scheduling is None:
        return None
    return api.ThreeFactors(
        scheduling=decimal(each.scheduling), runtime=decimal(each.runtime), program=decimal(each.program)
    )


def amount(gpus: float) -> str:
    """GPUs as people count them, slices as their share: `amount(8.0) == "8"`, `amount(1 / 7) == "0.14"`."""
    return f"{gpus:.2f}".rstrip("0").rstrip(".")


def _worst(groups: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Most peak without work first; unknown ones last, by name where equal."""
    return sorted(groups.items(), key=lambda item: (-_unused(item[1]), item[0]))[:MOST]


def _unused(each: Figure) -> float:
    return each.gpus * (1.0 - each.mfu) if each.mfu is not None else -1.0


Key = tuple[Cause, Explains, Actor]


def _losses(told: Tally, fleet: Figure) -> tuple[api.LossFigures, ...]:
    """What is wasted, by cause and by who can mend it; of two actors for one cause the one with more."""
    share: dict[Key, float] = defaultdict(float)
    money_lost: dict[Key, float] = defaultdict(float)
    workloads: dict[Key, int] = defaultdict(int)
    for plan in told.plans:
        promised = on_scale(plan.expected)
        for finding in plan.findings:
            if not finding.wasted or finding.share is None:
                continue
            key = (finding.cause, finding.explains, finding.actor)
            workloads[key] += 1
            share[key] += finding.share * plan.gpus * plan.gpu_share / max(fleet.gpus, 1e-9)
            if plan.cost_per_hour is not None and promised and plan.policy.currency == told.currency:
                money_lost[key] += plan.cost_per_hour * min(1.0, finding.share / promised)
    ordered = sorted(share, key=lambda key: (-share[key], key))
    unique = {key[:2]: key for key in reversed(ordered)}
    return tuple(
        api.LossFigures(
            cause=key[0],
            explains=key[1],
            actor=key[2],
            workloads=workloads[key],
            share=decimal(share[key]),
            lost_per_hour=decimal(money_lost[key], 2) if key in money_lost else None,
        )
        for key in ordered
        if unique[key[:2]] == key
    )


def _total_lost(told: Tally) -> float | None:
    """In the report's own currency: what is priced in another stands in that one's bill."""
    lost = _lost_by_namespace(told).values()
    return sum(lost) if lost else None


def _lost_by_namespace(told: Tally) -> Mapping[str, float]:
    """What workloads could save at run time; without those of which nothing is known."""
    found: dict[str, float] = defaultdict(float)
    for plan in told.plans:
        if plan.lost_per_hour is not None and plan.policy.currency == told.currency:
            found[plan.namespace] += plan.lost_per_hour
    return found


def _summary(told: Tally, whole: Figure, losses: Sequence[api.LossFigures]) -> api.FleetSummary:
    return api.FleetSummary(
        gpus=f"{amount(whole.allocated_gpus)}/{amount(whole.gpus)}",
        mfu=percent(whole.mfu),
        coverage=percent(1.0 - whole.unknown, 0),
        cause=str(losses[0].cause if losses else _no_loss(told.plans)),
        cost_per_hour=money(whole.cost_per_hour, told.currency),
        lost_per_hour=money(_total_lost(told), told.currency),
    )


def _no_loss(plans: Sequence[WorkloadPlan]) -> Cause:
    """No loss is said only where something was judged, and nothing is lost for a reason that nobody knows."""
    if any(each.lost_per_hour for each in plans):
        return Cause.UNKNOWN
    judged = any(each.expected and observed_on_scale(each.assessment, each.expected.scale) for each in plans)
    return Cause.NONE if judged else Cause.UNKNOWN
