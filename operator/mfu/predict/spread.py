"""How far a prediction may be off: random effects of stacks and sources, shrunk to a common mean, and their band.

log(measured / predicted) of row i = mean + Σ effect of its level in each factor (engine, product, source, …) + noise,
every effect normal around 0 with its factor's own spread (Laird, Ware 1982, "Random-effects models for longitudinal
data"). A level that was measured has a mean and a remaining doubt; one that never was has mean 0 and the whole spread,
so an engine that nobody measured gets the common mean and what engines differ by, never a factor of 1 that is certain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL_80: Final = 1.2816
"""Standard deviations on either side of the mean that hold 80 % of a normal distribution."""
_ROUNDS: Final = 25
_ROBUST: Final = 2.0
"""Residuals beyond so many standard deviations weigh less (Huber)."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One level's log factor and what is still unknown of it, as a standard deviation."""

    mean: float = 0.0
    sd: float = 0.0


@dataclass(frozen=True, slots=True)
class Effects:
    """What a fit learned: the common mean, each factor's spread between levels, each level's effect, and the noise."""

    mean: float
    spread: Mapping[str, float]
    levels: Mapping[str, Mapping[str, Effect]]
    noise: float

    def at(self, factor: str, level: str) -> Effect:
        """The level's effect; mean 0 and the factor's whole spread where it was never measured."""
        return self.levels.get(factor, {}).get(level) or Effect(0.0, self.spread.get(factor, 0.0))


def band(value: float, sd: float, *, deviations: float = NORMAL_80) -> tuple[float, float]:
    """The 80 % band around a positive value whose logarithm has that standard deviation.

    `band(0.40, 0.10)` is 0.40 · exp(∓0.128) = (0.352, 0.455).
    """
    reach = math.exp(deviations * sd)
    return value / reach, value * reach


def shrink(shared_sd: float, own_sd: float, known: int) -> float:
    """Share of a mean residual of `known` rows that belongs to what they share: s² / (s² + o² / n).

    One row, shared 0.2, own 0.1: 0.04 / 0.05 = 0.8. Four: 0.04 / 0.0425 = 0.94.
    """
    if known < 1 or shared_sd <= 0.0:
        return 0.0
    return shared_sd**2 / (shared_sd**2 + own_sd**2 / known)


REGIMES: Final = 1.5
"""Rows of one source lie so many times further apart than each errs by alone (16 left-out sources of training_mfu.csv:
median 1.5, mean 1.6): what one run says of another holds less where regimes differ."""


def likeness(one: Floats, other: Floats, *, same_hardware: bool = True) -> float:
    """How much of one run's error another's may share: the cube of the part of the step that both spend on the same
    things, 0.6 of it on another product or in another number format.

    (0.5, 0.5) and (0.8, 0.2) have 0.7 in common: 0.343. Over all pairs of rows of 34 left-out sources the square comes
    as near on average, but makes four sources worse where the cube makes two.
    """
    common = float(np.minimum(one, other).sum())
    return common**_POWER * (1.0 if same_hardware else _OTHER_HARDWARE)


_POWER: Final = 3
_OTHER_HARDWARE: Final = 0.6


def fit_effects(
    residuals: Floats,
    factors: Mapping[str, NDArray[np.str_]],
    spread: Mapping[str, float],
    *,
    noise: float = 0.1,
    weights: Floats | None = None,
) -> Effects:
    """Effects, spreads and noise from log(measured / predicted), by expectation maximisation with Huber weights.

    `spread` are first guesses, which also hold as priors worth two levels each: a factor with one level learns nothing
    about how levels differ.
    """
    weight = np.ones(len(residuals)) if weights is None else weights
    columns = {name: np.unique(values, return_inverse=True) for name, values in factors.items()}
    design = np.hstack([np.ones((len(residuals), 1)), *(np.eye(len(u))[i] for u, i in columns.values())])
    owner = np.concatenate([np.zeros(1, int), *(np.full(len(u), k + 1) for k, (u, _) in enumerate(columns.values()))])
    guess = np.array([1.0, *(spread[name] for name in factors)])
    variances, sigma = guess**2, noise
    solution, covariance = np.zeros(design.shape[1]), np.eye(design.shape[1])
    for _ in range(_ROUNDS):
        rest = residuals - design @ solution
        each = weight * np.minimum(1.0, _ROBUST * sigma / np.maximum(np.abs(rest), 1e-12)) / sigma**2
        covariance = np.linalg.inv(design.T @ (each[:, None] * design) + np.diag(1.0 / variances[owner]))
        solution = covariance @ (design.T @ (each * residuals))
        variances = _variances(solution, covariance, owner, guess, variances)
        sigma = _noise(residuals - design @ solution, weight, noise)
    return _effects(solution, covariance, columns, np.sqrt(variances), sigma)


def _variances(
    solution: Floats, covariance: Floats, owner: NDArray[np.int_], guess: Floats, variances: Floats
) -> Floats:
    squares = solution**2 + np.diag(covariance)
    found = [guess[0] ** 2]
    for factor in range(1, len(guess)):
        members = np.minimum(squares[owner == factor], _WILD**2 * variances[factor])
        found.append((members.sum() + _PRIOR_LEVELS * guess[factor] ** 2) / (len(members) + _PRIOR_LEVELS))
    return np.array(found)


_PRIOR_LEVELS: Final = 2.0
_WILD: Final = 3.0
"""Levels further off than so many spreads count as that many: one broken source does not make all of them doubtful."""


def _noise(rest: Floats, weight: Floats, guess: float) -> float:
    """Robust standard deviation: 1.25 times the mean absolute deviation (exact for a normal one)."""
    return max(1.2533 * float(np.average(np.abs(rest), weights=weight)), 0.1 * guess)


def _effects(
    solution: Floats,
    covariance: Floats,
    columns: Mapping[str, tuple[NDArray[np.str_], NDArray[np.intp]]],
    spreads: Floats,
    noise: float,
) -> Effects:
    sds = np.sqrt(np.diag(covariance))
    levels: dict[str, Mapping[str, Effect]] = {}
    start = 1
    for name, (names, _) in columns.items():
        here = slice(start, start + len(names))
        levels[name] = {
            str(level): Effect(float(mean), float(sd))
            for level, mean, sd in zip(names, solution[here], sds[here], strict=True)
        }
        start += len(names)
    by_factor = {name: float(spreads[index + 1]) for index, name in enumerate(columns)}
    return Effects(float(solution[0]), by_factor, levels, noise)
