"""What the bands are made of, from the errors of publishers, engines and products that a fit never saw: the likeliest
standard deviations.

Two stages, because a prediction has to say which part of its doubt the runs of one stack share: how far rows stand from
the mean of their source tells what each errs by alone, the means of sources tell what they err by together. A last
factor on all makes the 80 % band hold what it says. Whatever was left out counts alike, however many rows it has, one
of n rows as n / (n + 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.rows import LONE, Names, bind, log_errors
from mfu.predict.fit.tables import MANY_ALIKE
from mfu.predict.spread import NORMAL_80
from mfu.predict.training.doubt import UNSURE, fewness, shared_columns, shares
from mfu.predict.training.step import step

Floats = NDArray[np.float64]
SHARED: Final = {"source": 0.07, "unknown": 0.15, "product": 0.12, "architecture": 0.25, "plain": 0.12, "few": 0.15}
OWN: Final = {"own": 0.05, "experts": 0.15, "few_experts": 0.15, **dict.fromkeys(UNSURE, 0.3)}
"""First guesses, which also hold as priors."""
LOOSE: Final = 0.5
"""How far (in log) they may stray."""
HOLD: Final = 0.79
"""Share that the band is to hold of what was left out, each publisher, engine and product counted alike: of their rows
it then holds 81, 90 and 89 %, as those with many rows are the stacks that are known best."""
_WIDEST: Final = 2.5


@dataclass(frozen=True, slots=True)
class SquaredErrors:
    """Of every row, or every source: by how much each entry counts in its variance, the variance beside them, the
    squared error, and the weight."""

    columns: Mapping[str, Floats]
    beside: Floats
    squares: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class HeldErrors:
    """Errors of every row under the fits that left its source, its engine or its product out, and what counts in their
    variance. `left`: what was left out; `source`: the rows of one source among those."""

    left: Names
    source: Names
    errors: Floats
    shared: Mapping[str, Floats]
    own: Mapping[str, Floats]
    stacks: Floats
    weight: Floats


def left_out_errors(refits: TrainingRefits) -> HeldErrors:
    """Every publisher, engine and product predicted by the fit of the others; the last two without the tables that are
    thousands of alike rows."""
    rows = refits.rows
    several = ~np.isin(rows.table, MANY_ALIKE)
    parts = []
    for factor in WAYS:
        names, usable = rows.names(factor), several | (factor == "publisher")
        parts += [_held(refits, factor, str(level), names, usable) for level in np.unique(names[usable])]
    return _joined(parts)


WAYS: Final = ("publisher", "engine", "product")
"""Versions of one source know one another: who asks about a stack of his own is a publisher that nobody has heard."""


def _held(refits: TrainingRefits, factor: str, level: str, names: Names, usable: NDArray[np.bool_]) -> HeldErrors:
    here = np.flatnonzero((names == level) & usable)
    c, part = refits.less(level, factor=factor), refits.rows.take(here)
    case = bind(part, c)
    own = shares(case, step(case, c), fewness(c, part.habitat))
    known = [
        [c.of(f"{table}_doubt", str(name)) ** 2 for name in part.names(table)]
        for table in ("engine", "product", "arithmetic", "habitat")
    ]
    left = f"{factor} {level}"
    return HeldErrors(
        left=np.full(len(here), left),
        source=np.array([f"{left} {source}" for source in part.source]),
        errors=log_errors(part, c),
        shared=shared_columns(c, part.engine, part.product, part.arithmetic),
        own={name: np.broadcast_to(share, len(here)) ** 2 for name, share in own.items()},
        stacks=np.sum(known, axis=0),
        weight=np.full(len(here), 1.0 / (len(here) + LONE)),
    )


def _joined(parts: Sequence[HeldErrors]) -> HeldErrors:
    def each(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    def columns(name: str, among: Mapping[str, float]) -> dict[str, Floats]:
        return {key: np.concatenate([getattr(part, name)[key] for part in parts]) for key in among}

    return HeldErrors(
        each("left"),
        each("source"),
        each("errors"),
        columns("shared", SHARED),
        columns("own", OWN),
        each("stacks"),
        each("weight"),
    )


def likeliest(found: HeldErrors) -> dict[str, float]:
    """Entries of the `doubt` table."""
    own = _fit(_within(found), OWN)
    alone = _variance(found.own, own)
    shared = _fit(_between(found, alone), SHARED)
    together = found.stacks + _variance(found.shared, shared)
    factor = _holding(found, alone, together)
    scaled = {name: value * factor for name, value in {**shared, **own}.items()}
    scaled["plain"] = _widened(found, scaled, found.shared["plain"], entry="plain", groups=found.source)
    lonely = (found.shared["few"] >= _LONELY) & (np.char.find(found.left, "product ") == 0)
    lone = np.where(lonely, found.own["few_experts"], 0.0)
    scaled["few_experts"] = _widened(found, scaled, lone, entry="few_experts", groups=found.left)
    return scaled


_LONELY: Final = 0.4
"""Known from no more than 1.5 sources."""


def _widened(found: HeldErrors, values: Mapping[str, float], column: Floats, *, entry: str, groups: Names) -> float:
    """What the rows of a column need beside all else, so that the band holds its share of them, every group counted
    once: the factor on all follows the stacks that are known best. Never less than the first guess: who publishes is a
    chosen few. Programs that nobody tunes are run in many ways on many machines, and each way is a source; mixtures on
    a new architecture change with every product."""
    here, rest = column > 0.0, {**values, entry: 0.0}
    variance = (found.stacks + _variance(found.shared, rest) + _variance(found.own, rest))[here]
    errors, names = found.errors[here], groups[here]
    equal = np.array([1.0 / np.count_nonzero(names == name) for name in names])
    tried = np.linspace(max(values[entry], {**SHARED, **OWN}[entry]), _WIDEST_ENTRY[entry], 61)
    held = [
        float(np.average(errors**2 <= NORMAL_80**2 * (variance + column[here] * each**2), weights=equal))
        for each in tried
    ]
    return float(tried[next((index for index, share in enumerate(held) if share >= HOLD), len(tried) - 1)])


_WIDEST_ENTRY: Final = {"plain": 0.25, "few_experts": 0.4}
"""Beyond this a band says nothing."""


def _within(found: HeldErrors) -> SquaredErrors:
    """Rows less the median of their source; sources of one row say nothing of that."""
    rest, kept = np.zeros(len(found.errors)), np.zeros(len(found.errors), dtype=bool)
    for source in np.unique(found.source):
        here = found.source == source
        count = int(np.count_nonzero(here))
        rest[here] = (found.errors[here] - np.median(found.errors[here])) * np.sqrt(count / max(count - 1, 1))
        kept[here] = count > 1
    columns = {name: column[kept] for name, column in found.own.items()}
    return SquaredErrors(columns, np.zeros(int(kept.sum())), rest[kept] ** 2, found.weight[kept])


def _between(found: HeldErrors, alone: Floats) -> SquaredErrors:
    """One row a source: the median of its errors."""
    sources = [np.flatnonzero(found.source == source) for source in np.unique(found.source)]
    columns = {name: np.array([np.mean(column[here]) for here in sources]) for name, column in found.shared.items()}
    beside = np.array([np.mean(found.stacks[here]) + np.mean(alone[here]) / len(here) for here in sources])
    squares = np.array([np.median(found.errors[here]) ** 2 for here in sources])
    return SquaredErrors(columns, beside, squares, np.array([np.sqrt(min(len(here), _MOST)) for here in sources]))


_MOST: Final = 16
"""Rows from which on a source counts no more."""


def _fit(found: SquaredErrors, first: Mapping[str, float], *, rounds: int = 40) -> dict[str, float]:
    """Coordinate descent on the likelihood, errors beyond `_WIDEST` deviations cut to that."""
    values, size = dict(first), 0.4
    best = _cost(found, values, first)
    for _ in range(rounds):
        for name in values:
            for factor in (1.0 + size, 1.0 / (1.0 + size)):
                tried = {**values, name: values[name] * factor}
                if (cost := _cost(found, tried, first)) < best:
                    best, values = cost, tried
        size *= 0.85
    return values


def _variance(columns: Mapping[str, Floats], values: Mapping[str, float]) -> Floats:
    return np.asarray(sum(column * values[name] ** 2 for name, column in columns.items()))


def _cost(found: SquaredErrors, values: Mapping[str, float], first: Mapping[str, float]) -> float:
    variance = found.beside + _variance(found.columns, values)
    loss = np.log(variance) + np.minimum(found.squares / variance, _WIDEST**2)
    prior = sum((np.log(values[name] / start) / LOOSE) ** 2 for name, start in first.items())
    return float(np.sum(found.weight * loss) * _ROWS / np.sum(found.weight) + prior)


_ROWS: Final = 40.0
"""What all rows, or all sources, count against the priors."""


def _holding(found: HeldErrors, alone: Floats, together: Floats) -> float:
    """What all have to be multiplied by, stacks' own doubt aside, so that the band holds its share."""
    factors = np.linspace(0.5, 2.5, 201)
    rest = together - found.stacks + alone
    held = [
        float(np.average(found.errors**2 <= NORMAL_80**2 * (found.stacks + rest * factor**2), weights=found.weight))
        for factor in factors
    ]
    return float(factors[int(np.argmin(np.abs(np.array(held) - HOLD)))])
