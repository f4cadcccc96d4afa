"""The fit: damped Gauss-Newton on robustly weighted log errors, constants held by their sources, stacks by one another.

Unknowns are the logarithms of the constants, and the random effects: engines, products and arithmetics, which go into
predictions, and sources, which may keep a little to themselves. The spreads between levels are estimated from the same
rows by expectation maximisation, so that how far an engine may stand from the common mean is itself what engines were
seen to do. Errors weigh by Cauchy's law: a row far off says little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.fit.parameters import PARAMETERS, PREDICTED, SPREAD
from mfu.predict.fit.rows import TrainingRows, log_errors, weights
from mfu.predict.training.constants import DEFAULT, TrainingConstants, shipped

Floats = NDArray[np.float64]
EFFECTIVE_ROWS: Final = 100.0
"""What all training rows together count against the priors: rows of one source are far from independent."""
NOISE: Final = 0.05
"""Standard deviation of the log error that rows of one series have of their own."""
_DELTA: Final = 0.01
_ROBUST: Final = 2.0
_PRIOR_LEVELS: Final = 2.0
_LEAST_SPREAD: Final = 0.02
_WILD: Final = 2.5
"""Levels further off than so many first guesses count as that many: one odd source does not make all of them loose."""


@dataclass(frozen=True, slots=True)
class TrainingFit:
    """Constants (as logarithms), effects of every factor's levels, what is still unknown of them, and the spreads."""

    theta: Floats
    mean: float
    levels: Mapping[str, tuple[str, ...]]
    effects: Mapping[str, Floats]
    doubt: Mapping[str, Floats]
    spread: Mapping[str, float]
    jacobian: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def values(self) -> dict[str, float]:
        """Changed entries of the constants document."""
        found = {each.name: float(value) for each, value in zip(PARAMETERS, np.exp(self.theta), strict=True)}
        found[f"engine.{DEFAULT}"] = float(np.exp(self.mean))
        for factor in PREDICTED:
            found[f"{factor}_doubt.{DEFAULT}"] = self.spread[factor]
            shift = self.mean if factor == "engine" else 0.0
            columns = (self.levels[factor], self.effects[factor], self.doubt[factor])
            for level, effect, doubt in zip(*columns, strict=True):
                found[f"{factor}.{level}"] = float(np.exp(effect + shift))
                found[f"{factor}_doubt.{level}"] = float(doubt)
        return found

    def constants(self) -> TrainingConstants:
        """The shipped constants with all of that in their place, and no level that this fit did not see."""
        return forgotten(shipped()).replace(self.values())


def forgotten(c: TrainingConstants) -> TrainingConstants:
    """The constants without any engine, product or arithmetic that was measured."""
    emptied = {f"{factor}{end}" for factor in PREDICTED for end in ("", "_doubt")}
    tables = {name: {DEFAULT: entries[DEFAULT]} if name in emptied else entries for name, entries in c.tables.items()}
    return TrainingConstants(c.numbers, tables)


def beginning(rows: TrainingRows) -> TrainingFit:
    """Constants at their priors, no effects known."""
    theta = np.log([each.prior for each in PARAMETERS])
    levels = {factor: tuple(np.unique(rows.names(factor)).tolist()) for factor in SPREAD}
    zeros = {factor: np.zeros(len(names)) for factor, names in levels.items()}
    return TrainingFit(theta, 0.0, levels, zeros, zeros, dict(SPREAD))


def shipped_fit(rows: TrainingRows) -> TrainingFit:
    """The shipped constants as the point to start from, no effects known."""
    c = shipped()
    theta = [np.log(c.of(*each.name.split(".", 1)) if "." in each.name else c[each.name]) for each in PARAMETERS]
    return replace(beginning(rows), theta=np.array(theta))


def fit(rows: TrainingRows, *, rounds: int = 12, start: TrainingFit | None = None) -> TrainingFit:
    """From the priors, or from a fit of the same rows."""
    found = start or beginning(rows)
    for _ in range(rounds):
        found = _iterate(rows, found)
    return found


def _iterate(rows: TrainingRows, state: TrainingFit) -> TrainingFit:
    """One linearisation: constants and effects together, the step shortened until the objective falls."""
    base = log_errors(rows, bare(state.theta))
    jacobian = np.empty((len(base), len(state.theta)))
    for column in range(len(state.theta)):
        moved = state.theta.copy()
        moved[column] -= _DELTA
        jacobian[:, column] = (base - log_errors(rows, bare(moved))) / _DELTA
    linear = TrainingLinear.of(rows, base, jacobian, state.theta)
    found = replace(linear.solve(state), jacobian=jacobian)
    before = linear.objective(base, replace(state, spread=found.spread))
    for scale in (1.0, 0.5, 0.25, 0.1):
        between = _between(state, found, scale)
        if linear.objective(log_errors(rows, bare(between.theta)), between) < before:
            return between
    return replace(found, theta=state.theta, mean=state.mean, effects=state.effects)


def _between(one: TrainingFit, other: TrainingFit, share: float) -> TrainingFit:
    """The way from one fit to the other, spreads and doubts of the other."""

    def mixed(a: Floats, b: Floats) -> Floats:
        return a + share * (b - a)

    return replace(
        other,
        theta=mixed(one.theta, other.theta),
        mean=one.mean + share * (other.mean - one.mean),
        effects={factor: mixed(one.effects[factor], values) for factor, values in other.effects.items()},
    )


