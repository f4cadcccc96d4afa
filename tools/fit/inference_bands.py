"""How far a serving prediction may be off, from publishers left out of the fit in turn.

What a row errs by alone comes from the squares of the errors; how far the band reaches to the slower and to the faster
side, and how much slower strangers are, from their order, by what the other publishers knew of engine and product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.doubt import KNOWN, NEW_ENGINE, NEW_PRODUCT, TERMS, features, knowledge, shared_doubt
from mfu.predict.inference.fit.left_out import ServingRefits
from mfu.predict.inference.fit.rows import ServingRows, log_errors, stack_effects
from mfu.predict.inference.measured import steps_of
from mfu.predict.inference.row_words import publisher_of
from mfu.predict.spread import NORMAL_80

Floats = NDArray[np.float64]
Names = NDArray[np.str_]
COVERED: Final = 0.85
"""What the band shall hold of rows of publishers left out. Kernels were chosen with their rows in sight: of rows that
nobody had seen it held 0.16 less (benchmarks/published/README.md)."""
LARGEST: Final = 0.6
"""Errors (log) beyond this count as this: runs in another state than the one declared, not the model's doubt."""
POWER: Final = -0.75
"""Power of a publisher's rows by which each of them counts: twice as many say 1.2 times as much."""
FEW: Final = 4.0
"""Publishers at which half of what a group says of itself is believed, the rest being what all say."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Every row predicted without its publisher: log error (positive where too fast), standard deviation of what
    engine, product, source and setting leave unknown, and what the others knew."""

    error: Floats
    shared: Floats
    known: Names
    publisher: Names

    def weights(self) -> Floats:
        """Of rows."""
        _, place, counts = np.unique(self.publisher, return_inverse=True, return_counts=True)
        return np.asarray(counts[place] ** POWER)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is learned of errors, as `ServingConstants` keeps it."""

    doubt: Mapping[str, float]
    reach: Mapping[str, tuple[float, float]]
    strangers: Mapping[str, float]

    def of(self, constants: ServingConstants) -> ServingConstants:
        """The constants with it in its place."""
        doubt = {**constants.doubt, **self.doubt}
        return replace(constants, doubt=doubt, reach=self.reach, strangers=self.strangers)


def errors(rows: ServingRows, constants: ServingConstants) -> Floats:
    """log(predicted / measured) as speed, the factors of engine and product included."""
    return log_errors(rows, constants) + stack_effects(rows, constants)


def summary(rows: ServingRows, error: Floats, chosen: NDArray[np.bool_]) -> str:
    """Rows, MAPE in the rows' own units, and median error as speed."""
    off = np.abs(np.expm1(rows.sign * error))[chosen]
    return f"{int(chosen.sum()):5d} rows  MAPE {off.mean():.3f}  bias {np.median(error[chosen]):+.3f}"


def calibrated(refits: ServingRefits) -> Calibration:
    """Publishers left out one after the other, and what their errors say."""
    left, rows = leave_out(refits), refits.rows
    given = features(rows.case, steps_of(rows.questions, rows.case, refits.whole.constants()))
    strangers = shifts(left)
    centred = replace(left, error=left.error + moved(left, strangers))
    own = own_squares(centred, given)
    sd = np.sqrt(centred.shared**2 + given @ own)
    doubt = {name: float(value) for name, value in zip(TERMS, np.sqrt(own), strict=True)}
    return Calibration(doubt, reaches(centred, sd), strangers)


def leave_out(refits: ServingRefits) -> LeftOut:
    rows = refits.rows
    publisher = np.array([publisher_of(str(source)) for source in rows.source])
    error, shared = np.full((2, len(rows)), np.nan)
    known = np.full(len(rows), "", dtype=f"<U{max(len(each) for each in (KNOWN, NEW_ENGINE, NEW_PRODUCT))}")
    for name in dict.fromkeys(publisher.tolist()):
        away = publisher == name
        constants = replace(refits.of_part(~away), strangers={})
        error[away] = errors(rows, constants)[away]
        shared[away] = _unknown(rows, constants)[away]
        pairs = zip(rows.engine[away], rows.product[away], strict=True)
        known[away] = [knowledge(constants, str(engine), str(product)) for engine, product in pairs]
        print(f"  without {name[:44]:44s} {summary(rows, error, away)}")
    print(f"left out by publisher {summary(rows, error, np.ones(len(rows), dtype=bool))}")
    return LeftOut(error, shared, known, publisher)


def _unknown(rows: ServingRows, constants: ServingConstants) -> Floats:
    setting = np.array([constants.setting(str(name)).doubt for name in rows.setting])
    return np.asarray(np.hypot(shared_doubt(constants, rows.engine, rows.product), setting))


def shifts(left: LeftOut) -> dict[str, float]:
    """Speed of engines and products that others do not have over the common mean: the mean of their publishers' median
    errors, shrunk by how many there are."""
    found = {}
    for factor, group in (("engine", NEW_ENGINE), ("product", NEW_PRODUCT)):
        here = left.known == group
        names = dict.fromkeys(left.publisher[here].tolist())
        medians = [float(np.median(left.error[here & (left.publisher == name)])) for name in names]
        found[factor] = float(np.exp(-sum(medians) / (len(medians) + FEW)))
    return found


def moved(left: LeftOut, strangers: Mapping[str, float]) -> Floats:
    """What these speeds add to the log errors."""
    factor = {NEW_ENGINE: strangers["engine"], NEW_PRODUCT: strangers["product"]}
    return np.asarray(np.log([factor.get(str(known), 1.0) for known in left.known]))


def own_squares(left: LeftOut, given: Floats) -> Floats:
    """What a run errs by alone, by what its time is made of: squared errors less what sources and stacks share, on the
    features, none negative."""
    wanted = np.minimum(left.error**2, LARGEST**2) - left.shared**2
    return _nonnegative(given, wanted, left.weights())


def reaches(left: LeftOut, sd: Floats) -> dict[str, tuple[float, float]]:
    """Standard deviations that the band reaches to the slower and the faster side, by what the others knew: the
    quantiles of a group shrunk to those of all rows."""
    off, weight = left.error / sd, left.weights()
    usual, found = _sides(off, weight), {}
    for group in (KNOWN, NEW_ENGINE, NEW_PRODUCT):
        here = left.known == group
        count = len(np.unique(left.publisher[here]))
        own, share = (_sides(off[here], weight[here]) if count else usual), count / (count + FEW)
        slower, faster = (share * mine + (1 - share) * all_ for mine, all_ in zip(own, usual, strict=True))
        found[group] = (slower, faster)
    return found


def _sides(off: Floats, weight: Floats) -> tuple[float, float]:
    """How far to the slower side (predicted too fast) and to the faster one all but a tail of each lies."""
    order = np.argsort(off)
    below = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    tail = (1.0 - COVERED) / 2.0
    fastest, slowest = np.interp([tail, 1.0 - tail], below, off[order])
    least = NORMAL_80 / 4.0
    return max(float(slowest), least), max(float(-fastest), least)


def _nonnegative(given: Floats, wanted: Floats, weight: Floats) -> Floats:
    """Least squares with no coefficient below zero, by projected gradient."""
    normal, right = given.T @ (weight[:, None] * given), given.T @ (weight * wanted)
    found = np.full(given.shape[1], 0.01)
    for _ in range(20_000):
        found = np.maximum(found - (normal @ found - right) / np.trace(normal), 0.0)
    return found
