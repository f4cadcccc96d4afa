"""What engines schedule by default, and what a card's power leaves of its peak."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict.inference.build import case_of
from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import load as constants
from mfu.predict.inference.habits import USUAL, habit_of
from mfu.predict.types import Inference, Placement

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


def ceiling(setup: Inference, placement: Placement) -> float:
    case = case_of(setup, placement, constants())
    assert isinstance(case, ServingCase), case
    return float(case.chip.ceiling)


def test_a_card_at_its_power_cap_keeps_less_of_its_peak(serving: Build, on: On) -> None:
    """72 W for 121 TFLOP/s against the L40S's 350 W for 362: (0.595 / 0.967)^⅓ = 0.85."""
    assert ceiling(serving(), on("L4")) == pytest.approx(0.8 * (72 / 121 / (350 / 362)) ** (1 / 3), rel=0.01)
    assert ceiling(serving(), on("L40S")) == 0.8
    assert ceiling(serving(), on("H20")) == 0.8
