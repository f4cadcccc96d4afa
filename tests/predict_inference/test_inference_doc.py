"""Every worked number of docs/performance-model-inference.md, computed again from the shipped constants."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mfu.predict.inference import Speculation, concurrency_at_rate, predict_inference
from mfu.predict.inference.build import case_of
from mfu.predict.inference.capacity import batch_that_fits, kv_bytes_per_request, weight_bytes_per_gpu, workspace_bytes
from mfu.predict.inference.case import Case
from mfu.predict.inference.constants import document, load
from mfu.predict.inference.kernels import Step, StepTime, step_time
from mfu.predict.inference.serving import continuous
from mfu.predict.types import Inference, Placement, Prediction, Problem

DOC = Path(__file__).parents[2] / "docs/performance-model-inference.md"
C = load()
Build = Callable[..., Inference]
On = Callable[..., Placement]


def stated() -> dict[str, float]:
    rows = re.findall(r"^\| (W\d+) \|.*\| ([\d.,]+) [^|]*\|$", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: float(value.replace(",", "")) for name, value in rows}


def made(setup: Inference, placement: Placement) -> Case:
    case = case_of(setup, placement, C)
    assert not isinstance(case, Problem), case
    return case


@pytest.fixture
def computed(serving: Build, on: On) -> dict[str, float]:
    llama = made(serving(), on())
    decode = step_time(llama, Step(32.0, 2176.0), C)
    prompt = step_time(llama, Step(0.0, 0.0, 2048.0, 1024.0, 1.0), C)
    return {**_step(decode, prompt), **_others(serving, on), **_serving(llama, serving, on)}


def _step(decode: StepTime, prompt: StepTime) -> dict[str, float]:
    return {
        "W1": decode.weight_bytes / 1e9,
        "W2": (decode.matrix_compute + decode.weight_reads) * 1e3,
        "W3": prompt.matrix_compute * 1e3,
        "W5": decode.cache_bytes / 1e9,
        "W6": decode.decode_attention * 1e3,
        "W7": prompt.prefill_attention * 1e3,
        "W8": decode.activations * 1e3,
        "W9": decode.launch * 1e3,
        "W13": decode.host * 1e3,
        "W14": decode.total * 1e3,
    }


def _others(serving: Build, on: On) -> dict[str, float]:
    mixtral = made(serving("mixtral-8x7b", tensor=2), on(gpus=2))
    expert = 32 * 3 * 4096 * 14336 / 2 * 2
    few, one = (step_time(mixtral, Step(each, 0.0), C).weight_bytes for each in (4.0, 1.0))
    wide = made(serving("llama-3.1-70b", tensor=4), on(gpus=4))
    groups = made(serving("deepseek-r1", data=8, expert=8, compute="FP8", weights="FP8"), on("H200-SXM", 8))
    piped = made(serving("llama-3.1-70b", tensor=2, pipeline=4), on(gpus=8))
    return {
        "W4": (few - one) / expert + 2.0,
        "W10": step_time(wide, Step(64.0, 1000.0), C).tensor_communication * 1e3,
        "W11": step_time(groups, Step(64.0, 1000.0), C).expert_communication * 1e3,
        "W12": float(continuous(piped, C).step.bubble) * 1e3,
    }


def _serving(llama: Case, serving: Build, on: On) -> dict[str, float]:
    served = continuous(llama, C)
    found, rate = predict_inference(serving(), on()), concurrency_at_rate(serving(), on(), 5.0)
    assert isinstance(found, Prediction) and isinstance(rate, float)
    return {
        "W15": float(weight_bytes_per_gpu(llama)) / 1e9,
        "W16": float(workspace_bytes(llama, C)) / 1e9,
        "W17": float(kv_bytes_per_request(llama, 2304.0)) / 1e6,
        "W18": float(batch_that_fits(llama, C)),
        "W19": float(served.tpot_seconds) * 1e3,
        "W20": float(served.ttft_seconds) * 1e3,
        "W21": float(served.output_tokens_per_s),
        "W22": Speculation(3, 0.7).accepted,
        "W23": rate,
        "W24": found.mfu * 100,
        "W25": (found.mbu or 0.0) * 100,
    }


def test_every_worked_number_holds(computed: dict[str, float]) -> None:
    wrong = "; ".join(f"{name} {value:.4g}" for name, value in computed.items())
    assert stated() == pytest.approx(computed, rel=0.006), wrong


def test_every_constant_is_in_the_document() -> None:
    text = DOC.read_text(encoding="utf-8")
    for name, each in document()["numbers"].items():
        row = re.search(rf"^\| `{name}` \| ([\d.e+-]+) ", text, re.MULTILINE)
        assert row is not None, name
        assert float(row[1]) == pytest.approx(each["value"], rel=1e-3), name
    for name, factor in document()["engines"]["value"].items():
        assert f"`{name}` {factor:.3g}" in text, name
