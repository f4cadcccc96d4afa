"""Progress against counters: their ratio tests the declared intent. Beyond the bands nothing should act on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import hypot

from mfu.hardware.types import Precision
from mfu.observe.assessment import Observation
from mfu.observe.executed import Executed, executed
from mfu.predict.types import Inference, Phase, Recompute, Setup, Training

TOLERANCE = 0.12
"""Relative disagreement that is allowed besides the bands; a recomputed model shows 0.16 or more."""
ABSOLUTE = 0.02
"""Points of MFU that are allowed anyway."""
CLOSE = 0.12
MOST_MFU = 1.0
MINIMUM_MFU = 0.005
UNEXPLAINED = "FLOPs per token: the model dimensions, or the unit of progress"


@dataclass(frozen=True, slots=True)
class MeterAgreement:
    """`consistent` is None where there is nothing to compare. `ratio` is progress over counters."""

    consistent: bool | None
    ratio: float | None = None
    message: str = ""


def cross_check(
    progress: Observation | None,
    counters: Observation | None,
    setup: Setup | None,
    *,
    intent: Executed | None,
    gpus: int,
) -> MeterAgreement:
    """Compare both meters over one window and name what would explain a disagreement.

    Progress 0.30 beside counters 0.60 on a declared FP8 job: ratio 0.5, "runs in 16 bit though FP8 is declared".
    """
    if progress is None or counters is None or not progress.mfu or not counters.mfu or _decodes(setup):
        return MeterAgreement(None)
    if max(progress.mfu, counters.mfu) < MINIMUM_MFU:
        return MeterAgreement(None)
    ratio = progress.mfu / counters.mfu
    if abs(progress.mfu - counters.mfu) <= ABSOLUTE or abs(ratio - 1) <= max(
        TOLERANCE, hypot(_relative_band(progress), _relative_band(counters))
    ):
        return MeterAgreement(True, ratio)
    reason = ", or ".join(_reasons(ratio, setup, intent, gpus)) or UNEXPLAINED
    return MeterAgreement(False, ratio, f"progress is {ratio:.2f} × what the counters saw: check {reason}")


def impossible(progress: Observation | None) -> bool:
    """More model FLOPs than the GPUs could do: whatever is reported, it is not that."""
    return progress is not None and progress.mfu is not None and not progress.mfu <= MOST_MFU


def disbelieved(progress: Observation) -> Observation:
    """Unknown instead of a number that cannot be."""
    note = "reported progress is more than the GPUs can do at most"
    return replace(
        progress,
        mfu=None,
        reference_mfu=None,
        mbu=None,
        low=None,
        high=None,
        tokens_per_s_per_gpu=None,
        confidence=0.0,
        note=note,
    )


def _reasons(ratio: float, setup: Setup | None, intent: Executed | None, gpus: int) -> Iterator[str]:
    """Explanations that predict this very ratio, likeliest first."""
    if isinstance(setup, Training) and intent is not None and twice(ratio, setup, intent):
        yield f"recompute: layers seem to run twice though recompute {setup.recompute} is declared"
    if isinstance(setup, Training) and setup.recompute is Recompute.FULL and _near(ratio / executed(setup).recompute):
        yield "recompute: Full is declared, yet layers seem to run once"
    declared = None if setup is None else setup.precisions.compute
    if declared is Precision.FP8 and _near(2 * ratio):
        yield "precision: it runs in 16 bit though FP8 is declared"
    if declared in (Precision.BF16, Precision.FP16) and _near(ratio / 2):
        yield "precision: it runs in FP8 though 16 bit is declared"
    if gpus > 1 and _near(ratio * gpus):
        yield "progress scope: one rank's work seems to be counted as the total"
    if gpus > 1 and _near(ratio / gpus):
        yield "progress scope: the total seems to be counted once per rank"
    if isinstance(setup, Training) and _near(ratio * setup.sequence_length):
        yield "progress unit: sequences seem to be reported as tokens"


def twice(ratio: float, setup: Training, intent: Executed) -> bool:
    """The ratio is what full recomputation would give, and clearly not what was declared."""
    if setup.recompute is Recompute.FULL or ratio > 1 - TOLERANCE:
        return False
    return _near(ratio * executed(setup, recompute=Recompute.FULL).recompute / intent.recompute)


def _near(value: float) -> bool:
    return abs(value - 1) <= CLOSE


def _relative_band(observation: Observation) -> float:
    if observation.mfu is None or observation.low is None or observation.high is None or observation.mfu <= 0:
        return 0.0
    return (observation.high - observation.low) / (2 * observation.mfu)


def _decodes(setup: Setup | None) -> bool:
    """Tensor activity of decode is mostly padding: it proves nothing about the intent."""
    return isinstance(setup, Inference) and setup.phase is not Phase.PREFILL
