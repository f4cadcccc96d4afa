"""What engines schedule by default, and what a card's power leaves of its peak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict.inference import predict_inference
from mfu.predict.inference.build import case_of
from mfu.predict.inference.capacity import batch_that_fits
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import UNSTATED
from mfu.predict.inference.constants import load as constants
from mfu.predict.inference.habits import (
    USUAL,
    groups_queries,
    habit_of,
    launched_from_python,
    prompts_by_hand,
    runs_modules,
    waits_for_requests,
)
from mfu.predict.inference.kernels import ServingStep, step_time
from mfu.predict.names import Bound
from mfu.predict.types import Compilation, Inference, Phase, Placement, Prediction

Build = Callable[..., Inference]
On = Callable[..., Placement]


def device(product: str) -> Device:
    gpu = load().by_api_name(product)
    assert isinstance(gpu, GPU), gpu
    return Device(gpu)


@pytest.mark.parametrize(
    "engine,product,tokens,batch",
    [
        ("vLLM", "H100-SXM5", 8192, 1024),
        ("vLLM", "A100-SXM4-80GB", 2048, 256),
        ("vLLM", "L40S", 2048, 256),
        ("SGLang", "L4", 2048, 2048),
        ("SGLang", "H200-SXM", 8192, 2048),
        ("SGLang", "B200", 16384, 2048),
        ("TensorRT-LLM", "A100-SXM4-80GB", 8192, 2048),
        (None, "L4", USUAL.batch_tokens, USUAL.batch),
    ],
)
def test_defaults_of_engines(engine: str | None, product: str, tokens: int, batch: int) -> None:
    found = habit_of(engine, device(product))
    assert (found.batch_tokens, found.batch) == (tokens, batch)


@pytest.mark.parametrize(
    "engine,version,queries,groups",
    [
        ("TensorRT-LLM", "0.6.1", 8, False),
        ("TensorRT-LLM", "0.9.0", 8, True),
        ("TensorRT-LLM", "0.9.0", 4, False),
        ("TensorRT-LLM", "0.9.0", 1, True),
        ("TensorRT-LLM", "1.0", 4, True),
        ("TensorRT-LLM", None, 4, True),
        ("vLLM", "0.11", 7, True),
        (UNSTATED, None, 4, False),
        (UNSTATED, None, 8, True),
    ],
)
def test_kernels_that_read_the_cache_once_for_a_group(
    engine: str, version: str | None, queries: float, groups: bool
) -> None:
    assert groups_queries(engine, version, queries) is groups


@pytest.mark.parametrize(
    "engine,version,compilation,launches",
    [
        ("transformers", None, None, True),
        ("transformers", None, Compilation.FULL, False),
        ("TGI", "1.2", None, True),
        ("TGI", "2.0", None, False),
        ("vLLM", "0.2.1", None, True),
        ("vLLM", "0.9.1", None, False),
        ("vLLM", "0.9.1", Compilation.NONE, True),
        ("llama.cpp", None, Compilation.NONE, False),
        ("gpt-fast", None, Compilation.NONE, True),
        ("gpt-fast", None, None, False),
        (None, None, Compilation.NONE, False),
    ],
)
def test_engines_that_launch_kernel_by_kernel(
    engine: str | None, version: str | None, compilation: Compilation | None, launches: bool
) -> None:
    assert (launched_from_python(engine, version, compilation) > 0) is launches


def test_only_transformers_run_its_modules() -> None:
    assert runs_modules("Hugging Face transformers") and not runs_modules("vLLM") and not runs_modules(None)


def test_fused_kernels_are_fewer_launches_than_modules() -> None:
    assert 0 < launched_from_python("TGI", "1.2", None) < launched_from_python("transformers", None, None)
    plain = launched_from_python("gpt-fast", None, Compilation.NONE)
    assert plain == launched_from_python("transformers", None, None), "a program without kernels fused by hand"


@pytest.mark.parametrize(
    "engine,version,vendor,waits",
    [
        ("vLLM", "0.5.4", "NVIDIA", 1.0),
        ("vLLM", "0.6.0", "NVIDIA", 0.0),
        ("vLLM", "0.6.4", "AMD", 1.0),
        ("vLLM", "0.9", "AMD", 0.0),
        ("vLLM", None, "NVIDIA", 0.0),
        ("SGLang", "0.3.6", "NVIDIA", 0.2),
        ("SGLang", "0.4.6", "NVIDIA", 0.0),
        ("SGLang", None, "NVIDIA", 0.0),
    ],
)
def test_engines_whose_gpu_waits_for_the_host_s_work_on_requests(
    engine: str, version: str | None, vendor: str, waits: float
) -> None:
    assert waits_for_requests(engine, version, vendor) == waits


def test_the_gpu_waits_longer_the_more_requests_an_old_vllm_runs(serving: Build, on: On) -> None:
    def token(version: str, concurrency: float) -> float:
        setup = serving(engine="vLLM", engine_version=version, concurrency=concurrency, phase=Phase.DECODE)
        found = predict_inference(setup, on())
        assert isinstance(found, Prediction) and found.tpot_seconds is not None
        return found.tpot_seconds

    few, more, many = (token("0.5.4", each) - token("0.6.0", each) for each in (8.0, 68.0, 128.0))
    assert many - more == pytest.approx(more - few, rel=0.05) and more - few > 0.005
    each = (more - few) / 60.0
    assert few - 8.0 * each == pytest.approx(constants().waiting_step_seconds, rel=0.1), "of a step beside that"


def test_transformers_repeat_the_cache_for_every_query_head(serving: Build, on: On) -> None:
    """Llama-3.1-8B, 4 query heads a cache head: 8 times the cache beside reading it once, 2 more to append to it."""
    setup = serving(engine="transformers", concurrency=1.0, input_tokens=29000.0, output_tokens=2000.0)
    other = replace(setup, engine="vLLM")
    cases = [case_of(each, on(), constants()) for each in (other, setup, replace(setup, compilation=Compilation.FULL))]
    step, cache = ServingStep(1.0, 30000.0), 30000 * 131_072 / (3.35e12 * constants().cache_stream)
    copied = cache * constants().cache_stream / constants().copy_stream
    spent = [step_time(case, step, constants()).decode_attention for case in cases if isinstance(case, ServingCase)]
    assert spent[1] - spent[0] == pytest.approx(10 * copied, rel=0.01)
    assert spent[2] == pytest.approx((spent[0] + 8 * cache) * 31 / 30, rel=0.01), "compiled: a cache of 31,000 tokens"


def test_every_operation_of_eager_modules_crosses_memory(serving: Build, on: On) -> None:
    setup = serving(engine="transformers", phase=Phase.PREFILL, concurrency=8.0)
    step = ServingStep(0.0, 0.0, 16384.0, 1024.0, 8.0)
    cases = [case_of(each, on(), constants()) for each in (setup, replace(setup, compilation=Compilation.FULL))]
    eager, fused = (step_time(case, step, constants()).activations for case in cases if isinstance(case, ServingCase))
    assert eager / fused == pytest.approx(1 + constants().module_passes / constants().activation_passes)


def test_a_mixture_in_transformers_is_launched_expert_by_expert(serving: Build, on: On) -> None:
    setup = serving("qwen3-30b-a3b", engine="transformers", concurrency=1.0, phase=Phase.DECODE)
    found = predict_inference(setup, on())
    assert isinstance(found, Prediction) and found.bound is Bound.HOST
    assert (found.tpot_seconds or 0) > 48 * 128 * constants().python_expert_seconds


@pytest.mark.parametrize("product,bound", [("A100-SXM4-80GB", True), ("RTX-4090", False)])
def test_llama_cpp_reads_so_many_bytes_a_multiprocessor(product: str, bound: bool, serving: Build, on: On) -> None:
    """10 GB/s each: half of what an A100's memory gives, more than all of an RTX 4090's."""
    own, tuned = (case_of(serving(engine=engine), on(product), constants()) for engine in ("llama.cpp", "MLC-LLM"))
    assert isinstance(own, ServingCase) and isinstance(tuned, ServingCase)
    reads = [step_time(case, ServingStep(1.0, 100.0), constants()).weight_reads for case in (own, tuned)]
    assert bool(reads[0] > 1.5 * reads[1]) is bound


def test_llama_cpp_reads_prompts_by_kernels_of_its_own() -> None:
    products = (device(each).gpu for each in ("RTX-A6000", "RTX-3090"))
    workstation, geforce = (prompts_by_hand("llama.cpp", each, warps=True) for each in products)
    assert geforce == pytest.approx(2 * workstation)
    assert prompts_by_hand("llama.cpp", device("H100-PCIe").gpu, warps=False) == pytest.approx(workstation / 2)
    assert prompts_by_hand("vLLM", device("RTX-A6000").gpu, warps=True) == 1.0


def test_superchips_of_one_node_are_joined_by_nvlink(serving: Build, on: On) -> None:
    setup = serving("llama-3.1-70b", tensor=4)
    quad = replace(on("GH200-96GB", 4), gpus_per_node=4)
    for placement, switched in ((quad, 1.0), (replace(quad, gpus_per_node=1), 0.0), (replace(quad, nvlink=False), 0.0)):
        case = case_of(setup, placement, constants())
        assert isinstance(case, ServingCase) and case.chip.switched == switched


def test_an_old_kernel_reads_the_cache_once_for_each_query_head(serving: Build, on: On) -> None:
    """Llama-3.1-8B: 4 query heads a cache head, so three times more, at the rate of the GPU's own cache."""
    old, new = (
        predict_inference(serving(engine="TensorRT-LLM", engine_version=version, concurrency=64.0), on("H100-SXM5"))
        for version in ("0.9", "0.17")
    )
    assert isinstance(old, Prediction) and isinstance(new, Prediction)
    assert old.tpot_seconds is not None and new.tpot_seconds is not None
    assert old.tpot_seconds > 1.1 * new.tpot_seconds


