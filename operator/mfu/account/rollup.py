"""MFU of nodes, namespaces, products and the fleet: Σ model FLOPs ÷ Σ dense 16-bit peak, over what is known.

One row is a group of GPUs of one node that are in the same state: those of one pod, or those that nobody holds.
Unknown GPUs count in neither sum; the coverage says how much that leaves out. Idle ones are known: they do nothing.
Where less than half of what somebody holds is known a group has no figure: the idle would speak for the busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.account.factors import MOST_IDLE, Factors
from mfu.hardware.price import per_useful_pflop


class Knowledge(IntEnum):
    """How a row's FLOPs are known."""

    UNKNOWN = 0
    IDLE = 1
    COUNTERS = 2
    PROGRESS = 3


@dataclass(frozen=True, slots=True)
class RollupRow:
    """`peak` is the dense 16-bit peak of all its GPUs in FLOP/s, None where the product is unknown."""

    node: str
    namespace: str | None
    product: str | None
    gpus: float
    peak_flops_per_s: float | None
    reference_mfu: float | None
    knowledge: Knowledge
    price_per_hour: float | None = None
    currency: str = ""
    charge_per_hour: float | None = None
    """What its holder is charged; None where nothing is."""


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
    factors: Factors = field(default_factory=Factors)
    cost_per_useful_pflop: float | None = None
    """Price of what is known ÷ its model PFLOPs (1e15 operations), idle GPUs included."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
    fleet: Figure | None = None
    nodes: Mapping[str, Figure] = field(default_factory=dict)
    namespaces: Mapping[str, Figure] = field(default_factory=dict)
    products: Mapping[str, Figure] = field(default_factory=dict)


Floats = NDArray[np.float64]
LEAST_COVERAGE: Final = 0.5
"""Of the GPUs that somebody holds: with less of them known a group has no figure."""
MOST_POSSIBLE: Final = 4.2
"""Reference MFU of a product at its FP4 peak, four times the 16-bit one, with the error of clocks and counters."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Which group each row belongs to: an index into `names`, -1 for none (idle GPUs have no namespace)."""

    names: tuple[str, ...]
    index: Indices


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as columns. NaN is unknown; `price` is per hour for all of a row's GPUs, as `peak` is."""

    gpus: Floats
    peak: Floats
    price: Floats
    nodes: Groups
    namespaces: Groups
    products: Groups
    currencies: Groups
    charge: Floats

    def __len__(self) -> int:
        return len(self.gpus)


@dataclass(frozen=True, slots=True)
class _Columns:
    gpus: Floats
    peak: Floats
    work: Floats
    price: Floats
    knowledge: Indices
    moving: Floats
    """Part of the time in which work is done, 0 to 1."""


def table_of(rows: Sequence[RollupRow]) -> Table:
    return Table(
        gpus=np.array([row.gpus for row in rows], dtype=float),
        peak=np.array([_or_nan(row.peak_flops_per_s) for row in rows], dtype=float),
        price=np.array([_or_nan(row.price_per_hour) for row in rows], dtype=float),
        nodes=grouped([row.node for row in rows]),
        namespaces=grouped([row.namespace for row in rows]),
        products=grouped([row.product for row in rows]),
        currencies=grouped([row.currency for row in rows]),
        charge=np.array([_or_nan(row.charge_per_hour) for row in rows], dtype=float),
    )


