"""Reports as flat rows for spreadsheets: fractions and amounts as plain numbers, unknown cells empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mfu.api.fleetreport import Figures, FleetStatus, NamespaceFigures
from mfu.api.workload_status import Cost, LatencyObjective, Summary, WorkloadFactors, WorkloadStatus
from mfu.show.levels import levels
from mfu.show.workloads import Listed

FLEET_CSV: Final = (
    "group", "name", "gpus", "allocated_gpus", "mfu", "allocated_mfu", "price_weighted_mfu", "scheduling", "runtime",
    "program", "measured", "estimated", "unknown", "cost_per_hour", "lost_per_hour", "cost_per_useful_pflop",
    "revenue_per_hour", "currency",
)  # fmt: skip
TENANT_CSV: Final = (
    "namespace", "workload", "mode", "model", "gpus", "scale", "expected", "observed", "attainable",
    "scheduling", "runtime", "program", "cause", "cost_per_hour", "lost_per_hour", "per_million_tokens",
    "per_million_input_tokens", "per_million_output_tokens", "watt_hours_per_million_tokens", "per_useful_pflop",
    "revenue_per_hour", "ttft_share", "tpot_share", "currency",
)  # fmt: skip
Row = tuple[str, ...]


def fleet_rows(status: FleetStatus) -> Iterator[Row]:
    """The fleet, then its products, namespaces and nodes, each with the cells of FLEET_CSV."""
    if status.totals is not None:
        yield _figures("fleet", "", status.totals, status.currency)
    for product in status.products:
        yield _figures("product", product.product, product, status.currency)
    for namespace in status.namespaces:
        yield _figures("namespace", namespace.namespace, namespace, status.currency)
    for node in status.nodes:
        yield _figures("node", node.node, node, status.currency)


def _figures(group: str, name: str, each: Figures, currency: str) -> Row:
    factors, coverage = each.factors, each.coverage
    cells = (
        group,
        name,
        each.gpus,
        each.allocated_gpus,
        each.mfu,
        each.allocated_mfu,
        each.price_weighted_mfu,
        factors and factors.scheduling,
        factors and factors.runtime,
        factors and factors.program,
        coverage and coverage.measured,
        coverage and coverage.estimated,
        coverage and coverage.unknown,
        each.cost_per_hour,
        each.lost_per_hour,
        each.cost_per_useful_pflop,
        each.revenue_per_hour if isinstance(each, NamespaceFigures) else None,
        currency,
    )
    return tuple(cell or "" for cell in cells)


def tenant_rows(workloads: Iterable[Listed]) -> Iterator[Row]:
    """One row a workload, each with the cells of TENANT_CSV."""
    for each in workloads:
        status, said = each.status, each.status.summary or Summary()
        cost, reached = status.cost or Cost(), levels(status)
        fractions = (reached.expected, reached.observed, reached.attainable)
        yield (
            each.namespace,
            each.name,
            each.mode,
            said.model,
            said.gpus,
            said.scale,
            *("" if level is None else f"{level:.4f}" for level in fractions),
            *_factors(status),
            said.cause,
            *(cell or "" for cell in (cost.per_hour, cost.lost_per_hour, cost.per_million_tokens)),
            *(cell or "" for cell in (cost.per_million_input_tokens, cost.per_million_output_tokens)),
            cost.watt_hours_per_million_tokens or "",
            cost.per_useful_pflop or "",
            cost.revenue_per_hour or "",
            *(_share(status, objective) for objective in LatencyObjective),
            cost.currency,
        )


def _factors(status: WorkloadStatus) -> Row:
    found = status.factors or WorkloadFactors()
    return (found.scheduling or "", found.runtime or "", found.program or "")


def _share(status: WorkloadStatus, objective: LatencyObjective) -> str:
    return next((each.share or "" for each in status.attainment if each.objective is objective), "")