def test_vllm_leaves_a_tenth_of_the_card_where_tensorrt_llm_divides_what_weights_leave(serving: Build, on: On) -> None:
    """70B in 8 bit on one H100: 71 of 86 GB are weights; vLLM's nine tenths leave less than half of TensorRT-LLM's."""
    made = {"compute": "FP8", "weights": "FP8", "concurrency": None}
    room = {
        engine: batch(serving("llama-3.1-70b", engine=engine, **made), on("H100-SXM5"))
        for engine in ("vLLM", "TensorRT-LLM")
    }
    assert 0 < room["vLLM"] < 0.8 * room["TensorRT-LLM"]


@pytest.mark.parametrize("engine", ["vLLM", "SGLang", "TensorRT-LLM"])
@pytest.mark.parametrize("product", ["L4", "L40S", "H100-SXM5"])
def test_as_many_as_fit_do_fit(serving: Build, on: On, engine: str, product: str) -> None:
    found = predict_inference(serving("llama-3.2-1b", engine=engine, concurrency=None), on(product))
    assert isinstance(found, Prediction) and found.memory.fits


def batch(setup: Inference, placement: Placement) -> float:
    case = case_of(setup, placement, constants())
    assert isinstance(case, ServingCase), case
    return float(batch_that_fits(case, constants()))


