"""What the bands are made of, from the errors of sources that a fit never saw: the likeliest standard deviations.

Two stages, because a prediction has to say which part of its doubt the runs of one stack share: how far rows stand from
the mean of their source tells what each errs by alone, the means of sources tell what they err by together. A last
factor on all makes the 80 % band hold what it says. Every source counts with the square root of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.rows import Names, bind, log_errors, weights
from mfu.predict.spread import NORMAL_80
from mfu.predict.training.doubt import UNSURE, shared_columns, shares
from mfu.predict.training.step import step

Floats = NDArray[np.float64]
SHARED: Final = {"source": 0.07, "unknown": 0.15, "product": 0.12, "architecture": 0.25, "plain": 0.12}
OWN: Final = {"own": 0.05, "experts": 0.15, **dict.fromkeys(UNSURE, 0.3)}
"""First guesses, which also hold as priors."""
LOOSE: Final = 0.5
"""How far (in log) they may stray."""
HOLD: Final = 0.82
"""Share of rows that the band is to hold: 80 % on sources yet unseen, with some room for what those bring."""
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
    """Errors of every row under the fit that left its source out, and what counts in their variance."""

    source: Names
    errors: Floats
    shared: Mapping[str, Floats]
    own: Mapping[str, Floats]
    stacks: Floats
    weight: Floats


def left_out_errors(refits: TrainingRefits) -> HeldErrors:
    """Every source predicted by the fit of the others."""
    rows, size = refits.rows, len(refits.rows.source)
    shared = {name: np.zeros(size) for name in SHARED}
    own = {name: np.zeros(size) for name in OWN}
    stacks, errors = np.zeros(size), np.zeros(size)
    for source in np.unique(rows.source):
        here = np.flatnonzero(rows.source == source)
        c, part = refits.less(str(source)), rows.take(here)
        case = bind(part, c)
        errors[here] = log_errors(part, c)
        for name, column in shared_columns(c, part.engine, part.product, part.arithmetic).items():
            shared[name][here] = column
        for name, share in shares(case, step(case, c)).items():
            own[name][here] = np.broadcast_to(share, len(here)) ** 2
        for table in ("engine", "product", "arithmetic", "habitat"):
            stacks[here] += np.array([c.of(f"{table}_doubt", str(name)) for name in part.names(table)]) ** 2
    return HeldErrors(rows.source, errors, shared, own, stacks, weights(rows))


def likeliest(found: HeldErrors) -> dict[str, float]:
    """Entries of the `doubt` table."""
    own = _fit(_within(found), OWN)
    alone = _variance(found.own, own)
    shared = _fit(_between(found, alone), SHARED)
    together = found.stacks + _variance(found.shared, shared)
    factor = _holding(found, alone, together)
    scaled = {name: value * factor for name, value in {**shared, **own}.items()}
    return {**scaled, "plain": _plain(found, scaled)}


def _plain(found: HeldErrors, values: Mapping[str, float]) -> float:
    """What programs that nobody tunes need beside all that, so that the band holds its share of them, every source
    counted once: they are run in many ways on many machines, and each way is a source. Never less than the first guess:
    who publishes is a chosen few."""
    here = found.shared["plain"] > 0.0
    rest = {**values, "plain": 0.0}
    variance = (found.stacks + _variance(found.shared, rest) + _variance(found.own, rest))[here]
    errors, sources = found.errors[here], found.source[here]
    equal = np.array([1.0 / np.count_nonzero(sources == source) for source in sources])
    tried = np.linspace(max(values["plain"], SHARED["plain"]), _PLAINEST, 61)
    held = [float(np.average(errors**2 <= NORMAL_80**2 * (variance + each**2), weights=equal)) for each in tried]
    return float(tried[next((index for index, share in enumerate(held) if share >= HOLD), len(tried) - 1)])


_PLAINEST: Final = 0.25
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
