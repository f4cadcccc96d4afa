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

from mfu.predict.fit.parameters import PARAMETERS, PREDICTED, SPREAD
from mfu.predict.fit.rows import LONE, TrainingRows, log_errors, weights
from mfu.predict.mixed import Beliefs, Cauchy, Floats, MixedModel
from mfu.predict.training.constants import DEFAULT, TrainingConstants, shipped
from mfu.predict.training.engines import UNKNOWN

EFFECTIVE_ROWS: Final = 100.0
"""What all training rows together count against the priors: rows of one source are far from independent."""
NOISE: Final = 0.05
"""Standard deviation of the log error that rows of one series have of their own."""
_DELTA: Final = 0.01


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
    publishers: Mapping[str, float] = field(default_factory=dict)
    """Sources that have measured each habitat."""

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
        return {**found, **{f"publishers.{name}": count for name, count in self.publishers.items()}}

    def constants(self) -> TrainingConstants:
        """The shipped constants with all of that in their place, and no level that this fit did not see."""
        return forgotten(shipped()).replace(self.values())


def forgotten(c: TrainingConstants) -> TrainingConstants:
    """The constants without any engine, product or arithmetic that was measured; what an engine without a name reaches
    is no single one of them, and stays."""
    emptied = {"publishers", *(f"{factor}{end}" for factor in PREDICTED for end in ("", "_doubt"))}
    tables = {name: _kept(entries) if name in emptied else entries for name, entries in c.tables.items()}
    return TrainingConstants(c.numbers, tables)


def _kept(entries: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in entries.items() if name in (DEFAULT, UNKNOWN.name)}


def beginning(rows: TrainingRows) -> TrainingFit:
    """Constants at their priors, no effects known."""
    theta = np.log([each.prior for each in PARAMETERS])
    levels = {factor: tuple(np.unique(rows.names(factor)).tolist()) for factor in SPREAD}
    zeros = {factor: np.zeros(len(names)) for factor, names in levels.items()}
    return TrainingFit(theta, 0.0, levels, zeros, zeros, dict(SPREAD), publishers=publishers(rows))


def publishers(rows: TrainingRows) -> dict[str, float]:
    """How many sources have measured each habitat, one of n rows counted as n / (n + 2): one row is an anecdote."""
    found = {}
    for habitat in np.unique(rows.habitat):
        _, counts = np.unique(rows.source[rows.habitat == habitat], return_counts=True)
        found[str(habitat)] = float(np.sum(counts / (counts + LONE)))
    return found


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
    model = linear(rows, base, jacobian, state.theta)
    found = replace(solved(model, state), jacobian=jacobian)
    before = _objective(model, base, replace(state, spread=found.spread))
    for scale in (1.0, 0.5, 0.25, 0.1):
        between = _between(state, found, scale)
        if _objective(model, log_errors(rows, bare(between.theta)), between) < before:
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


def linear(rows: TrainingRows, base: Floats, jacobian: Floats, at: Floats) -> MixedModel:
    """Errors around one point; an effect adds to the prediction, so it takes from the error."""
    names = {factor: rows.names(factor) for factor in SPREAD}
    weight = weights(rows) * EFFECTIVE_ROWS
    return MixedModel.of(_BELIEFS, names, base=base, jacobian=jacobian, at=at, weight=weight, sign=-1.0)


def solved(model: MixedModel, state: TrainingFit) -> TrainingFit:
    """The fit that the linear model finds best, no constant above its bound."""
    found = model.solve(_start(model, state), state.spread)
    count = len(PARAMETERS)
    return TrainingFit(
        theta=np.minimum(found.values[:count], np.log([each.most for each in PARAMETERS])),
        mean=float(found.values[count]),
        levels=model.levels,
        effects=dict(model.effects(found.values)),
        doubt=dict(model.effects(found.sds)),
        spread=found.spread,
        publishers=state.publishers,
    )


def _start(model: MixedModel, state: TrainingFit) -> Floats:
    known = {f: dict(zip(state.levels[f], state.effects[f].tolist(), strict=True)) for f in SPREAD}
    return model.start(state.theta, state.mean, known)


def _objective(model: MixedModel, errors: Floats, state: TrainingFit) -> float:
    return model.objective(errors, _start(model, state), state.spread)


_BELIEFS: Final = Beliefs(
    constants=np.log([each.prior for each in PARAMETERS]),
    constants_sd=np.array([each.spread for each in PARAMETERS]),
    mean_sd=0.2,
    spread=SPREAD,
    noise=NOISE,
    law=Cauchy(2.0),
    kept=frozenset({"source"}),
    wild=2.5,
)
