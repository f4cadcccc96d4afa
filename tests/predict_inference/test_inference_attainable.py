"""The best setting: never below expected, inside the SLO, with changes whose gains add up."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import process_time

import pytest

from mfu.predict.inference import attainable_inference, predict_inference
from mfu.predict.types import Attainable, Inference, Phase, Placement, Prediction, Problem, Tunable

Build = Callable[..., Inference]
On = Callable[..., Placement]
EVERYTHING = frozenset(Tunable)


def best(setup: Inference, placement: Placement, tunable: frozenset[Tunable] = EVERYTHING) -> Attainable:
    found = attainable_inference(setup, placement, tunable)
    assert isinstance(found, Attainable), found
    return found


def rate(setup: Inference, placement: Placement) -> float:
    found = predict_inference(setup, placement)
    assert isinstance(found, Prediction)
    return found.tokens_per_s_per_gpu


@pytest.mark.parametrize("tunable", [frozenset(), frozenset({Tunable.CONCURRENCY}), EVERYTHING])
@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("concurrency", [1.0, 64.0, None])
def test_never_below_expected(
    serving: Build, on: On, tunable: frozenset[Tunable], phase: Phase, concurrency: float | None
) -> None:
    setup = serving("mixtral-8x7b", tensor=4, phase=phase, concurrency=concurrency)
    assert best(setup, on(gpus=4), tunable).prediction.tokens_per_s_per_gpu >= rate(setup, on(gpus=4))


def test_nothing_tunable_changes_nothing(serving: Build, on: On) -> None:
    found = best(serving(concurrency=1.0), on(), frozenset())
    assert found.setup == serving(concurrency=1.0) and found.changes == ()


def test_gains_add_up_to_the_whole(serving: Build, on: On) -> None:
    setup = serving("llama-3.1-70b", tensor=8, concurrency=4.0)
    found = best(setup, on(gpus=8))
    whole = found.prediction.tokens_per_s_per_gpu / rate(setup, on(gpus=8)) - 1
    assert math.fsum(each.gain for each in found.changes) == pytest.approx(whole)
    assert {each.field for each in found.changes} >= {"concurrency", "precision"}
    assert all(each.before != each.after for each in found.changes)


def test_a_latency_limit_holds_back_concurrency(serving: Build, on: On) -> None:
    free = best(serving(concurrency=4.0), on(), frozenset({Tunable.CONCURRENCY}))
    held = best(serving(concurrency=4.0, tpot_limit_seconds=0.015), on(), frozenset({Tunable.CONCURRENCY}))
    assert (held.prediction.tpot_seconds or 1) <= 0.015
    assert (held.prediction.concurrency or 0) < (free.prediction.concurrency or 0)


def test_a_declared_setting_beyond_its_limit_stays(serving: Build, on: On) -> None:
    late = serving(concurrency=256.0, tpot_limit_seconds=0.001)
    assert best(late, on(), frozenset({Tunable.CONCURRENCY})).setup == late


def test_long_prompts_at_p95_count_for_the_first_token(serving: Build, on: On) -> None:
    limit = {"ttft_limit_seconds": 0.2}
    mean = best(serving(**limit), on(), frozenset({Tunable.CONCURRENCY}))
    tail = best(serving(**limit, input_tokens_p95=8192.0), on(), frozenset({Tunable.CONCURRENCY}))
    assert tail.prediction.tokens_per_s_per_gpu <= mean.prediction.tokens_per_s_per_gpu


def test_the_answer_fits_in_memory(serving: Build, on: On) -> None:
    """In 8 bit the cache of four requests is left beside 70B on one H100."""
    found = best(serving("llama-3.1-70b", tensor=1, concurrency=4.0), on(), EVERYTHING)
    assert found.prediction.memory.fits


def test_an_impossible_setup_is_refused(serving: Build, on: On) -> None:
    assert isinstance(attainable_inference(serving(tensor=3), on(gpus=3), EVERYTHING), Problem)


def test_ten_thousand_workloads_are_cheap(serving: Build, on: On) -> None:
    setup, placement = serving("llama-3.1-70b", tensor=8), on(gpus=8)
    best(setup, placement)
    started = process_time()
    for _ in range(2000):
        best(setup, placement)
    assert (process_time() - started) * 5 < 1.0
