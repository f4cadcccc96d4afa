"""The contract of a prediction: sums, scales, bands, memory and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mfu.predict.inference import (
    bytes_moved_per_token,
    decode_flops_per_token,
    model_flops_per_token,
    predict_inference,
    prefill_flops_per_token,
)
from mfu.predict.learnkeys import key_of
from mfu.predict.types import Correction, Corrections, Inference, Phase, Placement, Prediction, Problem, Scale

Build = Callable[..., Inference]
On = Callable[..., Placement]

LAYOUTS: tuple[tuple[str, dict[str, int | str], int], ...] = (
    ("llama-3.1-8b", {}, 1),
    ("llama-3.1-70b", {"tensor": 4}, 4),
    ("llama-3.1-70b", {"tensor": 2, "pipeline": 4}, 8),
    ("mixtral-8x7b", {"tensor": 4}, 4),
    ("deepseek-r1", {"data": 8, "expert": 8, "compute": "FP8", "weights": "FP8"}, 8),
    ("gpt-oss-120b", {"tensor": 2, "weights": "FP4"}, 2),
    ("gemma-2-27b", {"tensor": 2, "compute": "FP8", "weights": "FP8", "kv_cache": "FP8"}, 2),
)


def predicted(setup: Inference, placement: Placement, corrections: Corrections | None = None) -> Prediction:
    found = predict_inference(setup, placement, corrections)
    assert isinstance(found, Prediction), found
    return found


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("model,layout,gpus", LAYOUTS)
def test_losses_and_mfu_add_up_to_one(
    serving: Build, on: On, phase: Phase, model: str, layout: dict, gpus: int
) -> None:
    found = predicted(serving(model, phase=phase, **layout), on("H200-SXM", gpus))
    assert found.mfu + math.fsum(each.fraction for each in found.waterfall) == pytest.approx(1.0, abs=1e-12)
    assert 0 < found.mfu < 1 and 0 < (found.mbu or 0) < 1.05
    assert len({each.name for each in found.waterfall}) == len(found.waterfall)
    assert all(each.fraction == pytest.approx(each.seconds / found.step_seconds) for each in found.waterfall)


def test_decode_of_few_requests_is_judged_on_bandwidth(serving: Build, on: On) -> None:
    found = predicted(serving(phase=Phase.DECODE, concurrency=1.0), on())
    assert (found.scale, found.bound) == (Scale.MBU, "Memory")
    assert found.low < (found.mbu or 0) < found.high


def test_prefill_is_judged_on_flops(serving: Build, on: On) -> None:
    found = predicted(serving(phase=Phase.PREFILL, concurrency=4.0), on())
    assert (found.scale, found.bound) == (Scale.MFU, "Compute")
    assert found.low < found.mfu < found.high
    assert found.tokens_per_s_per_gpu == found.input_tokens_per_s_per_gpu


def test_mfu_is_model_flops_over_declared_peak(serving: Build, on: On) -> None:
    setup = serving(compute="FP8", weights="FP8")
    found = predicted(setup, on())
    assert found.mfu == pytest.approx(found.tokens_per_s_per_gpu * model_flops_per_token(setup) / 1978.9e12)
    assert found.reference_mfu == pytest.approx(2 * found.mfu, rel=1e-3)
    assert found.flops_per_token == model_flops_per_token(setup)


def test_flops_of_a_mixed_request_are_those_of_its_phases(serving: Build) -> None:
    """Llama-3.1-8B, 2048 in, 256 out: (29.69 TFLOP of prompt + 255 · 16.15 GFLOP) / 256 = 132.1 GFLOP."""
    setup = serving()
    whole = prefill_flops_per_token(setup) * 2048 + 255 * decode_flops_per_token(setup, 2176.0)
    assert model_flops_per_token(setup) == pytest.approx(whole / 256)
    assert model_flops_per_token(setup) == pytest.approx(132.1e9, rel=2e-3)


def test_bytes_of_one_token(serving: Build, on: On) -> None:
    """Llama-2-7B, one request, 128 in and 128 out: 13.21 GB of weights and 192 tokens of 524,288 bytes."""
    setup = serving("llama-2-7b", input_tokens=128.0, output_tokens=128.0, concurrency=1.0)
    assert bytes_moved_per_token(setup, on()) == pytest.approx(13.214e9 + 192 * 524_288, rel=2e-3)
    batched = serving("llama-2-7b", input_tokens=128.0, output_tokens=128.0, concurrency=16.0)
    assert bytes_moved_per_token(batched, on()) == pytest.approx(13.214e9 / 16 + 192 * 524_288, rel=2e-3)
    assert bytes_moved_per_token(serving(tensor=3), on(gpus=3)) is None


def test_a_model_that_does_not_fit_is_predicted_and_says_what_fits(serving: Build, on: On) -> None:
    found = predicted(serving("llama-3.1-70b"), on())
    assert not found.memory.fits and found.memory.largest_term == "weights"
    assert found.memory.advice == "precision.weights: FP8"
    two = predicted(serving("llama-3.1-70b"), on(gpus=4))
    assert two.memory.advice == "tensor: 2"


def test_a_model_that_fits_has_no_advice(serving: Build, on: On) -> None:
    memory = predicted(serving(), on()).memory
    assert memory.fits and memory.advice is None
    assert memory.total_bytes == pytest.approx(sum(memory.terms.values()))


def test_corrections_scale_speed_and_widen_the_band(serving: Build, on: On) -> None:
    setup, placement = serving(), on()
    learned = Corrections({key_of(setup, placement): Correction(0.8, 0.1, 20)})
    plain, corrected = predicted(setup, placement), predicted(setup, placement, learned)
    assert corrected.tokens_per_s_per_gpu == pytest.approx(0.8 * plain.tokens_per_s_per_gpu)
    assert (corrected.tpot_seconds or 0) == pytest.approx((plain.tpot_seconds or 0) / 0.8)
    assert corrected.high / corrected.low > plain.high / plain.low
    assert corrected.mfu + math.fsum(each.fraction for each in corrected.waterfall) == pytest.approx(1.0)
    named = {each.name: each.seconds for each in corrected.waterfall}
    assert named["learned correction"] == pytest.approx(0.25 * plain.step_seconds)
    assert named["software stack"] == pytest.approx(
        {each.name: each.seconds for each in plain.waterfall}["software stack"]
    )


def test_pcie_between_gpus_is_slower_than_nvlink(serving: Build, on: On) -> None:
    fast = predicted(serving("llama-3.1-70b", tensor=4), on(gpus=4))
    slow = predicted(serving("llama-3.1-70b", tensor=4), on(gpus=4, nvlink=False))
    assert slow.tokens_per_s_per_gpu < fast.tokens_per_s_per_gpu


REFUSED = (
    ({"tensor": 7}, 8, "parallelism.tensor", "4"),
    ({"tensor": 0}, 8, "parallelism.tensor", "1"),
    ({"pipeline": 64}, 64, "parallelism.pipeline", "32"),
    ({"tensor": 8}, 4, "accelerators.count", "8"),
    ({"compute": "FP4", "weights": "FP4"}, 1, "precision.compute", "BF16"),
    ({"input_tokens": 0.0}, 1, "input_tokens", "1"),
    ({"output_tokens": math.nan}, 1, "output_tokens", "1"),
    ({"concurrency": 0.0}, 1, "concurrency", "1"),
    ({"max_batch_tokens": 0}, 1, "maxBatchTokens", "8192"),
)


@pytest.mark.parametrize("changes,gpus,field,nearest", REFUSED)
def test_the_impossible_is_refused_with_the_nearest(
    serving: Build, on: On, changes: dict, gpus: int, field: str, nearest: str
) -> None:
    found = predict_inference(serving(**changes), on(gpus=gpus))
    assert isinstance(found, Problem)
    assert found.field == field and nearest in found.fix


def test_a_model_that_writes_no_tokens_is_refused(serving: Build, on: On) -> None:
    found = predict_inference(serving("bert-base"), on())
    assert isinstance(found, Problem) and found.field == "model"