def grouped(labels: Sequence[str | None]) -> Groups:
    """Groups in the order of their names."""
    names = tuple(sorted({label for label in labels if label is not None}))
    number = {name: index for index, name in enumerate(names)}
    return Groups(names, np.array([-1 if label is None else number[label] for label in labels], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What each row does. NaN is unknown."""

    mfu: Floats
    """Reference MFU."""
    knowledge: Indices
    moving: Floats
    """Share of its GPU-time in which it makes progress, as counters see it."""


def roll_up_table(table: Table, done: WorkDone, currency: str | None = None) -> FleetFigures:
    """Prices count in that currency alone, if it is named."""
    mfu, knowledge = done.mfu, done.knowledge
    if not len(table):
        return FleetFigures()
    with np.errstate(over="ignore", invalid="ignore"):
        work = np.where(knowledge == Knowledge.IDLE, 0.0, table.peak * mfu)
    # A product without a known peak, or a reading that no GPU can reach, is unknown whatever its state claims.
    unknown = ~np.isfinite(work) | ~np.isfinite(table.peak) | (work < 0) | (mfu > MOST_POSSIBLE)
    work = np.where(unknown, np.nan, work)
    price = table.price if currency is None else _in(table, currency)
    known = np.where(unknown, Knowledge.UNKNOWN, knowledge)
    columns = _Columns(table.gpus, table.peak, work, price, known, _moving(done, work, table.peak))
    whole = Groups(("fleet",), np.zeros(len(table), dtype=np.int64))
    return FleetFigures(
        fleet=_by(columns, whole)["fleet"],
        nodes=_by(columns, table.nodes),
        namespaces=_by(columns, table.namespaces),
        products=_by(columns, table.products),
    )


def _moving(done: WorkDone, work: Floats, peak: Floats) -> Floats:
    """As `moving_share` has it, row by row."""
    works = np.where(work >= MOST_IDLE * peak, 1.0, 0.0)
    return np.where(np.isnan(done.moving) | (done.moving == 0), works, done.moving)


def _in(table: Table, currency: str) -> Floats:
    """Two currencies are never added up: prices in another one are unknown here."""
    names = table.currencies.names
    number = names.index(currency) if currency in names else len(names)
    return np.where(table.currencies.index == number, table.price, np.nan)


def _by(columns: _Columns, groups: Groups) -> dict[str, Figure]:
    keep = groups.index >= 0
    part = _Columns(*(getattr(columns, each.name)[keep] for each in fields(columns)))
    return dict(zip(groups.names, _figures(part, groups.index[keep], len(groups.names)), strict=True))


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


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
    enough = total(columns.gpus, held) >= LEAST_COVERAGE * total(columns.gpus, ~idle)
    mfu = _ratio(total(columns.work, known), total(columns.peak, known), enough)
    allocated = _ratio(total(columns.work, held), total(columns.peak, held), enough)
    weighted = _ratio(total(fraction * columns.price, priced), total(columns.price, priced), enough)
    cost = total(columns.price, ~np.isnan(columns.price))
    has_price = np.bincount(index[~np.isnan(columns.price)], minlength=groups) > 0
    idle_cost = total(columns.price, idle & ~np.isnan(columns.price))
    return list(
        map(
            Figure,
            gpus.tolist(),
            (gpus * (1 - share[Knowledge.IDLE])).tolist(),
            mfu,
            allocated,
            weighted,
            *(share[kind].tolist() for kind in (Knowledge.PROGRESS, Knowledge.COUNTERS, Knowledge.IDLE)),
            share[Knowledge.UNKNOWN].tolist(),
            _where(cost, has_price),
            _where(idle_cost, has_price),
            _factors(columns, index, held, known, enough),
            _per_pflop(total(columns.price, priced), total(columns.work, priced), enough),
        )
    )


def _factors(
    columns: _Columns, index: Indices, held: NDArray[np.bool_], known: NDArray[np.bool_], enough: NDArray[np.bool_]
) -> list[Factors]:
    """What is unknown counts in none of the three, as it counts in no MFU."""

    def total(values: Floats, where: NDArray[np.bool_]) -> Floats:
        return np.bincount(index[where], weights=values[where], minlength=len(enough)).astype(np.float64)

    every, taken = (total(columns.peak, each) for each in (known, held))
    progressing = total(columns.peak * columns.moving, held)
    scheduling, runtime = _ratio(taken, every, enough), _ratio(progressing, taken, enough)
    # What idle holders do is little, and is counted here: the three must multiply to the whole.
    return list(map(Factors, scheduling, runtime, _ratio(total(columns.work, held), progressing, enough)))


def _per_pflop(cost: Floats, work: Floats, enough: NDArray[np.bool_]) -> list[float | None]:
    rows = zip(cost.tolist(), work.tolist(), enough.tolist(), strict=True)
    return [per_useful_pflop(paid, done) if covered and paid > 0 else None for paid, done, covered in rows]


def _where(values: Floats, known: NDArray[np.bool_]) -> list[float | None]:
    return [value if there else None for value, there in zip(values.tolist(), known.tolist(), strict=True)]


def _ratio(numerator: Floats, denominator: Floats, enough: NDArray[np.bool_]) -> list[float | None]:
    rows = zip(numerator.tolist(), denominator.tolist(), enough.tolist(), strict=True)
    return [above / below if covered and below > 0 else None for above, below, covered in rows]