def ceiling(setup: Inference, placement: Placement) -> float:
    case = case_of(setup, placement, constants())
    assert isinstance(case, ServingCase), case
    return float(case.chip.ceiling)


def test_a_card_at_its_power_cap_keeps_less_of_its_peak(serving: Build, on: On) -> None:
    """72 W for 121 TFLOP/s against the L40S's 350 W for 362: (0.595 / 0.967)^⅓ = 0.85."""
    assert ceiling(serving(), on("L4")) == pytest.approx(0.8 * (72 / 121 / (350 / 362)) ** (1 / 3), rel=0.01)
    assert ceiling(serving(), on("L40S")) == 0.8
    assert ceiling(serving(), on("H20")) == 0.8


@pytest.mark.parametrize("model", ["qwen2.5-1.5b", "qwen2.5-7b"])
def test_an_engine_that_launches_from_python_goes_at_its_host_s_pace_whatever_the_size(
    model: str, serving: Build, on: On
) -> None:
    """28 layers of 0.88 ms: 24.6 ms a token at the least (QwenLM/Qwen3@0f0ecfb, A100: 25.2 and 24.8 ms)."""
    setup = serving(model, engine="HF transformers", concurrency=1.0, input_tokens=16.0, output_tokens=256.0)
    slow, fast = (
        predict_inference(each, on("A100-SXM4-80GB")) for each in (setup, replace(setup, engine="TensorRT-LLM"))
    )
    assert isinstance(slow, Prediction) and isinstance(fast, Prediction)
    assert slow.tpot_seconds == pytest.approx(0.025, rel=0.15)
    assert fast.tpot_seconds is not None and fast.tpot_seconds < 0.6 * 0.025


def test_python_s_launches_are_hidden_where_the_gpu_has_more_to_do(serving: Build, on: On) -> None:
    setup = serving("llama-3-70b", engine="transformers", phase=Phase.PREFILL, input_tokens=8192.0)
    large = predict_inference(setup, on("H200-SXM"))
    assert isinstance(large, Prediction) and large.bound is not Bound.HOST
