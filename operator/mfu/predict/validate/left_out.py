"""Scores with each source left out of the fit: what a prediction is worth on a source that nobody has seen.

The kind of table brings `refit`: which rows may be used → a forecast of every row. This module loops over the sources,
takes the forecasts of the rows left out, and, where one row of the source is given, moves the others by the part of
its error that a source shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from mfu.predict.spread import NORMAL_80, REGIMES, likeness, shrink
from mfu.predict.validate.common import Report, Scored, mape

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Predictions of every row in the unit that was measured, with the standard deviations of their logarithms:
    `shared` is what rows of one source err by together, `own` what each errs by alone."""

    predicted: Floats
    shared: Floats
    own: Floats
    spent: Floats | None = None
    """What each row's step is spent on, a column a term, as shares of it; None takes all rows for alike."""
    hardware: NDArray[np.str_] | None = None
    """Product and number format of each row."""
    method: NDArray[np.str_] | None = None
    """What each row trains: all parameters or adapters, which err by terms of their own."""
    sound: Mask | None = None
    """Rows that a fit may use; what their own table doubts says nothing of others. None takes all."""
    reach: Floats | None = None
    """Standard deviations that each row's band reaches below and above, a column each; None takes the normal ones."""

    @property
    def sd(self) -> Floats:
        return np.hypot(self.shared, self.own)

    def reaches(self, index: int) -> Floats:
        """Of one row, below and above."""
        return np.full(2, NORMAL_80) if self.reach is None else self.reach[index]

    def likeness(self, one: int, other: int) -> float:
        """How much of the error of one row another may share; none of a doubtful row's, or of another method's."""
        doubtful = self.sound is not None and not self.sound[other]
        if doubtful or (self.method is not None and self.method[one] != self.method[other]):
            return 0.0
        if self.spent is None:
            return 1.0
        same = self.hardware is None or self.hardware[one] == self.hardware[other]
        return likeness(self.spent[one], self.spent[other], same_hardware=bool(same))


Refit = Callable[[Mask], Forecast]


def left_out(report: Report, refit: Refit, *, key: str = "source", given: int = 0) -> Report:
    """The report with every row predicted by a fit that never saw its source, and the spread over sources beside it.

    `extra` gains median_source and mean_source. Row i of n is given row i + n/2 (round the end), so that a neighbour,
    often the same run with one digit changed, does not help it.
    """
    names = np.array([row.keys.get(key, "") for row in report.scored])
    scored: list[Scored] = list(report.scored)
    for name in dict.fromkeys(names.tolist()):
        held = np.flatnonzero(names == name)
        forecast = refit(names != name)
        moved = _known(scored, held, forecast) if given and len(held) > 1 else (forecast.predicted, forecast.sd)
        for index in held:
            below, above = np.exp(forecast.reaches(int(index)) * moved[1][index])
            value = float(moved[0][index])
            scored[index] = replace(scored[index], predicted=value, low=value / below, high=value * above)
    return replace(report, scored=tuple(scored), extra={**report.extra, **by_source(scored, key)})


def _known(scored: Sequence[Scored], held: NDArray[np.intp], forecast: Forecast) -> tuple[Floats, Floats]:
    """Predictions and doubts once another row of the source is known: its error moves the others by the part that is
    likely the source's, and as far as they are like it."""
    predicted, sd = forecast.predicted.copy(), forecast.sd.copy()
    half = max(len(held) // 2, 1)
    for position, index in enumerate(held):
        other = held[(position + half) % len(held)]
        error = float(np.log(scored[other].measured / forecast.predicted[other]))
        share = shrink(float(forecast.shared[other]), REGIMES * float(forecast.own[other]), 1)
        share *= forecast.likeness(int(index), int(other))
        predicted[index] *= float(np.exp(share * error))
        sd[index] = np.hypot(forecast.own[index], forecast.shared[index] * np.sqrt(1.0 - share))
    return predicted, sd


def by_source(scored: Sequence[Scored], key: str) -> Mapping[str, float | None]:
    """Mean absolute error of each source, their median and mean: a source counts once, however many rows it has."""
    members: dict[str, list[Scored]] = {}
    for row in scored:
        members.setdefault(row.keys.get(key, ""), []).append(row)
    errors = [found for rows in members.values() if (found := mape(rows)) is not None]
    if not errors:
        return {"median_source": None, "mean_source": None}
    return {"median_source": median(errors), "mean_source": fmean(errors)}
