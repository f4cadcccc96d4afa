"""What one GPU reaches: kernels written for others, formats that share units, and cards whose power is ample."""

from __future__ import annotations

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.training.constants import shipped
from mfu.predict.training.machine import (
    attention_units,
    ceiling,
    halves_accumulation,
    is_linked,
    machine_of,
    matrix_units,
    relative_power,
    sustained_clock,
)
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


@pytest.mark.parametrize(
    ("name", "units", "attention", "halved"),
    [
        ("RTX-5090", "blackwell-rtx", "geforce", True),
        ("RTX-PRO-6000", "blackwell-rtx", "rtx", False),
        ("RTX-A6000", "ampere-rtx", "rtx", False),
        ("L40S", "ada-lovelace", "rtx", False),
        ("B200", "blackwell", "blackwell", False),
        ("A100-SXM4-80GB", "ampere", "ampere", False),
        ("H20", "hopper", "hopper", False),
    ],
)
def test_dies_of_one_architecture_that_share_little_but_the_name(
    name: str, units: str, attention: str, halved: bool
) -> None:
    gpu = on(name).device.gpu
    assert (matrix_units(gpu), attention_units(gpu), halves_accumulation(gpu)) == (units, attention, halved)


def test_attention_reaches_more_of_narrow_matrix_units() -> None:
    """FlashAttention-2 runs 82 of the 111 TFLOP/s of an RTX A5000 with heads of 64, 180 of an A100's 312."""
    c = shipped()
    narrow, wide = (machine_of(on(name), Precisions(), c) for name in ("RTX-A5000", "A100-SXM4-80GB"))
    assert narrow is not None
    assert wide is not None
    assert float(narrow.flash2) / (1.0 + c["half_head"] / 64.0) == pytest.approx(82.0 / 111.1, rel=0.1)
    assert float(wide.flash2) < float(narrow.flash2)


def test_matrix_units_that_are_half_used_reach_their_peak() -> None:
    """A 3090 was measured at 75.6 TFLOP/s, 71.2 by its rated clock."""
    c = shipped()
    assert ceiling(on("RTX-3090").device, Precision.BF16, c) == 1.0
    assert ceiling(on("RTX-A6000").device, Precision.BF16, c) < 1.0


def test_superchips_of_one_node_are_joined_by_nvlink() -> None:
    """Four GH200 a node are one board (Alps); one a node has nobody to talk to but the network."""
    device = on("GH200-96GB").device
    assert is_linked(Placement(device, 8, 4))
    assert not is_linked(Placement(device, 8, 1))
    assert not is_linked(Placement(device, 8, 4, nvlink=False))
    assert is_linked(on("H100-SXM5"))
    assert not is_linked(on("RTX-4090"))


def test_a_board_of_more_watts_keeps_more_of_its_clock() -> None:
    """MI325X and MI300X have the same matrix units, at 1,000 and 750 W."""
    c = shipped()
    assert sustained_clock(on("MI325X").device, c) > sustained_clock(on("MI300X").device, c)


def test_grace_takes_its_share_of_the_watts_of_a_superchip() -> None:
    """650 of 900 W are left to the H100 of a GH200: less than an H100 of 700 W has; a GB200's 1,200 W are its own."""
    c = shipped()
    assert sustained_clock(on("GH200-96GB").device, c) < sustained_clock(on("H100-SXM5").device, c)
    assert relative_power(on("GH200-96GB").device) == pytest.approx(650.0 / 700.0)
    assert relative_power(on("GB200").device) == 1.0


def test_fp16_reaches_what_bf16_reaches_through_the_same_units() -> None:
    c = shipped()
    a100, v100 = on("A100-SXM4-80GB").device, on("V100-SXM2-32GB").device
    assert ceiling(a100, Precision.FP16, c) == ceiling(a100, Precision.BF16, c) == pytest.approx(0.869, rel=1e-3)
    assert ceiling(v100, Precision.FP16, c) == c.of("ceiling", "FP16")
