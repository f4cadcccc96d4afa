"""The band of engines and products that no fit saw holds what it says; so does that of sources, and of a generation of
products that one publisher alone has measured."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.tables import shipped_rows
from mfu.predict.fit.unnamed import hidden
from mfu.predict.training.constants import DEFAULT, shipped
from mfu.predict.training.doubt import fewness
from mfu.predict.training.engines import UNKNOWN
from tools.fit.training import held_of, strangers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def refits() -> TrainingRefits:
    return TrainingRefits.of(shipped_rows(), rounds=1)


@pytest.mark.parametrize("factor", ["engine", "product"])
def test_the_band_of_what_nobody_measured_holds_what_it_says(refits: TrainingRefits, factor: str) -> None:
    found = strangers(refits, factor)
    assert len(found) >= 14
    assert 0.75 <= held_of(found) <= 0.90
    assert sum(each.half_width * each.rows for each in found) / sum(each.rows for each in found) <= 0.35


def test_products_of_a_generation_that_one_publisher_measured_are_held_too(refits: TrainingRefits) -> None:
    held = {each.level: each.coverage for each in strangers(refits, "product")}
    assert min(held[name] for name in ("GB200", "GB300", "B300")) >= 0.75
    assert held["B200"] >= 0.55, "four of its 26 rows ran at a power limit that nobody told"


def test_an_engine_without_a_name_stands_in_the_middle_of_those_that_have_one(refits: TrainingRefits) -> None:
    found = hidden(refits, shipped_rows())
    assert len(found.others) >= 12
    shift = np.log(shipped().of("engine", UNKNOWN.name) / shipped().of("engine", DEFAULT))
    errors = found.errors(float(shift))
    assert np.all(found.errors(float(shift) - 0.2) > errors), "whatever factor stood before, a slower one takes longer"
    assert abs(errors.mean()) <= 0.02
    assert np.std(errors, ddof=1) == pytest.approx(shipped().of("engine_doubt", UNKNOWN.name), rel=0.1)


def test_what_few_have_measured_is_known_less_well() -> None:
    c = shipped()
    one, many, none = fewness(c, np.array(["tuned blackwell", "tuned hopper", "tuned nothing"]))
    assert many < 0.1 < one == pytest.approx(0.5, abs=0.01)
    assert none == 1.0
