"""Static batches, continuous batching, memory and arrival rates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.predict.inference import Speculation, concurrency_at_rate, predict_at_rate, predict_inference
from mfu.predict.inference.build import case_of
from mfu.predict.inference.capacity import batch_that_fits, kv_bytes_per_token, weight_bytes_per_gpu
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import load
from mfu.predict.inference.serving import continuous, decode, prefill, running, static_latency
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Prediction, Problem

C = load()
Build = Callable[..., Inference]
On = Callable[..., Placement]


def made(setup: Inference, placement: Placement) -> ServingCase:
    case = case_of(setup, placement, C)
    assert not isinstance(case, Problem), case
    return case


def predicted(setup: Inference, placement: Placement, **options: object) -> Prediction:
    found = predict_inference(setup, placement, **options)  # type: ignore[arg-type]
    assert isinstance(found, Prediction), found
    return found


def test_a_static_batch_is_prefill_and_its_decode_steps(serving: Build, on: On) -> None:
    case = made(serving(), on())
    first, step = prefill(case, 4.0, C).ttft_seconds, decode(case, 4.0, C).tpot_seconds
    assert static_latency(case, 4.0, C) == pytest.approx(first + 255 * step)


def test_a_static_batch_beyond_the_cache_runs_in_turns(serving: Build, on: On) -> None:
    case = made(serving(input_tokens=8192.0, output_tokens=128.0), on())
    fits = float(batch_that_fits(case, C))
    assert static_latency(case, 4 * fits, C) == pytest.approx(4 * static_latency(case, fits, C))


def test_without_prompts_continuous_batching_is_decode(serving: Build, on: On) -> None:
    case = made(serving(input_tokens=1.0, output_tokens=4096.0), on())
    assert continuous(case, C).tpot_seconds == pytest.approx(decode(case, 32.0, C).tpot_seconds, rel=0.01)


def test_prompts_of_others_slow_decoding_down(serving: Build, on: On) -> None:
    short, long = made(serving(input_tokens=128.0), on()), made(serving(input_tokens=8192.0), on())
    assert continuous(short, C).tpot_seconds < continuous(long, C).tpot_seconds
    assert continuous(long, C).decode_share < continuous(short, C).decode_share


def test_a_request_by_itself_meets_no_prompt_after_its_first_token(serving: Build, on: On) -> None:
    """A token takes as long after 16 as after 1,024, but for the longer context."""
    for outputs in (16.0, 128.0, 1024.0):
        case = made(serving(concurrency=1.0, input_tokens=8192.0, output_tokens=outputs), on())
        served = continuous(case, C)
        assert served.tpot_seconds == pytest.approx(decode(case, 1.0, C).tpot_seconds)
        first = served.ttft_seconds - C.request_seconds - served.step_seconds / 2
        request = outputs / served.output_tokens_per_s
        assert request == pytest.approx(first + served.tpot_seconds * (outputs - 1), rel=1e-6)


def test_of_two_requests_each_meets_the_other_s_prompt(serving: Build, on: On) -> None:
    case = made(serving(concurrency=2.0, input_tokens=4096.0, output_tokens=64.0), on())
    served, alone = continuous(case, C), decode(case, 2.0, C).tpot_seconds
    prompt = prefill(case, 1.0, C).ttft_seconds
    assert 63 * (served.tpot_seconds - alone) == pytest.approx(prompt, rel=0.25)
    assert served.undisturbed_seconds == pytest.approx(alone)


def test_throughput_grows_with_concurrency_until_the_cache_is_full(serving: Build, on: On) -> None:
    rates = [predicted(serving(concurrency=each), on()).tokens_per_s_per_gpu for each in (1.0, 4.0, 16.0, 64.0)]
    assert rates == sorted(rates)
    full = predicted(serving(concurrency=None), on())
    over = predicted(serving(concurrency=1e5), on())
    assert over.tokens_per_s_per_gpu == pytest.approx(full.tokens_per_s_per_gpu)
    assert over.concurrency == full.concurrency == pytest.approx(float(running(made(serving(), on(gpus=1)), C)), rel=99)
    assert any("run at once" in note for note in over.notes)


def test_more_prompts_than_a_step_holds_let_fewer_requests_decode(serving: Build, on: On) -> None:
    """256 requests of 2,048 tokens in and 32 out bring 16,384 prompt tokens for each of their tokens; a step has 8,192.

    Those that decode go on at a token a step; the rest waits for its prompt, so twice as many change nothing but that.
    """
    few, many = (
        continuous(made(serving(concurrency=each, input_tokens=2048.0, output_tokens=32.0), on()), C)
        for each in (256.0, 512.0)
    )
    assert many.output_tokens_per_s == pytest.approx(few.output_tokens_per_s, rel=0.02)
    assert many.tpot_seconds == pytest.approx(few.tpot_seconds, rel=0.02)
    assert many.ttft_seconds > 1.8 * few.ttft_seconds


def test_an_engine_that_reads_prompts_first_stops_decoding_for_them(serving: Build, on: On) -> None:
    setup = serving(concurrency=256.0, input_tokens=2048.0, output_tokens=32.0)
    mixed, halted = (continuous(made(replace(setup, engine=each), on()), C) for each in ("vLLM", "SGLang"))
    assert halted.tpot_seconds > 1.7 * mixed.tpot_seconds and halted.ttft_seconds < mixed.ttft_seconds
    assert halted.output_tokens_per_s == pytest.approx(mixed.output_tokens_per_s, rel=0.35)


def test_transformers_over_several_gpus_work_one_after_another(serving: Build, on: On) -> None:
    setup = serving("llama-3.1-70b", engine="transformers", concurrency=8.0, phase=Phase.DECODE)
    two, four = (decode(made(replace(setup, parallelism=Parallelism(pipeline=n)), on(gpus=n)), 8.0, C) for n in (2, 4))
    assert four.output_tokens_per_s == pytest.approx(two.output_tokens_per_s, rel=0.02), "twice the GPUs, no faster"
    found = predicted(replace(setup, parallelism=Parallelism(pipeline=4)), on(gpus=4))
    idle = next(loss.fraction for loss in found.waterfall if "bubble" in loss.name)
    assert idle == pytest.approx(0.75, abs=0.01)
    assert found.mfu + sum(each.fraction for each in found.waterfall) == pytest.approx(1.0)
    vllm = replace(setup, engine="vLLM", parallelism=Parallelism(pipeline=4))
    assert decode(made(vllm, on(gpus=4)), 8.0, C).output_tokens_per_s > 2 * four.output_tokens_per_s


def test_waiting_for_a_slot_counts_in_the_first_token(serving: Build, on: On) -> None:
    full = predicted(serving(concurrency=None), on())
    over = predicted(serving(concurrency=2 * (full.concurrency or 0)), on())
    assert (over.ttft_seconds or 0) > 10 * (full.ttft_seconds or 1)


def test_the_first_token_waits_for_other_prompts(serving: Build, on: On) -> None:
    waits = [
        predicted(serving(input_tokens=4096.0, concurrency=each), on()).ttft_seconds or 0 for each in (1.0, 8.0, 64.0)
    ]
    assert waits == sorted(waits) and waits[0] > C.request_seconds


def test_capacity_of_llama_8b_on_one_h100(serving: Build, on: On) -> None:
    """16.06 GB of weights, 131,072 bytes of cache a token (32 layers · 2 · 8 heads · 128 · 2 bytes)."""
    case = made(serving(), on())
    assert weight_bytes_per_gpu(case) == pytest.approx(16.06e9, rel=1e-3)
    assert kv_bytes_per_token(case) == 131_072


def test_fp8_cache_doubles_the_requests_that_fit(serving: Build, on: On) -> None:
    wide, narrow = made(serving(), on()), made(serving(kv_cache="FP8"), on())
    assert batch_that_fits(narrow, C) == pytest.approx(2 * batch_that_fits(wide, C))


def test_pipeline_stages_share_the_weights(serving: Build, on: On) -> None:
    one = made(serving("llama-3.1-70b", tensor=2), on(gpus=2))
    two = made(serving("llama-3.1-70b", tensor=2, pipeline=2), on(gpus=4))
    assert weight_bytes_per_gpu(two) < 0.6 * weight_bytes_per_gpu(one)


def test_independent_replicas_serve_independently(serving: Build, on: On) -> None:
    one = predicted(serving(concurrency=16.0), on())
    four = predicted(serving(concurrency=64.0, data=4), on(gpus=4))
    assert four.tokens_per_s_per_gpu == pytest.approx(one.tokens_per_s_per_gpu, rel=0.02)


def test_speculation_gains_when_drafts_are_accepted(serving: Build, on: On) -> None:
    assert Speculation(3, 0.7).accepted == pytest.approx(2.533)
    setup = serving(concurrency=1.0, phase=Phase.DECODE)
    plain, good, bad = (
        predicted(setup, on(), speculation=each) for each in (None, Speculation(3, 0.7), Speculation(3, 0.0))
    )
    assert (good.tpot_seconds or 0) < 0.5 * (plain.tpot_seconds or 0)
    assert (bad.tpot_seconds or 0) >= (plain.tpot_seconds or 0)


@pytest.mark.parametrize("speculation", [Speculation(-1, 0.5), Speculation(99, 0.5), Speculation(2, 1.5)])
def test_impossible_speculation_is_refused(serving: Build, on: On, speculation: Speculation) -> None:
    found = predict_inference(serving(), on(), speculation=speculation)
    assert isinstance(found, Problem) and found.field.startswith("speculation") and found.fix


def test_an_arrival_rate_settles_at_the_concurrency_that_serves_it(serving: Build, on: On) -> None:
    found = predict_at_rate(serving(), on(), 5.0)
    assert isinstance(found, Prediction)
    assert found.tokens_per_s_per_gpu / 256 == pytest.approx(5.0, rel=0.03)
    slow = concurrency_at_rate(serving(), on(), 0.001)
    assert slow == 1.0


def test_arrivals_faster_than_service_are_refused(serving: Build, on: On) -> None:
    found = predict_at_rate(serving(), on(), 1e4)
    assert isinstance(found, Problem)
    assert found.field == "arrivalRate" and float(found.fix.split()[-1]) < 1e4
