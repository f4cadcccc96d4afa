"""The FleetReport's status: totals, products, and the nodes, namespaces and causes that lose most. Bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mfu.account.rollup import Figure, FleetFigures
from mfu.decide.scale import on_scale
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say.status import observed_on_scale
from mfu.engine.say.text import moment, pruned
from mfu.units import decimal, money, percent

JSON = dict[str, Any]
MOST = 20


def report(
    figures: FleetFigures, plans: Sequence[WorkloadPlan], products: Mapping[str, str], currency: str, now: float
) -> JSON:
    """`products` names each node's product. Without any GPU there is nothing to report."""
    if figures.fleet is None:
        return {}
    losses = _losses(plans, figures.fleet)
    return {
        "observedAt": moment(now),
        "window": "10m",
        "currency": currency,
        "summary": _summary(figures.fleet, losses, plans, currency),
        "totals": figure(figures.fleet, lost=_total_lost(plans)),
        "products": [{"product": name, **figure(each)} for name, each in sorted(figures.products.items())][:64],
        "nodes": [
            {"node": name, "product": products.get(name, ""), **figure(each)} for name, each in _worst(figures.nodes)
        ],
        "namespaces": [{"namespace": name, **figure(each)} for name, each in _worst(figures.namespaces)],
        "losses": losses[:40],
    }


def figure(each: Figure, lost: float | None = None) -> JSON:
    coverage = {
        "measured": decimal(each.measured + each.idle, 3),
        "estimated": decimal(each.estimated, 3),
        "unknown": decimal(each.unknown, 3),
    }
    return pruned(
        {
            "gpus": amount(each.gpus),
            "allocatedGPUs": amount(each.allocated_gpus),
            "mfu": decimal(each.mfu),
            "allocatedMFU": decimal(each.allocated_mfu),
            "priceWeightedMFU": decimal(each.price_weighted_mfu),
            "coverage": coverage,
            "costPerHour": decimal(each.cost_per_hour, 2),
            "lostPerHour": decimal(lost, 2),
        }
    )


def amount(gpus: float) -> str:
    """GPUs as people count them, slices as their share: `amount(8.0) == "8"`, `amount(1 / 7) == "0.14"`."""
    return f"{gpus:.2f}".rstrip("0").rstrip(".")


def _worst(groups: Mapping[str, Figure]) -> list[tuple[str, Figure]]:
    """Most peak without work first; unknown ones last, by name where equal."""
    return sorted(groups.items(), key=lambda item: (-_unused(item[1]), item[0]))[:MOST]


def _unused(each: Figure) -> float:
    return each.gpus * (1.0 - each.mfu) if each.mfu is not None else -1.0


def _losses(plans: Sequence[WorkloadPlan], fleet: Figure) -> list[JSON]:
    share: dict[tuple[str, str, str], float] = defaultdict(float)
    money_lost: dict[tuple[str, str, str], float] = defaultdict(float)
    workloads: dict[tuple[str, str, str], int] = defaultdict(int)
    for plan in plans:
        promised = on_scale(plan.expected)
        for finding in plan.findings:
            if not finding.wasted or finding.share is None:
                continue
            key = (str(finding.cause), str(finding.explains), str(finding.actor))
            workloads[key] += 1
            share[key] += finding.share * plan.gpus * plan.gpu_share / max(fleet.gpus, 1e-9)
            if plan.cost_per_hour is not None and promised:
                money_lost[key] += plan.cost_per_hour * min(1.0, finding.share / promised)
    ordered = sorted(share, key=lambda key: (-share[key], key))
    unique = {(cause, explains): (cause, explains, actor) for cause, explains, actor in reversed(ordered)}
    return [
        pruned(
            {
                "cause": key[0],
                "explains": key[1],
                "actor": key[2],
                "workloads": workloads[key],
                "share": decimal(share[key]),
                "lostPerHour": decimal(money_lost[key], 2) if key in money_lost else None,
            }
        )
        for key in ordered
        if unique[key[:2]] == key
    ]


def _total_lost(plans: Sequence[WorkloadPlan]) -> float | None:
    lost = [plan.lost_per_hour for plan in plans if plan.lost_per_hour is not None]
    return sum(lost) if lost else None


def _summary(fleet: Figure, losses: Sequence[JSON], plans: Sequence[WorkloadPlan], currency: str) -> JSON:
    judged = [plan for plan in plans if plan.expected and observed_on_scale(plan.assessment, plan.expected.scale)]
    return {
        "gpus": f"{amount(fleet.allocated_gpus)}/{amount(fleet.gpus)}",
        "mfu": percent(fleet.mfu),
        "coverage": percent(1.0 - fleet.unknown, 0),
        "cause": losses[0]["cause"] if losses else ("None" if judged else "Unknown"),
        "costPerHour": money(fleet.cost_per_hour, currency),
        "lostPerHour": money(_total_lost(plans), currency),
    }
