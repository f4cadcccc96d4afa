"""Engine names, and the fit that gives each its one factor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mfu.predict.inference import predict_inference
from mfu.predict.inference.constants import UNSTATED, document, engine_key, engine_level, load
from mfu.predict.inference.fit.newton import beginning, fit
from mfu.predict.inference.fit.rows import ServingRows, log_errors, rows_of, stack_effects
from mfu.predict.releases import release
from mfu.predict.types import Inference, Placement, Prediction

HEADER = (
    "id,source,model,params_b,active_params_b,layers,hidden,heads,kv_heads,head_dim,ffn,vocab,gpu,tp,pp,ep,"
    "weight_precision,kv_precision,isl,osl,concurrency_or_batch,metric,value,notes"
)
Build = Callable[..., Inference]
On = Callable[..., Placement]
LLAMA = "Llama-3.1-8B,8.03,8.03,32,4096,32,8,128,14336,128256,H100-SXM-80GB,1,1,1"


@pytest.mark.parametrize(
    "name,key",
    [
        ("TensorRT-LLM", "tensorrtllm"),
        ("trtllm-serve", "tensorrtllm"),
        ("vLLM", "vllm"),
        ("SGLang", "sglang"),
        ("LMDeploy", "lmdeploy"),
        ("text-generation-inference", "tgi"),
        ("LMDeploy TurboMind", "lmdeploy"),
        ("MLC-LLM", "mlc"),
        ("ExLlamaV2", "exllama"),
        (None, ""),
    ],
)
def test_spellings_of_engines(name: str | None, key: str) -> None:
    assert engine_key(name) == key


@pytest.mark.parametrize(
    "engine,version,level",
    [
        ("vLLM", "0.6.1", "vllm before 0.8"),
        ("vLLM", "v0.11.0rc1", "vllm"),
        ("vLLM", None, "vllm"),
        ("TensorRT-LLM", "0.9.0", "tensorrtllm before 0.17"),
        ("TensorRT-LLM", "1.0.0rc3", "tensorrtllm"),
        ("SGLang", "0.4", "sglang"),
        ("SGLang", "main", "sglang"),
    ],
)
def test_generations_of_engines(engine: str, version: str | None, level: str) -> None:
    assert engine_level(engine, version) == level


@pytest.mark.parametrize("text,number", [("v0.6.1", (0, 6)), ("1", (1, 0)), ("main", None), ("", None), (None, None)])
def test_releases(text: str | None, number: tuple[int, int] | None) -> None:
    assert release(text) == number


def test_a_generation_that_nobody_measured_is_its_engine_with_the_doubt_of_another() -> None:
    known = load()
    fewer = replace(known, engines={"tensorrtllm": known.engines["tensorrtllm"]})
    found = fewer.stack("TensorRT-LLM", "0.9")
    assert (found.speed, found.host) == (known.stack("TensorRT-LLM").speed, known.stack("TensorRT-LLM").host)
    assert found.doubt == known.doubt["engine"]
    assert found == fewer.stack("tensorrtllm before 0.17")


def test_an_engine_that_nobody_measured_gets_the_common_mean_and_its_whole_spread() -> None:
    constants = load()
    unknown = constants.stack("never seen")
    hosts = [each.host for each in constants.engines.values()]
    assert unknown.speed == constants.strangers.get("engine", 1.0)
    assert unknown.host == pytest.approx(math.prod(hosts) ** (1 / len(hosts))) != 1.0
    assert constants.without_stacks().stack("never seen").host == 1.0, "nothing is known of any"
    assert unknown.doubt == constants.doubt["engine"] > constants.stack("vLLM").doubt
    assert constants.stack(None) == unknown != constants.stack(UNSTATED)
    assert all(0.7 < each.speed < 1.3 for each in (*constants.engines.values(), *constants.products.values()))


def test_a_product_that_nobody_measured_is_less_certain(serving: Build, on: On) -> None:
    known, unknown = (_relative(serving(), on(product)) for product in ("H100-SXM5", "H800-SXM5"))
    assert unknown > known > 1.1


def _relative(setup: Inference, placement: Placement) -> float:
    found = predict_inference(setup, placement)
    assert isinstance(found, Prediction), found
    return found.high / found.low


def test_no_constant_left_its_bounds() -> None:
    for name, each in document()["numbers"].items():
        assert 0 < each["value"] <= each.get("most", math.inf), name


@pytest.fixture
def rows() -> ServingRows:
    """48 rows of two engines: what they measured is what `truth` makes of them."""
    table = [
        {
            **dict(zip(HEADER.split(","), f"X,{engine},{LLAMA}".split(","), strict=False)),
            **{"weight_precision": precision, "kv_precision": precision, "isl": str(inputs), "osl": str(outputs)},
            **{"concurrency_or_batch": str(batch), "metric": "e2e_latency_ms", "value": "1000"},
        }
        for engine, precision in (("vllm one", "fp16"), ("sglang two", "fp8"))
        for batch in (1, 4, 8, 32, 64, 256)
        for inputs, outputs in ((128, 128), (2048, 128), (128, 1024), (1024, 1024))
    ]
    return rows_of(table)


def test_the_fit_finds_what_made_the_rows(rows: ServingRows) -> None:
    start = beginning(rows)
    truth = start.theta.copy()
    truth[start.unknowns.names.index("weight_stream")] += math.log(0.7)
    made = log_errors(rows, start.unknowns.constants(truth)) + np.where(rows.engine == "vllm", math.log(0.9), 0.0)
    measured = replace(rows, log_measured=rows.log_measured + rows.sign * made)
    found = fit(measured, rounds=4).constants()
    before = np.abs(log_errors(measured, start.unknowns.constants(start.theta))).mean()
    after = np.abs(log_errors(measured, found) + stack_effects(measured, found)).mean()
    assert after < 0.35 * before
    assert found.stack("vllm").speed < found.stack("sglang").speed
