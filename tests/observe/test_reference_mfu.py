"""Reference MFU is over the dense 16-bit peak, whatever precision was declared."""

from __future__ import annotations

import pytest

from mfu.hardware.types import Device, Precision
from mfu.observe.windows import MeteredRun, _reference
from tests.builders.cases import gpu


@pytest.mark.parametrize(
    ("precision", "mfu", "reference"),
    [(Precision.FP32, 0.71, 0.048), (Precision.BF16, 0.4, 0.4), (Precision.FP8, 0.4, 0.8)],
)
def test_the_same_flops_over_the_16_bit_peak(precision: Precision, mfu: float, reference: float) -> None:
    assert _reference(mfu, MeteredRun(Device(gpu()), 8, precision=precision)) == pytest.approx(reference, rel=0.01)
