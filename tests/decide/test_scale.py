"""Expected and attainable on one scale: worked numbers, and that attainable is never below expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.api.workload_status import Meter
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.observe.assessment import Assessment, Observation, Window
from mfu.predict.types import Attainable, Prediction, Scale
from tests.builders.cases import case

REAL = case()


def prediction(
    mfu: float = 0.4, *, rate: float = 1000.0, scale: Scale = Scale.MFU, mbu: float | None = None
) -> Prediction:
    return replace(REAL.expected, mfu=mfu, mbu=mbu, scale=scale, tokens_per_s_per_gpu=rate)


def best(of: Prediction) -> Attainable:
    return Attainable(of, REAL.setup)


def test_training_is_judged_on_mfu_and_decode_on_mbu() -> None:
    assert on_scale(prediction(0.4, mbu=0.7)) == 0.4
    assert on_scale(prediction(0.4, mbu=0.7, scale=Scale.MBU)) == 0.7
    assert on_scale(prediction(0.4, scale=Scale.MBU)) is None
    assert on_scale(None) is None


ATTAINABLE = {
    "a quarter more tokens is a quarter more MFU": (prediction(0.4), prediction(0.5, rate=1250.0), 0.5),
    "FP8 halves its own MFU and still attains more": (prediction(0.4), prediction(0.3, rate=1500.0), 0.6),
    "never below expected": (prediction(0.4), prediction(0.2, rate=500.0), 0.4),
    "a crawl compares as well": (prediction(0.4, rate=0.5), prediction(0.5, rate=0.75), 0.6),
    "a rate of nothing compares with nothing": (prediction(0.4, rate=0.0), prediction(0.5), 0.4),
    "decode is compared on MBU": (
        prediction(0.1, scale=Scale.MBU, mbu=0.5),
        prediction(0.2, scale=Scale.MBU, mbu=0.8, rate=1.0),
        0.8,
    ),
    "decode with more requests at once may use less bandwidth": (
        prediction(0.1, scale=Scale.MBU, mbu=0.5),
        prediction(0.4, scale=Scale.MFU, mbu=0.3, rate=9000.0),
        0.5,
    ),
    "an attainable without MBU leaves the declared one": (
        prediction(0.1, scale=Scale.MBU, mbu=0.5),
        prediction(0.4, rate=9000.0),
        0.5,
    ),
}


@pytest.mark.parametrize("name", ATTAINABLE)
def test_attainable_on_the_scale_of_expected(name: str) -> None:
    expected, possible, want = ATTAINABLE[name]
    assert attainable_on_scale(expected, best(possible)) == pytest.approx(want)


def test_unknown_stays_unknown() -> None:
    assert attainable_on_scale(None, best(prediction())) is None
    assert attainable_on_scale(prediction(), None) is None
    assert attainable_on_scale(prediction(scale=Scale.MBU), best(prediction())) is None


shares = st.floats(0.01, 1.0)
rates = st.floats(0.0, 1e5)


@settings(max_examples=30, derandomize=True)
@given(shares, shares, rates, rates, st.sampled_from(Scale))
def test_attainable_is_never_below_expected(one: float, other: float, slow: float, fast: float, scale: Scale) -> None:
    expected = prediction(one, rate=slow, scale=scale, mbu=one / 2)
    reached, possible = on_scale(expected), attainable_on_scale(expected, best(prediction(other, rate=fast, mbu=other)))
    assert reached is not None
    assert possible is not None
    assert possible >= reached


def observed(window: Window = Window.TEN_MINUTES, **fields: Any) -> Observation:
    made = Observation(window, Meter.PROGRESS, 0.4, 0.4, 0.7, 0.3, 0.5, 1.0, "progress", 0.0, 0.9)
    return replace(made, **fields)


OBSERVED = {
    "a job by its MFU": (Scale.MFU, observed(), 0.4),
    "a decode by its MBU": (Scale.MBU, observed(), 0.7),
    "a decode whose bytes nobody counted": (Scale.MBU, observed(mbu=None), None),
    "nothing done is known to be nothing": (Scale.MFU, observed(mfu=0.0), 0.0),
    "less than nothing is a broken counter": (Scale.MFU, observed(mfu=-0.01), None),
    "a clock that runs fast is no lie": (Scale.MFU, observed(mfu=1.05), 1.05),
    "more than the hardware can do is a wrong declaration": (Scale.MFU, observed(mfu=1.06), None),
    "an hour is not the last ten minutes": (Scale.MFU, observed(Window.HOUR), None),
    "whose scale is not known is judged on MFU": (None, observed(), 0.4),
}


@pytest.mark.parametrize("name", OBSERVED)
def test_observed_on_the_scale_of_expected(name: str) -> None:
    scale, seen, want = OBSERVED[name]
    assert observed_on_scale(Assessment((seen,)), scale) == want


def test_nothing_observed_is_unknown() -> None:
    assert observed_on_scale(None, Scale.MFU) is None
    assert observed_on_scale(Assessment(), Scale.MFU) is None


def test_attainable_that_moves_no_bytes_leaves_the_declared_one_on_mbu() -> None:
    """The smallest MBU too: what is unknown of the best counts as nothing, not as everything."""
    expected = prediction(0.1, scale=Scale.MBU, mbu=0.01)
    assert attainable_on_scale(expected, best(prediction(0.4, rate=9000.0))) == 0.01
