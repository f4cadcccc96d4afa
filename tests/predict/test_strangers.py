"""The band of engines and products that no fit saw holds what it says; so does that of sources."""

from __future__ import annotations

import pytest

from mfu.predict.fit.left_out import TrainingRefits
from mfu.predict.fit.tables import shipped_rows
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
