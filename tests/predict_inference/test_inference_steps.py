"""One engine step: each term alone, with a number worked by hand from the shipped constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.hardware.catalog import load as catalog
from mfu.hardware.types import GPU, Device
from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import ServingCase, stack_cases
from mfu.predict.inference.constants import load
from mfu.predict.inference.kernels import ServingStep, step_time
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Precisions, Problem
from mfu.workload.presets import preset

C = load()
Build = Callable[..., Inference]
On = Callable[..., Placement]


def made(setup: Inference, placement: Placement) -> ServingCase:
    case = case_of(setup, placement, C)
    assert not isinstance(case, Problem), case
    return case


def test_a_step_reads_every_weight_of_a_dense_model_once(serving: Build, on: On) -> None:
    step = step_time(made(serving(), on()), ServingStep(1.0, 0.0), C)
    assert step.weight_bytes == 2 * (32 * (41_943_040 + 176_160_768) + 128_256 * 4096)


def test_tensor_parallelism_divides_reads_and_adds_all_reduces(serving: Build, on: On) -> None:
    one = step_time(made(serving(), on()), ServingStep(8.0, 1000.0), C)
    four = step_time(made(serving(tensor=4), on(gpus=4)), ServingStep(8.0, 1000.0), C)
    assert four.weight_bytes == pytest.approx(one.weight_bytes / 4)
    assert four.cache_bytes == pytest.approx(one.cache_bytes / 4)
    assert one.tensor_communication == 0.0 < four.tensor_communication


def test_cache_splits_no_finer_than_kv_heads(serving: Build, on: On) -> None:
    eight = step_time(made(serving("qwen3-30b-a3b", tensor=8), on(gpus=8)), ServingStep(8.0, 1000.0), C)
    four = step_time(made(serving("qwen3-30b-a3b", tensor=4), on(gpus=4)), ServingStep(8.0, 1000.0), C)
    assert eight.cache_bytes == four.cache_bytes


def test_a_latent_cache_is_not_split_by_tensor_parallelism(serving: Build, on: On) -> None:
    one = step_time(made(serving("deepseek-v2-lite"), on()), ServingStep(4.0, 1000.0), C)
    four = step_time(made(serving("deepseek-v2-lite", tensor=4), on(gpus=4)), ServingStep(4.0, 1000.0), C)
    assert one.cache_bytes == four.cache_bytes == 4 * 1000 * 27 * 576 * 2


def test_touched_experts_follow_the_tokens(serving: Build, on: On) -> None:
    """Mixtral, 1 token: 2 of 8 experts; 4 tokens: 8 · (1 − 0.75⁴) = 5.47; many tokens: all 8."""
    case = made(serving("mixtral-8x7b", tensor=2), on(gpus=2))
    expert = 32 * 3 * 4096 * 14336 / 2 * 2
    rest = step_time(case, ServingStep(1.0, 0.0), C).weight_bytes - 2 * expert
    for tokens, touched in ((4.0, 5.46875), (1e4, 8.0)):
        assert step_time(case, ServingStep(tokens, 0.0), C).weight_bytes == pytest.approx(rest + touched * expert)


def test_a_window_bounds_what_decode_reads(serving: Build, on: On) -> None:
    """gpt-oss-20b: 12 of 24 layers slide over 128 tokens."""
    case = made(serving("gpt-oss-20b"), on())
    read = step_time(case, ServingStep(1.0, 4096.0), C).cache_bytes
    assert read == 12 * (4096 + 128) * 2 * 8 * 64 * 2


def test_weight_only_formats_read_less_and_compute_in_16_bit(serving: Build, on: On) -> None:
    wide, narrow = made(serving(), on()), made(serving(weights="INT4"), on())
    few, many = ServingStep(1.0, 100.0), ServingStep(0.0, 0.0, 8192.0, 1024.0, 4.0)
    assert step_time(narrow, few, C).total < step_time(wide, few, C).total
    assert step_time(narrow, many, C).matrix_compute >= step_time(wide, many, C).matrix_compute


def test_only_experts_of_gpt_oss_are_narrow(serving: Build, on: On) -> None:
    case = made(serving("gpt-oss-120b", weights="FP4"), on())
    assert (case.format.linear, case.format.expert) == (2.0, 0.53125), "MXFP4: a byte of scale for 32 values"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(1, 512), st.floats(1, 8192), st.floats(0, 8192), st.sampled_from([1, 2, 4, 8]))
def test_more_work_never_takes_less_time(decode: float, context: float, prefill: float, tensor: int) -> None:
    gpu = catalog().by_api_name("H100-SXM5")
    assert isinstance(gpu, GPU)
    layout = Parallelism(tensor=tensor)
    setup = Inference(preset("llama-3.1-8b"), Precisions(), Phase.MIXED, 1024.0, 128.0, None, layout)
    case = made(setup, Placement(Device(gpu), 8))
    base = step_time(case, ServingStep(decode, context, prefill, 512.0, 1.0), C).total
    for more in (
        ServingStep(decode * 1.5, context, prefill, 512.0, 1.0),
        ServingStep(decode, context * 1.5, prefill, 512.0, 1.0),
        ServingStep(decode, context, prefill + 512.0, 512.0, 1.0),
    ):
        assert step_time(case, more, C).total >= base


def test_stacked_cases_give_what_each_gives_alone(serving: Build, on: On) -> None:
    cases = [made(serving(), on()), made(serving("mixtral-8x7b", tensor=4), on(gpus=4))]
    alone = [float(step_time(case, ServingStep(16.0, 500.0), C).total) for case in cases]
    together = step_time(stack_cases(cases), ServingStep(16.0, 500.0), C).total
    assert np.allclose(together, alone, rtol=1e-12)
