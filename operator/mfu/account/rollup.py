"""MFU of nodes, namespaces, products and the fleet: Σ model FLOPs ÷ Σ dense 16-bit peak, over what is known.

One row is a group of GPUs of one node that are in the same state: those of one pod, or those that nobody holds.
Unknown GPUs count in neither sum; the coverage says how much that leaves out. Idle ones are known: they do nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Knowledge(IntEnum):
    """How a row's FLOPs are known."""

    UNKNOWN = 0
    IDLE = 1
    COUNTERS = 2
    PROGRESS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """`peak` is the dense 16-bit peak of all its GPUs in FLOP/s, None where the product is unknown."""

    node: str
    namespace: str | None
    product: str | None
    gpus: float
    peak_flops_per_s: float | None
    reference_mfu: float | None
    knowledge: Knowledge
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One group's answer. Fractions; None where nothing is known."""

    gpus: float
    allocated_gpus: float
    mfu: float | None
    """Idle GPUs included."""
    allocated_mfu: float | None
    """Only GPUs that somebody holds."""
    price_weighted_mfu: float | None
    """Every GPU weighs by its price: what share of the money became work."""
    measured: float
    estimated: float
    idle: float
    unknown: float
    """Coverage: shares of GPUs measured by progress, estimated by counters, idle, unknown; they add up to 1."""
    cost_per_hour: float | None
    idle_cost_per_hour: float | None


@dataclass(frozen=True, slots=True)
class FleetFigures:
    fleet: Figure | None = None
    nodes: Mapping[str, Figure] = field(default_factory=dict)
    namespaces: Mapping[str, Figure] = field(default_factory=dict)
    products: Mapping[str, Figure] = field(default_factory=dict)


Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Columns:
    gpus: Floats
    peak: Floats
    work: Floats
    price: Floats
    knowledge: NDArray[np.int64]


def roll_up(rows: Sequence[Row]) -> FleetFigures:
    """All groups at once; linear in the rows. An empty fleet has no figures."""
    if not rows:
        return FleetFigures()
    columns = _columns(rows)
    whole = _figures(columns, np.zeros(len(rows), dtype=np.int64), 1)[0]
    return FleetFigures(
        fleet=whole,
        nodes=_by(columns, [row.node for row in rows]),
        namespaces=_by(columns, [row.namespace for row in rows]),
        products=_by(columns, [row.product for row in rows]),
    )


def _columns(rows: Sequence[Row]) -> _Columns:
    peak = np.array([np.nan if row.peak_flops_per_s is None else row.peak_flops_per_s for row in rows])
    mfu = np.array([np.nan if row.reference_mfu is None else row.reference_mfu for row in rows])
    knowledge = np.array([row.knowledge for row in rows], dtype=np.int64)
    idle = knowledge == Knowledge.IDLE
    work = np.where(idle, 0.0, peak * mfu)
    # A product without a known peak, or a reading that came to nothing, is unknown whatever its state claims.
    unknown = np.isnan(work) | np.isnan(peak)
    knowledge = np.where(unknown, Knowledge.UNKNOWN, knowledge)
    price = np.array([np.nan if row.price_per_hour is None else row.price_per_hour for row in rows])
    return _Columns(np.array([row.gpus for row in rows], dtype=float), peak, work, price, knowledge)


def _by(columns: _Columns, labels: Sequence[str | None]) -> dict[str, Figure]:
    """Groups by label; rows without one (idle GPUs have no namespace) are left out."""
    keep = np.array([label is not None for label in labels])
    if not keep.any():
        return {}
    names, index = np.unique(np.array([label for label in labels if label is not None]), return_inverse=True)
    part = _Columns(
        columns.gpus[keep], columns.peak[keep], columns.work[keep], columns.price[keep], columns.knowledge[keep]
    )
    return dict(zip(map(str, names), _figures(part, index, len(names)), strict=True))


def _figures(columns: _Columns, index: NDArray[np.int64], groups: int) -> list[Figure]:
    known = columns.knowledge != Knowledge.UNKNOWN
    idle = columns.knowledge == Knowledge.IDLE
    held = known & ~idle
    priced = known & ~np.isnan(columns.price)

    def total(values: Floats, where: NDArray[np.bool_]) -> Floats:
        return np.bincount(index[where], weights=values[where], minlength=groups).astype(np.float64)

    everything = np.ones(len(columns.gpus), dtype=bool)
    gpus = total(columns.gpus, everything)
    share = {kind: total(columns.gpus, columns.knowledge == kind) / np.maximum(gpus, 1e-12) for kind in Knowledge}
    fraction = columns.work / columns.peak
    mfu = _ratio(total(columns.work, known), total(columns.peak, known))
    allocated = _ratio(total(columns.work, held), total(columns.peak, held))
    weighted = _ratio(total(fraction * columns.price, priced), total(columns.price, priced))
    cost = total(columns.price, ~np.isnan(columns.price))
    has_price = np.bincount(index[~np.isnan(columns.price)], minlength=groups) > 0
    idle_cost = total(columns.price, idle & ~np.isnan(columns.price))
    return [
        Figure(
            gpus=float(gpus[i]),
            allocated_gpus=float(gpus[i] * (1 - share[Knowledge.IDLE][i])),
            mfu=mfu[i],
            allocated_mfu=allocated[i],
            price_weighted_mfu=weighted[i],
            measured=float(share[Knowledge.PROGRESS][i]),
            estimated=float(share[Knowledge.COUNTERS][i]),
            idle=float(share[Knowledge.IDLE][i]),
            unknown=float(share[Knowledge.UNKNOWN][i]),
            cost_per_hour=float(cost[i]) if has_price[i] else None,
            idle_cost_per_hour=float(idle_cost[i]) if has_price[i] else None,
        )
        for i in range(groups)
    ]


def _ratio(numerator: Floats, denominator: Floats) -> list[float | None]:
    pairs = zip(numerator.tolist(), denominator.tolist(), strict=True)
    return [above / below if below > 0 else None for above, below in pairs]
