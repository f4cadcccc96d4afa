"""Layouts that compute in FP32 whatever format is asked for, because nothing casts there.

torchtitan casts by FSDP (`fully_shard`'s policy), which context parallelism switches on too, and by autocast where the
model is not cut; tensor and pipeline parallelism by themselves log that mixed precision is disabled and go on in FP32
(pytorch/torchtitan torchtitan/distributed/utils.py, `maybe_enable_amp`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.predict.training.arrays import Array, TrainingCase

UNCAST_NOTE: Final = (
    "This engine casts to 16 bit under FSDP and context parallelism only: tensor or pipeline parallelism by itself "
    "computes in FP32."
)
_FP32: Final = 4.0


def is_uncast(case: TrainingCase) -> NDArray[np.bool_]:
    """Whether a layout computes in FP32 though it was declared narrower."""
    layout = case.layout
    cut = (layout.tensor > 1.0) | (layout.pipeline > 1.0)
    sharded = layout.zero >= 2.0
    found: NDArray[np.bool_] = (
        (case.stack.casts_by_fsdp > 0.5)
        & cut
        & ~sharded
        & (layout.context == 1.0)
        & (case.machine.activation_bytes < _FP32)
    )
    return found


def as_computed(case: TrainingCase) -> TrainingCase:
    """The case at the rates and widths of the format that it computes in; MFU stays a share of the declared peak.

    A100: products reach 312 · 0.87 TFLOP/s in BF16 and 19.5 · 0.77 in FP32. Two of them ran 1.4B under tensor
    parallelism alone at 0.050 of the BF16 peak, 80 % of FP32's, and at 0.35 with FSDP beside it
    (adiv413/distributed-pretraining-llm@2ae700e).
    """
    wide = is_uncast(case)
    if not np.any(wide):
        return case
    machine = case.machine
    slower = machine.peak_vector / machine.peak16

    def where(then: Array | float, usual: Array) -> Array:
        return np.where(wide, then, usual)

    return replace(
        case,
        machine=replace(
            machine,
            ceiling=where(machine.peak_wide / machine.peak, machine.ceiling),
            ceiling16=where(machine.peak_wide / machine.peak16, machine.ceiling16),
            attention=where(machine.attention * slower, machine.attention),
            flash2=where(machine.flash2 * slower, machine.flash2),
            flash2_named=where(machine.flash2_named * slower, machine.flash2_named),
            low_precision=where(0.0, machine.low_precision),
            value_bytes=where(_FP32, machine.value_bytes),
            activation_bytes=where(_FP32, machine.activation_bytes),
        ),
    )
