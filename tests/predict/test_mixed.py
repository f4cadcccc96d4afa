"""The solver under both fits: planted constants and effects are found, and a row far off says little."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.predict.mixed import Beliefs, Cauchy, Floats, Huber, MixedModel, RobustLaw

ENGINES = ("a", "b", "c")
TRUE = {"a": 0.2, "b": -0.1, "c": -0.1}
ROWS = 60


def model(errors: Floats, slopes: Floats, names: list[str], law: RobustLaw, *, sign: float = 1.0) -> MixedModel:
    beliefs = Beliefs(np.zeros(1), np.full(1, 10.0), 1e-3, {"engine": 0.15}, 0.05, law)
    return MixedModel.of(
        beliefs,
        {"engine": np.array(names)},
        base=errors,
        jacobian=slopes[:, None],
        at=np.zeros(1),
        weight=np.ones(len(errors)),
        sign=sign,
    )


def planted(*, wild: float = 0.0) -> tuple[Floats, Floats, list[str]]:
    """Errors of a constant that is 0.3 too low, of three engines, and of one row that is `wild` off."""
    generator = np.random.default_rng(7)
    names = [ENGINES[row % 3] for row in range(ROWS)]
    slopes = generator.uniform(0.5, 1.5, ROWS)
    errors = -0.3 * slopes - np.array([TRUE[each] for each in names]) + generator.normal(0, 0.01, ROWS)
    errors[0] += wild
    return errors, slopes, names


@pytest.mark.parametrize("law", [Cauchy(2.0), Huber(1.0)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_was_planted_is_found(law: RobustLaw, sign: float) -> None:
    made = model(*planted(), law, sign=sign)
    found = made.solve(made.start(np.zeros(1), 0.0, {"engine": {}}), {"engine": 0.15})
    assert found.values[0] == pytest.approx(0.3, abs=0.02)
    (effects,) = dict(made.effects(found.values)).values()
    assert dict(zip(made.levels["engine"], sign * effects, strict=True)) == pytest.approx(TRUE, abs=0.03)
    # Two first guesses of 0.15 beside three levels that stand 0.14 apart.
    assert found.spread["engine"] == pytest.approx(0.14, abs=0.02)


@pytest.mark.parametrize("law", [Cauchy(2.0), Huber(1.0)])
def test_a_row_far_off_moves_little(law: RobustLaw) -> None:
    def constant(wild: float) -> float:
        made = model(*planted(wild=wild), law)
        return float(made.solve(made.start(np.zeros(1), 0.0, {"engine": {}}), {"engine": 0.15}).values[0])

    assert abs(constant(5.0) - constant(0.0)) < 0.03


@pytest.mark.parametrize(
    ("law", "off", "weight"), [(Cauchy(2.0), 2.0, 0.5), (Huber(1.0), 2.0, 0.5), (Huber(1.0), 0.5, 1)]
)
def test_laws_weigh_as_they_say_and_lose_its_integral(law: RobustLaw, off: float, weight: float) -> None:
    assert law.weight(np.array([off])) == pytest.approx(weight)
    steps = np.linspace(0.0, off, 2001)
    integral = np.trapezoid(law.weight(steps) * steps, steps)
    assert law.loss(np.array([off]))[0] == pytest.approx(integral, rel=1e-4)


def test_nobody_is_seen_and_the_guess_stays() -> None:
    made = model(np.zeros(0), np.zeros(0), [], Cauchy(2.0))
    found = made.solve(made.start(np.zeros(1), 0.0, {"engine": {}}), {"engine": 0.15})
    assert found.spread["engine"] == pytest.approx(0.15)
    assert found.values.tolist() == [0.0, 0.0]


def test_what_is_found_loses_less_than_what_was_started_from() -> None:
    errors, slopes, names = planted()
    made = model(errors, slopes, names, Cauchy(2.0))
    start = made.start(np.zeros(1), 0.0, {"engine": {}})
    found = made.solve(start, {"engine": 0.15})
    moved = errors + found.values[0] * slopes
    assert made.objective(moved, found.values, found.spread) < made.objective(errors, start, found.spread)
