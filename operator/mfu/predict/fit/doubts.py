"""What the bands are made of, from the errors of sources that a fit never saw: the likeliest standard deviations.

Each row's error is normal with the variance that `training/doubt.py` adds up; every source counts with the square root
of its rows, as in the fit. A last factor on all of them makes the 80 % band hold what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.left_out import Refits
from mfu.predict.fit.rows import bind, log_errors, weights
from mfu.predict.spread import NORMAL_80
from mfu.predict.training.doubt import UNSURE, shares, unmeasured
from mfu.predict.training.step import step

Floats = NDArray[np.float64]
FIRST: Final = {
    "source": 0.08,
    "own": 0.05,
    "unknown": 0.15,
    "product": 0.1,
    "experts": 0.15,
    **dict.fromkeys(UNSURE, 0.3),
}
"""First guesses, which also hold as priors."""
LOOSE: Final = 0.5
"""How far (in log) they may stray."""
HOLD: Final = 0.82
"""Share of rows that the band is to hold: 80 % on sources yet unseen, with some room for what those bring."""
_WIDEST: Final = 2.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """Squares by which each entry counts in the variance of every row, what stacks add, and the squared errors."""

    columns: dict[str, Floats]
    stacks: Floats
    squares: Floats
    weight: Floats


def evidence(refits: Refits) -> Evidence:
    """Errors of every row under the fit that left its source out."""
    rows = refits.rows
    columns = {name: np.zeros(len(rows.source)) for name in FIRST}
    stacks, squares = np.zeros(len(rows.source)), np.zeros(len(rows.source))
    for source in np.unique(rows.source):
        here = np.flatnonzero(rows.source == source)
        c, part = refits.less(str(source)), rows.take(here)
        case = bind(part, c)
        squares[here] = log_errors(part, c) ** 2
        columns["source"][here] = 1.0
        columns["unknown"][here] = unmeasured(c, "engine", part.engine)
        columns["product"][here] = unmeasured(c, "product", part.product)
        for name, share in shares(case, step(case, c)).items():
            columns[name][here] = np.broadcast_to(share, len(here)) ** 2
        for table in ("engine", "product", "arithmetic"):
            stacks[here] += np.array([c.of(f"{table}_doubt", str(name)) for name in part.names(table)]) ** 2
    return Evidence(columns, stacks, squares, weights(rows))


def likeliest(found: Evidence, *, rounds: int = 40) -> dict[str, float]:
    """Coordinate descent on the likelihood, errors beyond `_WIDEST` deviations cut to that; then the factor."""
    values, size = dict(FIRST), 0.4
    best = _cost(found, values)
    for _ in range(rounds):
        for name in values:
            for factor in (1.0 + size, 1.0 / (1.0 + size)):
                tried = {**values, name: values[name] * factor}
                if (cost := _cost(found, tried)) < best:
                    best, values = cost, tried
        size *= 0.85
    return _holding(found, values)


def _variance(found: Evidence, values: dict[str, float]) -> Floats:
    total = found.stacks.copy()
    for name, column in found.columns.items():
        total += column * values[name] ** 2
    return total


def _cost(found: Evidence, values: dict[str, float]) -> float:
    variance = _variance(found, values)
    loss = np.log(variance) + np.minimum(found.squares / variance, _WIDEST**2)
    prior = sum((np.log(values[name] / first) / LOOSE) ** 2 for name, first in FIRST.items())
    return float(np.sum(found.weight * loss) * _ROWS / np.sum(found.weight) + prior)


_ROWS: Final = 60.0
"""What all rows count against the priors."""


def _holding(found: Evidence, values: dict[str, float]) -> dict[str, float]:
    """The same, all times what makes the band hold its share."""
    factors = np.linspace(0.5, 2.5, 201)
    held = [_held(replace(found), {name: value * factor for name, value in values.items()}) for factor in factors]
    factor = float(factors[int(np.argmin(np.abs(np.array(held) - HOLD)))])
    return {name: value * factor for name, value in values.items()}


def _held(found: Evidence, values: dict[str, float]) -> float:
    inside = found.squares <= NORMAL_80**2 * _variance(found, values)
    return float(np.average(inside, weights=found.weight))
