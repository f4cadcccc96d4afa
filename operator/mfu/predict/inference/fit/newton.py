"""The fit: damped Gauss-Newton on robustly weighted log errors, constants held by their sources, stacks by one another.

Unknowns are the logarithms of the constants, the host factor of each engine, and the random effects on speed: engines
and products (which go into predictions), sources and series (which keep a source with many rows from speaking as if its
rows were independent). How far the levels of a factor lie apart is estimated from the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from mfu.predict.inference.constants import LearnedStack, ServingConstants, document, load
from mfu.predict.inference.fit.rows import ServingRows, log_errors
from mfu.predict.mixed import Beliefs, Floats, Huber, MixedModel

SPREAD: Final = {"engine": 0.12, "product": 0.08, "source": 0.12, "series": 0.10}
"""First guesses of how far (in log) the levels of a factor lie apart, weighed as two levels."""
HOST_SPREAD: Final = 0.5
NOISE: Final = 0.10
"""Standard deviation of the log error that rows of one series have of their own."""
_EFFECTIVE_ROWS: Final = 80.0
"""What all rows together count against the priors: rows of one source are far from independent."""
_TRUST: Final = ((r"TensorRT-LLM (docs|perf)", 7.0), (r"aiconfigurator", 1.5), (r"LLM-Inference-Bench", 0.6))
_USUAL_TRUST: Final = 1.5
_ROWS_POWER: Final = 0.4
"""Power of a source's rows by which what it says grows: twice the rows say 1.3 times as much. With 0.7 (and 150
effective rows), 0.5 (100), 0.4 (80) and 0.3 (60) rows of publishers left out are 18.9, 18.3, 17.9 and 17.5 % off,
publishers of small tables 21.3, 20.9, 20.7 and 20.7, TensorRT-LLM's fitted tables 8.3, 9.0, 9.7 and 10.2."""
_MEAN_SPREAD: Final = 0.03
_DELTA: Final = 0.01


@dataclass(frozen=True, slots=True)
class Unknowns:
    """Names, priors, spreads and upper bounds of the fitted constants, host factors of engines behind them."""

    names: tuple[str, ...]
    engines: tuple[str, ...]
    prior: Floats
    spread: Floats
    most: Floats

    @classmethod
    def of(cls, rows: ServingRows) -> Unknowns:
        fitted = {name: each for name, each in document()["numbers"].items() if "prior" in each}
        engines = tuple(str(name) for name in np.unique(rows.engine) if name)
        hosts = len(engines)
        return cls(
            tuple(fitted),
            engines,
            np.concatenate([np.log([each["prior"] for each in fitted.values()]), np.zeros(hosts)]),
            np.concatenate([[each["spread"] for each in fitted.values()], np.full(hosts, HOST_SPREAD)]),
            np.concatenate([np.log([each["most"] for each in fitted.values()]), np.full(hosts, np.log(5.0))]),
        )

    def constants(self, theta: Floats) -> ServingConstants:
        """Constants at `theta` with every stack's speed 1."""
        values, hosts = np.exp(theta[: len(self.names)]), np.exp(theta[len(self.names) :])
        numbers = {name: float(value) for name, value in zip(self.names, values, strict=True)}
        engines = {name: LearnedStack(1.0, float(host)) for name, host in zip(self.engines, hosts, strict=True)}
        return replace(load().without_stacks(), **numbers, engines=engines)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class ServingFit:
    """Constants and host factors (as logarithms), effects of every factor's levels, what is still unknown of them."""

    unknowns: Unknowns
    theta: Floats
    mean: float
    effects: Mapping[str, Mapping[str, float]]
    doubt: Mapping[str, Mapping[str, float]]
    spread: Mapping[str, float]
    jacobian: Floats

    def constants(self) -> ServingConstants:
        """The shipped constants with all of that in their place, and no stack that this fit did not see."""
        bare = self.unknowns.constants(self.theta)
        engines = {name: self._stack("engine", name, bare.stack(name).host) for name in self.effects["engine"]}
        products = {name: self._stack("product", name, 1.0) for name in self.effects["product"]}
        return replace(
            bare,
            usual_speed=float(np.exp(self.mean)),
            engines=engines,
            products=products,
            doubt={**bare.doubt, **self.spread},
        )

    def _stack(self, factor: str, name: str, host: float) -> LearnedStack:
        return LearnedStack(float(np.exp(self.effects[factor][name])), host, self.doubt[factor][name])


