"""Online calibration: bounded, with its own uncertainty, deaf to suspect readings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.predict.learn import HIGHEST, LOWEST, PRIOR_SD, Lesson, from_document, learn
from mfu.predict.types import Corrections

KEY = "H100-SXM5/NeMo/Training"


def lesson(ratio: float, **changes: object) -> Lesson:
    values: dict[str, object] = {"confidence": 0.9, "coverage": 1.0, **changes}
    return Lesson(KEY, 0.4, 0.4 * ratio, **values)  # type: ignore[arg-type]


def test_first_lesson_as_worked_in_the_docstring() -> None:
    found = learn(Corrections(), lesson(1.1)).by_key[KEY]
    assert found.factor == pytest.approx(1.079, abs=5e-4)
    assert found.relative_sd == pytest.approx(0.0447, abs=5e-5)
    assert found.observations == 1


@given(st.lists(st.floats(0.3, 3.0), max_size=60))
def test_factor_stays_in_bounds_and_uncertainty_shrinks(ratios: list[float]) -> None:
    state = Corrections()
    for ratio in ratios:
        state = learn(state, lesson(ratio))
    for found in state.by_key.values():
        assert LOWEST <= found.factor <= HIGHEST
        assert 0.0 < found.relative_sd < PRIOR_SD


def test_repeated_lessons_converge() -> None:
    state = Corrections()
    for _ in range(40):
        state = learn(state, lesson(0.88))
    assert state.by_key[KEY].factor == pytest.approx(0.88, abs=0.005)
    assert state.by_key[KEY].relative_sd < 0.02


def test_one_outlier_moves_a_settled_factor_little() -> None:
    state = Corrections()
    for _ in range(30):
        state = learn(state, lesson(1.0))
    assert learn(state, lesson(0.7)).by_key[KEY].factor > 0.97


@pytest.mark.parametrize(
    "bad",
    [
        lesson(0.9, suspect=True),
        lesson(0.9, confidence=0.3),
        lesson(0.9, coverage=0.5),
        lesson(0.3),
        lesson(2.0),
        lesson(0.0),
        lesson(math.nan),
        Lesson(KEY, 0.0, 0.4, 1.0, 1.0),
    ],
)
def test_what_is_doubtful_teaches_nothing(bad: Lesson) -> None:
    state = learn(Corrections(), lesson(1.05))
    assert learn(state, bad) is state


def test_state_survives_a_restart() -> None:
    state = learn(learn(Corrections(), lesson(1.1)), lesson(1.05))
    kept = from_document(
        {
            key: {"factor": each.factor, "relativeSD": each.relative_sd, "observations": float(each.observations)}
            for key, each in state.by_key.items()
        }
    )
    assert dict(kept.by_key) == dict(state.by_key)


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {KEY: "x"},
        {KEY: {"factor": 9.0, "relativeSD": 0.1, "observations": 3}},
        {KEY: {"factor": 1.0, "relativeSD": math.nan, "observations": 3}},
        {KEY: {"factor": 1.0}},
    ],
)
def test_damaged_state_is_forgotten(damaged: object) -> None:
    assert dict(from_document(damaged).by_key) == {}
