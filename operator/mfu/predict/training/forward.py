"""One forward pass without gradients: prefill in plain PyTorch."""

from __future__ import annotations

from mfu.hardware.problem import ProblemReason
from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.compute import compute
from mfu.predict.training.constants import shipped
from mfu.predict.training.step import HOST_NOTE, host_seconds
from mfu.predict.types import Placement, Problem, Training

_FORWARD_LAUNCHES = 1.0 / 3.0
"""Share of a training layer's launches that belong to its forward pass."""


def forward_seconds(setup: Training, placement: Placement) -> tuple[float, str] | Problem:
    """(seconds of the forward pass of one micro-batch, note); the head on the last token only."""
    wrong = refuse(setup, placement)
    if wrong is not None:
        return wrong
    c = shipped()
    case = case_of(setup, placement, c)
    if case is None:
        problem = f"has no known peak on {placement.device.label}"
        return Problem(ProblemReason.UNSUPPORTED_PRECISION, "precision.compute", problem)
    gpu = float(compute(case, c).forward.seconds / case.stack.efficiency)
    host = float(host_seconds(case, c)) * _FORWARD_LAUNCHES
    return max(gpu, host), HOST_NOTE if host > gpu else ""
