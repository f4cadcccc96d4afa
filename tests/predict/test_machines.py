"""What one GPU reaches: kernels written for others, formats that share units, and cards whose power is ample."""

from __future__ import annotations

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.training.constants import shipped
from mfu.predict.training.machine import ceiling, machine_of, sustained_clock
from mfu.predict.types import Placement, Precisions


def on(name: str) -> Placement:
    gpu = load().by_api_name(name)
    assert isinstance(gpu, GPU)
    return Placement(Device(gpu), 8)


def test_flash_attention_2_asked_for_by_name_is_no_faster_on_blackwell() -> None:
    """It runs Ampere's matrix instructions: 374 TFLOP/s on a GB200, 15 % of its peak; cuDNN has 40 %."""
    c = shipped()
    gb200, h100 = (machine_of(on(name), Precisions(), c) for name in ("GB200", "H100-SXM5"))
    assert gb200 is not None
    assert h100 is not None
    assert float(gb200.flash2_named * gb200.peak16) == pytest.approx(374e12)
    assert float(gb200.flash2) > 2.0 * float(gb200.flash2_named)
    assert float(h100.flash2_named) == float(h100.flash2)


def test_a_card_with_ample_power_keeps_its_clock() -> None:
    """A 4090 has 2.8 times an L40S's watts for each FLOP/s, and trains at 0.7 of its peak (IST-DASLab/llmq)."""
    c = shipped()
    assert sustained_clock(on("RTX-4090").device, c) == 1.0
    assert ceiling(on("RTX-4090").device, Precision.BF16, c) > ceiling(on("L40S").device, Precision.BF16, c)
