"""What the fits of training and serving share: a linear model with constants and random effects, solved robustly.

Around one point the log errors of rows are base + jacobian · (theta - at), plus what all stacks have in common and what
each level of a factor (an engine, a product, a source) has of its own. Constants are held by their priors, levels by
one another: how far those of a factor lie apart is estimated from the same rows by expectation maximisation. A row far
off says little, by the law that the fit names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PRIOR_LEVELS: Final = 2.0
"""A first guess of a spread counts as that many levels."""
_LEAST_SPREAD: Final = 0.02
_ROUNDS: Final = 6


class RobustLaw(ABC):
    """How much a row says by how far off it is, in units of the noise."""

    @abstractmethod
    def weight(self, rest: Floats) -> Floats:
        """1 for a row that is right, less for one that is off."""

    @abstractmethod
    def loss(self, rest: Floats) -> Floats:
        """Its integral: half the square for small ones."""


@dataclass(frozen=True, slots=True)
class Cauchy(RobustLaw):
    """`Cauchy(2.0).weight(2.0) == 0.5`: a row twice the noise off counts half."""

    width: float

    def weight(self, rest: Floats) -> Floats:
        return np.asarray(1.0 / (1.0 + (rest / self.width) ** 2))

    def loss(self, rest: Floats) -> Floats:
        return np.asarray(0.5 * self.width**2 * np.log1p((rest / self.width) ** 2))


@dataclass(frozen=True, slots=True)
class Huber(RobustLaw):
    """`Huber(1.0).weight(2.0) == 0.5`; up to the width a row counts in full."""

    width: float

    def weight(self, rest: Floats) -> Floats:
        return np.asarray(np.minimum(1.0, self.width / np.maximum(np.abs(rest), 1e-9)))

    def loss(self, rest: Floats) -> Floats:
        size = np.abs(rest)
        return np.asarray(np.where(size < self.width, 0.5 * size**2, self.width * (size - 0.5 * self.width)))


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What is believed before any row is looked at. `spread`: first guesses of how far levels of a factor lie apart."""

    constants: Floats
    constants_sd: Floats
    mean_sd: float
    """Of what all stacks have in common."""
    spread: Mapping[str, float]
    noise: float
    """Standard deviation of the log error that rows of one series have of their own."""
    law: RobustLaw
    kept: frozenset[str] = frozenset()
    """Factors whose spread is believed and not estimated."""
    wild: float = np.inf
    """Levels further off than so many first guesses count as that many: one odd source does not make all loose."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Constants, the common mean, then the effects of all levels; how they doubt; spreads by factor."""

    values: Floats
    covariance: Floats
    spread: Mapping[str, float]

    @property
    def sds(self) -> Floats:
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, slots=True)
class MixedModel:
    """One linearisation. `design` has a column a constant, one for the mean, then one a level."""

    beliefs: Beliefs
    base: Floats
    at: Floats
    weight: Floats
    levels: Mapping[str, tuple[str, ...]]
    owner: NDArray[np.int_]
    design: Floats

    @classmethod
    def of(
        cls,
        beliefs: Beliefs,
        names: Mapping[str, NDArray[np.str_]],
        *,
        base: Floats,
        jacobian: Floats,
        at: Floats,
        weight: Floats,
        sign: float,
    ) -> MixedModel:
        """`names`: of each row, by factor. `sign`: of an effect in the error, -1 where the prediction gains by it."""
        found = {factor: np.unique(names[factor], return_inverse=True) for factor in beliefs.spread}
        blocks = [sign * np.eye(len(each))[index] for each, index in found.values()]
        owner = np.concatenate([np.full(len(each), number) for number, (each, _) in enumerate(found.values())])
        design = np.hstack([jacobian, sign * np.ones((len(base), 1)), *blocks])
        levels = {factor: tuple(str(name) for name in each) for factor, (each, _) in found.items()}
        return cls(beliefs, base, at, weight, levels, owner, design)

    def start(self, theta: Floats, mean: float, effects: Mapping[str, Mapping[str, float]]) -> Floats:
        """A solution from what is known of effects; what is not is 0."""
        known = [effects[factor].get(name, 0.0) for factor, names in self.levels.items() for name in names]
        return np.array([*theta, mean, *known])

    def solve(self, start: Floats, spread: Mapping[str, float]) -> Solution:
        """What the rows and the beliefs find best, by reweighting."""
        target = self.design[:, : len(self.at)] @ self.at - self.base
        solution, noise = start, self.beliefs.noise
        covariance: Floats = np.eye(len(solution))
        for _ in range(_ROUNDS):
            each = self.weight * self.beliefs.law.weight((self.design @ solution - target) / noise) / noise**2
            prior, precision = self._prior(spread)
            normal = self.design.T @ (each[:, None] * self.design) + np.diag(precision)
            covariance = np.asarray(np.linalg.inv(normal), dtype=np.float64)
            solution = covariance @ (self.design.T @ (each * target) + precision * prior)
            spread = self._spreads(solution, covariance)
        return Solution(solution, covariance, spread)

    def objective(self, errors: Floats, solution: Floats, spread: Mapping[str, float]) -> float:
        """Loss of the errors that effects leave, and of what is not as believed."""
        count = len(self.at)
        rest = (errors + self.design[:, count:] @ solution[count:]) / self.beliefs.noise
        prior, precision = self._prior(spread)
        return float(
            np.sum(self.weight * self.beliefs.law.loss(rest)) + 0.5 * np.sum(precision * (solution - prior) ** 2)
        )

    def effects(self, solution: Floats) -> Iterator[tuple[str, Floats]]:
        """Part of a solution (or of its deviations) by factor, in the order of `levels`."""
        own = solution[len(self.at) + 1 :]
        for number, factor in enumerate(self.levels):
            yield factor, own[self.owner == number]

    def _prior(self, spread: Mapping[str, float]) -> tuple[Floats, Floats]:
        effects = np.array([spread[factor] for factor in self.levels])[self.owner]
        prior = np.concatenate([self.beliefs.constants, np.zeros(1 + len(self.owner))])
        sds = np.concatenate([self.beliefs.constants_sd, [self.beliefs.mean_sd], effects])
        return prior, 1.0 / np.square(sds)

    def _spreads(self, solution: Floats, covariance: Floats) -> dict[str, float]:
        found = {}
        for factor, squares in self.effects(solution**2 + np.diag(covariance)):
            guess = self.beliefs.spread[factor]
            members = np.minimum(squares, (self.beliefs.wild * guess) ** 2)
            total = members.sum() + _PRIOR_LEVELS * guess**2
            found[factor] = max(float(np.sqrt(total / (len(members) + _PRIOR_LEVELS))), _LEAST_SPREAD)
        return {**found, **{factor: self.beliefs.spread[factor] for factor in self.beliefs.kept}}
