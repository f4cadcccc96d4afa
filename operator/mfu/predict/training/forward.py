"""One forward pass without gradients: prefill in plain PyTorch."""

from __future__ import annotations

from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.compute import compute
from mfu.predict.training.constants import shipped
from mfu.predict.training.step import HOST_NOTE, host_seconds
from mfu.predict.types import Placement, Refusal, Training

_FORWARD_LAUNCHES = 1.0 / 3.0
"""Share of a training layer's launches that belong to its forward pass."""


def forward_seconds(setup: Training, placement: Placement) -> tuple[float, str] | Refusal:
    """(seconds of the forward pass of one micro-batch, note); the head on the last token only."""
    wrong = refuse(setup, placement)
    if wrong is not None:
        return wrong
    c = shipped()
    case = case_of(setup, placement, c)
    if case is None:
        return Refusal("precision.compute", f"{placement.device.label} has no known peak")
    gpu = float(compute(case, c).forward.seconds / case.stack.efficiency)
    host = float(host_seconds(case, c)) * _FORWARD_LAUNCHES
    return max(gpu, host), HOST_NOTE if host > gpu else ""
