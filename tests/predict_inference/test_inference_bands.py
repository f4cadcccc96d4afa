"""How far a serving prediction may be off: by what is known, further to one side than to the other, by rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mfu.predict.inference import predict_inference
from mfu.predict.inference.constants import load
from mfu.predict.inference.doubt import KNOWN, NEW_ENGINE, NEW_PRODUCT, TERMS, knowledge, reach
from mfu.predict.types import Inference, Placement, Prediction
from tools.fit.inference_bands import COVERED, FEW, Calibration, LeftOut, moved, own_squares, reaches, shifts

Build = Callable[..., Inference]
On = Callable[..., Placement]


@pytest.mark.parametrize(
    ("engine", "product", "known"),
    [
        ("vllm", "H100-SXM5", KNOWN),
        ("tensorrtllm before 0.17", "A100-SXM4-80GB", KNOWN),
        ("vllm before 0.1", "H100-SXM5", KNOWN),
        ("nobody's", "H100-SXM5", NEW_ENGINE),
        ("vllm", "H100-of-tomorrow", NEW_PRODUCT),
        ("nobody's", "H100-of-tomorrow", NEW_PRODUCT),
    ],
)
def test_what_is_known_of_engine_and_product(engine: str, product: str, known: str) -> None:
    assert knowledge(load(), engine, product) == known


def test_the_band_reaches_as_far_as_its_group_to_either_side(serving: Build, on: On) -> None:
    constants = replace(load(), reach={KNOWN: (2.0, 1.0), NEW_ENGINE: (4.0, 0.5)})
    for setup, slower, faster in ((serving(), 2.0, 1.0), (serving(engine="nobody's"), 4.0, 0.5)):
        found = predict_inference(setup, on(), constants=constants)
        assert isinstance(found, Prediction) and found.doubt is not None
        middle = found.scale.of(mfu=found.mfu, mbu=found.mbu) or 0.0
        assert math.log(middle / found.low) == pytest.approx(slower * found.doubt.total)
        assert math.log(found.high / middle) == pytest.approx(faster * found.doubt.total)


def test_a_group_of_which_nothing_was_learned_has_a_normal_band() -> None:
    sides = reach(replace(load(), reach={}), np.array(["vllm"]), np.array(["H100-SXM5"]))
    assert sides.tolist() == [[1.2816, 1.2816]]


def left(error: list[float], known: list[str], publisher: list[str]) -> LeftOut:
    return LeftOut(np.array(error), np.full(len(error), 0.1), np.array(known), np.array(publisher))


def test_twice_the_rows_of_a_publisher_say_less_than_twice_as_much() -> None:
    weights = left([0.0] * 5, [KNOWN] * 5, ["one", "two", "two", "two", "two"]).weights()
    assert weights[0] == 1.0 < weights[1:].sum() < 2.0


def test_sides_are_quantiles_and_the_few_are_shrunk_to_all() -> None:
    """Errors from -1 to 3 standard deviations: the slower side is three times as far as the faster one."""
    count = 4001
    error, names = np.linspace(-0.1, 0.3, count), [f"p{each}" for each in range(count)]
    found = reaches(left(error.tolist(), [KNOWN] * count, names), np.full(count, 0.1))
    tail = (1.0 - COVERED) / 2.0
    assert found[KNOWN] == pytest.approx((3.0 - 4 * tail, 1.0 - 4 * tail), abs=0.01)
    assert found[NEW_ENGINE] == pytest.approx(found[KNOWN]), "nobody: what all say"
    odd = [*error.tolist(), 0.9], [*[KNOWN] * count, NEW_PRODUCT], [*names, "odd"]
    alone = reaches(left(*odd), np.full(count + 1, 0.1))[NEW_PRODUCT]
    assert found[KNOWN][0] < alone[0] < 5.0, "one publisher nine deviations off moves its group a little"


def test_strangers_are_as_slow_as_their_publishers_were_shrunk_by_how_few() -> None:
    error = [0.2] * 30 + [0.4] * 2 + [0.0] * 8
    known = [NEW_ENGINE] * 32 + [KNOWN] * 8
    found = left(error, known, ["many"] * 30 + ["few"] * 2 + ["other"] * 8)
    speeds = shifts(found)
    assert speeds["product"] == 1.0
    assert math.log(speeds["engine"]) == pytest.approx(-(0.2 + 0.4) / (2 + FEW))
    assert moved(found, speeds).tolist() == pytest.approx([math.log(speeds["engine"])] * 32 + [0.0] * 8)


def test_what_a_run_errs_by_alone_is_found_by_what_its_time_is_made_of() -> None:
    """Rows that wait for their host err by 0.4 more than the 0.2 of all, both beside 0.1 that they share."""
    generator = np.random.default_rng(3)
    host = np.repeat([0.0, 1.0], 3000)
    spread = np.sqrt(0.1**2 + 0.2**2 + host * 0.3**2)
    given = np.stack([np.ones(6000), np.zeros(6000), host, *np.zeros((3, 6000))], axis=1)
    error = np.clip(generator.normal(0.0, spread), -0.6, 0.6)
    names = [f"p{each}" for each in range(6000)]
    found = dict(zip(TERMS, np.sqrt(own_squares(left(error.tolist(), [KNOWN] * 6000, names), given)), strict=True))
    assert found["own"] == pytest.approx(0.2, abs=0.02) and found["host"] == pytest.approx(0.3, abs=0.05)


def test_what_was_learned_takes_its_place_among_the_constants() -> None:
    learned = Calibration({"own": 0.33}, {KNOWN: (1.5, 1.1)}, {"engine": 0.9, "product": 0.95})
    constants = learned.of(load())
    assert constants.doubt["own"] == 0.33 and constants.doubt["source"] == load().doubt["source"]
    assert constants.stack("nobody's").speed == 0.9 and constants.product("H100-of-tomorrow").speed == 0.95
    assert constants.reach[KNOWN] == (1.5, 1.1)