def bare(theta: Floats) -> TrainingConstants:
    """Constants at `theta` with every stack's factor 1."""
    ones = {f"{factor}.{DEFAULT}": 1.0 for factor in PREDICTED}
    named = {each.name: float(value) for each, value in zip(PARAMETERS, np.exp(theta), strict=True)}
    return forgotten(shipped()).replace({**named, **ones})


@dataclass(frozen=True, slots=True)
class TrainingLinear:
    """Errors around one point: error(theta) = base + jacobian · (theta - at), less the effects of each row's levels."""

    rows: TrainingRows
    base: Floats
    jacobian: Floats
    at: Floats
    weight: Floats
    levels: Mapping[str, tuple[str, ...]]
    owner: NDArray[np.int_]
    design: Floats
    """Constants, the common mean, then one column a level: derivative of the error by each."""

    @classmethod
    def of(cls, rows: TrainingRows, base: Floats, jacobian: Floats, at: Floats) -> TrainingLinear:
        levels = {factor: np.unique(rows.names(factor), return_inverse=True) for factor in SPREAD}
        blocks = [-np.eye(len(names))[index] for names, index in levels.values()]
        sizes = [len(names) for names, _ in levels.values()]
        owner = np.concatenate([np.full(size, number) for number, size in enumerate(sizes)])
        design = np.hstack([jacobian, -np.ones((len(base), 1)), *blocks])
        named = {factor: tuple(names.tolist()) for factor, (names, _) in levels.items()}
        return cls(rows, base, jacobian, at, weights(rows) * EFFECTIVE_ROWS, named, owner, design)

    def solve(self, state: TrainingFit, *, rounds: int = 6) -> TrainingFit:
        """Constants, effects and spreads that the linear model finds best, by reweighting."""
        spread = dict(state.spread)
        solution = self._start(state)
        covariance: Floats = np.eye(self.design.shape[1])
        for _ in range(rounds):
            error = self.base - self.jacobian @ self.at + self.design @ solution
            each = self.weight / (1.0 + (error / (_ROBUST * NOISE)) ** 2) / NOISE**2
            prior, precision = self._prior(spread)
            normal = self.design.T @ (each[:, None] * self.design) + np.diag(precision)
            covariance = np.asarray(np.linalg.inv(normal), dtype=np.float64)
            target = self.jacobian @ self.at - self.base
            solution = covariance @ (self.design.T @ (each * target) + precision * prior)
            spread = self._spreads(solution, covariance)
        return self._fit(solution, covariance, spread)

    def _start(self, state: TrainingFit) -> Floats:
        known = [dict(zip(state.levels[f], state.effects[f], strict=True)) for f in SPREAD]
        effects = [
            known[number].get(level, 0.0) for number, factor in enumerate(SPREAD) for level in self.levels[factor]
        ]
        return np.array([*state.theta, state.mean, *effects])

    def _prior(self, spread: Mapping[str, float]) -> tuple[Floats, Floats]:
        prior = np.concatenate([np.log([p.prior for p in PARAMETERS]), np.zeros(1 + len(self.owner))])
        sds = [*(p.spread for p in PARAMETERS), _MEAN_SPREAD, *np.array([spread[f] for f in SPREAD])[self.owner]]
        return prior, 1.0 / np.square(np.array(sds))

    def _spreads(self, solution: Floats, covariance: Floats) -> dict[str, float]:
        squares = (solution**2 + np.diag(covariance))[len(PARAMETERS) + 1 :]
        found = {}
        for number, (factor, guess) in enumerate(SPREAD.items()):
            members = np.minimum(squares[self.owner == number], (_WILD * guess) ** 2)
            total = members.sum() + _PRIOR_LEVELS * guess**2
            found[factor] = max(float(np.sqrt(total / (len(members) + _PRIOR_LEVELS))), _LEAST_SPREAD)
        return {**found, "source": SPREAD["source"]}

    def _fit(self, solution: Floats, covariance: Floats, spread: Mapping[str, float]) -> TrainingFit:
        most = np.log([each.most for each in PARAMETERS])
        count = len(PARAMETERS)
        sds = np.sqrt(np.diag(covariance))[count + 1 :]
        effects = solution[count + 1 :]
        by_factor = {factor: self.owner == number for number, factor in enumerate(SPREAD)}
        return TrainingFit(
            theta=np.minimum(solution[:count], most),
            mean=float(solution[count]),
            levels=self.levels,
            effects={factor: effects[members] for factor, members in by_factor.items()},
            doubt={factor: sds[members] for factor, members in by_factor.items()},
            spread=dict(spread),
        )

    def objective(self, errors: Floats, state: TrainingFit) -> float:
        """Cauchy loss of the errors that effects leave, and the priors."""
        solution = self._start(state)
        rest = (errors + self.design[:, len(PARAMETERS) :] @ solution[len(PARAMETERS) :]) / NOISE
        loss = 0.5 * _ROBUST**2 * np.log1p((rest / _ROBUST) ** 2)
        prior, precision = self._prior(state.spread)
        return float(np.sum(self.weight * loss) + 0.5 * np.sum(precision * (solution - prior) ** 2))


_MEAN_SPREAD: Final = 0.2
"""How far the common mean of all stacks may lie from what the constants alone give."""
