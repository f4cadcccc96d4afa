"""Bytes of stored values: blocks with their scales, heads that engines narrow or leave wide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.hardware.types import Precision
from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import load
from mfu.predict.inference.formats import format_of
from mfu.predict.inference.kernels import ServingStep, step_time
from mfu.predict.types import Inference, Placement, Precisions

Build = Callable[..., Inference]
On = Callable[..., Placement]


@pytest.mark.parametrize(
    ("engine", "weights", "linear", "head"),
    [
        ("vLLM", Precision.BF16, 2.0, 2.0),
        ("vLLM", Precision.FP8, 1.0, 2.0),
        ("vLLM", Precision.INT4, 0.5195, 2.0),
        ("llama.cpp", Precision.INT4, 0.606, 0.820),
        ("Ollama", Precision.INT4, 0.606, 0.820),
        ("llama.cpp", Precision.INT8, 1.0625, 1.0625),
        ("MLC-LLM", Precision.INT4, 0.5625, 0.5625),
        ("ExLlamaV2", Precision.INT4, 0.519, 0.75),
        ("gpt-fast", Precision.INT4, 0.625, 0.625),
        ("llama.cpp", Precision.BF16, 2.0, 2.0),
    ],
)
def test_bytes_of_a_weight_and_of_the_head(
    serving: Build, on: On, engine: str, weights: Precision, linear: float, head: float
) -> None:
    setup = replace(serving(engine=engine), precisions=Precisions(Precision.BF16, weights, Precision.BF16))
    found = format_of(setup, on())
    assert (found.linear, found.head) == pytest.approx((linear, head), abs=1e-3)


def test_a_narrow_head_makes_a_small_model_of_many_words_faster(serving: Build, on: On) -> None:
    """Llama-3.1-8B: 0.53 billion values of its head are 1.05 GB in 16 bit, 0.43 GB in six and a half."""
    narrow = Precisions(Precision.BF16, Precision.INT4, Precision.BF16)
    cases = [case_of(replace(serving(engine=each), precisions=narrow), on(), load()) for each in ("AWQ", "llama.cpp")]
    wide, own = (step_time(case, ServingStep(1.0, 1.0), load()) for case in cases if isinstance(case, ServingCase))
    layers = 6.98e9
    assert wide.weight_bytes - layers * 0.5195 == pytest.approx(1.05e9, rel=0.02)
    assert own.weight_bytes - layers * 0.606 == pytest.approx(0.43e9, rel=0.02)
