"""Predict, plan, attainable and each suggested change give one answer: memory, latency limits, concurrency."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.inference import attainable_inference, best_within_limits, more_concurrency, predict_inference
from mfu.predict.inference.slo import misses
from mfu.predict.plan import Choice, Nothing, Option
from mfu.predict.serving_plan import best_serving
from mfu.predict.types import (
    Attainable,
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Prediction,
    Tunable,
)
from mfu.workload.presets import preset

Build = Callable[..., Inference]
On = Callable[..., Placement]
FREE = frozenset({Tunable.LAYOUT, Tunable.CONCURRENCY})


def predicted(setup: Inference, placement: Placement) -> Prediction:
    found = predict_inference(setup, placement)
    assert isinstance(found, Prediction), found
    return found


def test_a_step_slower_than_the_limit_is_said(serving: Build, on: On) -> None:
    found = predicted(serving(tpot_limit_seconds=0.005), on())
    assert found.notes[0].startswith("TPOT 1") and found.notes[0].endswith("ms is over slo.tpotMilliseconds: 5")
    assert not misses(serving(tpot_limit_seconds=1.0, ttft_limit_seconds=10.0), found)


def test_the_first_token_limit_counts_for_the_p95_prompt(serving: Build, on: On) -> None:
    setup = serving(ttft_limit_seconds=0.2, input_tokens_p95=16384.0)
    found = predicted(setup, on())
    assert (found.ttft_seconds or 1.0) < 0.2 and misses(setup, found)[0].startswith("TTFT of the p95 prompt")


def test_a_context_beyond_the_model_is_said(serving: Build, on: On) -> None:
    setup = serving(input_tokens=1e6, concurrency=1.0, tensor=8)
    assert any("beyond the 131,072 positions" in note for note in predicted(setup, on(gpus=8)).notes)
    assert not any("positions" in note for note in predicted(serving(), on()).notes)


def test_no_more_requests_are_advised_than_the_cache_holds(serving: Build, on: On) -> None:
    setup = serving("deepseek-r1", compute="FP8", weights="FP8", tensor=8, input_tokens=4000.0, output_tokens=500.0)
    found = attainable_inference(setup, on("H200-SXM", 8), frozenset({Tunable.CONCURRENCY}))
    assert isinstance(found, Attainable) and isinstance(found.setup, Inference)
    assert (found.setup.concurrency or 0.0) <= (found.prediction.concurrency or 0.0) + 0.5


def test_decode_says_what_more_concurrency_brings(serving: Build, on: On) -> None:
    setup = serving(phase=Phase.DECODE, concurrency=4.0, tpot_limit_seconds=0.02)
    more = more_concurrency(setup, on())
    assert more is not None
    best, reached = more
    assert reached.tokens_per_s_per_gpu > 2 * predicted(setup, on()).tokens_per_s_per_gpu
    assert not misses(best, reached)


@pytest.mark.parametrize("limit,reason", [(0.0001, "no setting keeps the limits"), (None, "does not fit")])
def test_a_plan_says_why_nothing_is_left(serving: Build, on: On, limit: float | None, reason: str) -> None:
    setup = serving("llama-3.1-405b" if limit is None else "llama-3.1-8b", tpot_limit_seconds=limit)
    found = best_serving(setup, Option(on(), Precision.BF16))
    assert isinstance(found, Nothing) and found.reason.startswith(reason)


def test_a_plan_finds_what_keeps_the_limits_where_the_declared_does_not(serving: Build, on: On) -> None:
    setup = serving(concurrency=256.0, tpot_limit_seconds=0.012)
    assert misses(setup, predicted(setup, on()))
    found = best_serving(setup, Option(on(), Precision.BF16))
    assert isinstance(found, Choice) and (found.prediction.tpot_seconds or 1.0) <= 0.012


def placed(product: str, gpus: int) -> Placement:
    gpu = load().by_api_name(product)
    assert isinstance(gpu, GPU)
    return Placement(Device(gpu), gpus)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b", "deepseek-v2-lite", "gpt-oss-20b"]),
    product=st.sampled_from(["H100-SXM5", "A100-SXM4-80GB", "L40S", "B200"]),
    gpus=st.sampled_from([1, 2, 4, 8]),
    inputs=st.sampled_from([64.0, 1000.0, 20_000.0, 200_000.0]),
    concurrency=st.sampled_from([1.0, 16.0, 300.0, 5000.0]),
    tpot=st.sampled_from([None, 0.01, 0.05]),
    tunable=st.sampled_from([FREE, frozenset(Tunable), frozenset({Tunable.CONCURRENCY})]),
)
def test_every_change_brings_what_it_promises(
    model: str,
    product: str,
    gpus: int,
    inputs: float,
    concurrency: float,
    tpot: float | None,
    tunable: frozenset[Tunable],
) -> None:
    setup = Inference(
        architecture=preset(model),
        precisions=Precisions(),
        phase=Phase.MIXED,
        input_tokens=inputs,
        output_tokens=256.0,
        concurrency=concurrency,
        parallelism=Parallelism(tensor=gpus),
        tpot_limit_seconds=tpot,
        engine="vLLM",
    )
    placement = placed(product, gpus)
    declared = predicted(setup, placement)
    found = attainable_inference(setup, placement, tunable)
    assert isinstance(found, Attainable) and isinstance(found.setup, Inference)
    assert found.prediction == predicted(found.setup, placement)
    promised = sum(each.gain for each in found.changes)
    brought = found.prediction.tokens_per_s_per_gpu / declared.tokens_per_s_per_gpu - 1.0
    assert promised == pytest.approx(brought, abs=1e-9)
    assert all(each.gain > 0.0 for each in found.changes)
    if found.changes:
        assert found.prediction.memory.fits and not misses(found.setup, found.prediction)
    best = best_within_limits(setup, placement, tunable)
    if best is not None:
        assert predicted(best, placement).memory.fits and not misses(best, predicted(best, placement))
    elif declared.memory.fits:
        assert misses(setup, declared)