def beginning(rows: ServingRows) -> ServingFit:
    """Constants at their priors, no effects known."""
    unknowns = Unknowns.of(rows)
    empty: dict[str, Mapping[str, float]] = {factor: {} for factor in SPREAD}
    return ServingFit(unknowns, unknowns.prior, 0.0, empty, empty, SPREAD, np.zeros((0, 0)))


def shipped_fit(rows: ServingRows) -> ServingFit:
    """The shipped constants as the point to start from, no effects known."""
    start, constants = beginning(rows), load()
    numbers = [getattr(constants, name) for name in start.unknowns.names]
    hosts = [constants.stack(name).host for name in start.unknowns.engines]
    return replace(start, theta=np.log([*numbers, *hosts]))


def fit(rows: ServingRows, *, rounds: int = 10, start: ServingFit | None = None) -> ServingFit:
    """From the priors, or from another fit's constants."""
    found = start or beginning(rows)
    for _ in range(rounds):
        found = _iterate(rows, found)
    return found


def _iterate(rows: ServingRows, state: ServingFit) -> ServingFit:
    base = log_errors(rows, state.unknowns.constants(state.theta))
    model = linear(rows, state.unknowns, base, _jacobian(rows, base, state), state.theta)
    found, before = solved(model, state), _objective(model, base, state)
    for scale in (1.0, 0.5, 0.25, 0.1):
        theta = state.theta + scale * (found.theta - state.theta)
        trial = replace(found, theta=theta)
        if _objective(model, log_errors(rows, state.unknowns.constants(theta)), trial) < before:
            return trial
    return replace(found, theta=state.theta)


def _jacobian(rows: ServingRows, base: Floats, state: ServingFit) -> Floats:
    columns = []
    for place in range(len(state.theta)):
        moved = state.theta.copy()
        moved[place] -= _DELTA
        columns.append((base - log_errors(rows, state.unknowns.constants(moved))) / _DELTA)
    return np.stack(columns, axis=1)


def weights(rows: ServingRows) -> Floats:
    """Vendors' tables are exact in their shapes and few; samples of many stacks are many, some of a doubtful state."""
    names, place, counts = np.unique(rows.source, return_inverse=True, return_counts=True)
    found = np.array([_trust(str(name)) for name in names]) * counts ** (_ROWS_POWER - 1.0)
    return np.asarray(found[place] * _EFFECTIVE_ROWS / found[place].sum())


@lru_cache(maxsize=1024)
def _trust(source: str) -> float:
    return next((weight for pattern, weight in _TRUST if re.search(pattern, source)), _USUAL_TRUST)


def linear(rows: ServingRows, unknowns: Unknowns, base: Floats, jacobian: Floats, at: Floats) -> MixedModel:
    """Errors around one point."""
    names = {factor: rows.names(factor) for factor in SPREAD}
    beliefs = Beliefs(unknowns.prior, unknowns.spread, _MEAN_SPREAD, SPREAD, NOISE, Huber(1.0))
    return MixedModel.of(beliefs, names, base=base, jacobian=jacobian, at=at, weight=weights(rows), sign=1.0)


def solved(model: MixedModel, state: ServingFit) -> ServingFit:
    """The fit that the linear model finds best, no constant above its bound."""
    found = model.solve(_start(model, state), state.spread)
    count = len(model.at)
    return ServingFit(
        state.unknowns,
        np.minimum(found.values[:count], state.unknowns.most),
        float(found.values[count]),
        _named(model, found.values),
        _named(model, found.sds),
        found.spread,
        model.design[:, :count],
    )


def _named(model: MixedModel, values: Floats) -> dict[str, Mapping[str, float]]:
    own = dict(model.effects(values))
    return {factor: dict(zip(names, own[factor].tolist(), strict=True)) for factor, names in model.levels.items()}


def _start(model: MixedModel, state: ServingFit) -> Floats:
    return model.start(state.theta, state.mean, state.effects)


def _objective(model: MixedModel, errors: Floats, state: ServingFit) -> float:
    return model.objective(errors, _start(model, state), state.spread)
