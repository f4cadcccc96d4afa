"""Random effects: shrunk to the mean, honest about levels that were never seen, and bands that hold what they say."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.predict.spread import band, fit_effects, likeness, shrink
from mfu.predict.validate.common import Report, Scored
from mfu.predict.validate.left_out import Forecast, left_out


def test_the_band_of_the_docstring() -> None:
    low, high = band(0.40, 0.10)
    assert (low, high) == (pytest.approx(0.3519, abs=1e-4), pytest.approx(0.4547, abs=1e-4))


def test_shrinkage_of_the_docstring() -> None:
    assert shrink(0.2, 0.1, 1) == pytest.approx(0.8)
    assert shrink(0.2, 0.1, 4) == pytest.approx(0.941, abs=1e-3)
    assert shrink(0.0, 0.1, 4) == 0.0


@given(st.floats(0.001, 1.0), st.floats(0.001, 1.0), st.integers(1, 50))
def test_more_rows_are_trusted_more(shared: float, own: float, known: int) -> None:
    assert 0.0 < shrink(shared, own, known) < shrink(shared, own, known + 1) < 1.0


def test_likeness_of_the_docstring() -> None:
    one, other = np.array([0.5, 0.5]), np.array([0.8, 0.2])
    assert likeness(one, other) == pytest.approx(0.343)
    assert likeness(one, one, same_hardware=False) == pytest.approx(0.6)


def spent_refit(spent: np.ndarray, kept: np.ndarray) -> Forecast:
    """The forecast of rows whose steps are spent on that."""
    return replace(refit(kept), spent=spent)


def test_a_row_unlike_the_known_one_moves_less() -> None:
    rows = report([("a", 1.6), ("a", 1.6)])
    alike = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.3, 0.7]])
    moved = [left_out(rows, partial(spent_refit, spent), given=1).mape for spent in alike]
    assert moved[0] is not None and moved[1] is not None
    assert moved[0] < moved[1] < 0.375


def test_a_doubtful_row_says_nothing_of_others() -> None:
    rows = report([("a", 1.0), ("a", 3.0)])

    def doubting(kept: np.ndarray) -> Forecast:
        return replace(refit(kept), sound=np.array([True, False]))

    told = left_out(rows, doubting, given=1).scored
    assert told[0].predicted == 1.0
    assert (told[0].low, told[0].high) == (left_out(rows, refit).scored[0].low, left_out(rows, refit).scored[0].high)


def test_a_row_of_another_method_says_nothing() -> None:
    rows = report([("a", 1.5), ("a", 1.5)])

    def trained(methods: list[str], kept: np.ndarray) -> Forecast:
        return replace(refit(kept), method=np.array(methods))

    full, adapters = (left_out(rows, partial(trained, ["Full", other]), given=1).scored for other in ("Full", "LoRA"))
    assert adapters[0].predicted == 1.0 < full[0].predicted


def simulated(seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """30 levels of spread 0.2, 8 rows each, noise 0.05, common mean -0.1."""
    generator = np.random.default_rng(seed)
    effects = generator.normal(0.0, 0.2, 30)
    level = np.repeat(np.arange(30), 8)
    return -0.1 + effects[level] + generator.normal(0.0, 0.05, 240), level.astype(str), effects


def test_spread_mean_and_effects_are_found_again() -> None:
    residuals, level, effects = simulated()
    found = fit_effects(residuals, {"engine": level}, {"engine": 0.1})
    assert found.spread["engine"] == pytest.approx(0.2, rel=0.3)
    assert found.noise == pytest.approx(0.05, rel=0.2)
    assert found.mean == pytest.approx(-0.1 + effects.mean(), abs=0.05)
    assert found.at("engine", "7").mean == pytest.approx(effects[7] - effects.mean(), abs=0.06)
    assert found.at("engine", "7").sd < 0.06


def test_a_level_nobody_saw_has_the_mean_and_the_whole_spread() -> None:
    residuals, level, _ = simulated()
    found = fit_effects(residuals, {"engine": level}, {"engine": 0.1})
    unseen = found.at("engine", "never")
    assert (unseen.mean, unseen.sd) == (0.0, found.spread["engine"])


def test_one_wild_level_does_not_make_all_of_them_doubtful() -> None:
    residuals, level, _ = simulated()
    found = fit_effects(np.append(residuals, 1.5), {"engine": np.append(level, "wild")}, {"engine": 0.1})
    assert found.spread["engine"] < 0.3


def report(values: list[tuple[str, float]]) -> Report:
    rows = [Scored(str(i), measured, 1.0, {"source": source}) for i, (source, measured) in enumerate(values)]
    return Report(len(rows), tuple(rows), ())


def refit(kept: np.ndarray) -> Forecast:
    return Forecast(np.ones(len(kept)), np.full(len(kept), 0.2), np.full(len(kept), 0.05))


def test_a_source_counts_once_however_many_rows_it_has() -> None:
    found = left_out(report([("a", 2.0)] * 9 + [("b", 1.0)]), refit)
    assert found.extra["median_source"] == found.extra["mean_source"] == pytest.approx(0.25)
    assert found.coverage == pytest.approx(0.1)


def test_one_known_row_brings_the_others_nearer_and_narrows_the_band() -> None:
    rows = report([("a", 1.30), ("a", 1.28), ("a", 1.33), ("a", 1.31)])
    blind, told = left_out(rows, refit), left_out(rows, refit, given=1)
    assert told.mape is not None and blind.mape is not None and told.half_width is not None
    assert told.mape < 0.7 * blind.mape
    assert told.half_width < 0.9 * (blind.half_width or 0.0)
    assert told.coverage == 1.0


def test_the_band_of_a_left_out_row_is_its_forecast() -> None:
    row = left_out(report([("a", 1.0)]), refit).scored[0]
    assert row.high == pytest.approx(math.exp(1.2816 * math.hypot(0.2, 0.05)))
    assert row.held
