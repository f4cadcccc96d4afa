"""Experts that a program runs one after the other: transformers before 5 by default, later where `eager` is chosen.

For each expert that got a token the host asks which (`torch.where`, which waits for the GPU), gathers the tokens,
multiplies, and scatters the result; later releases sort the tokens and take one grouped product
(transformers `integrations/moe.py`, `experts_implementation`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.hardware.types import Precision
from mfu.predict.releases import release
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.compute import tokens
from mfu.predict.training.engines import engine
from mfu.predict.types import Sharding, Training

LOOP_OPERATIONS: Final = 78.0
"""Kernels for one expert by count. Forward 16: index of the expert and its test 2, `where` 5, gathered tokens and
weights 3, two products, activation, two multiplications, sum. Backward 62: 40 in two scatters that sort their rows
(`index_put_` with accumulation), 10 of products and their stacked gradients, 12 of the rest.

An H200 took 1.59 ms for each of 64 experts beyond the grouped run, on a host that needs 2.2 times as long for an
operation as the one counted on: 84 (e2e/recordings/h200_layouts.jsonl, qwen-moe-eager)."""
_GROUPS_SINCE: Final = (5, 0)
"""First release of transformers that multiplies all experts at once by default."""


def loops_over_experts(setup: Training) -> bool:
    """As declared, else the default of the engine's release, of today's where none is named."""
    if setup.architecture.moe is None:
        return False
    if setup.looped_experts is not None:
        return setup.looped_experts
    named = release(setup.engine_version)
    return has_both_ways(setup) and named is not None and named < _GROUPS_SINCE


def wide_experts(setup: Training) -> bool:
    """Whether experts multiply in FP32 beside 16 bit: autocast knows no grouped product, and passes FP32 weights on.

    Products of Qwen3 experts took 0.29 s of a step on an H200 so, 0.035 in 16 bit (e2e/recordings/h200_layouts.jsonl,
    qwen-moe-grouped-amp). FSDP casts what it gathers, a loop over experts has products that autocast knows.
    """
    kept = setup.sharding not in (Sharding.ZERO3, Sharding.HSDP)
    wider = setup.precisions.weights is Precision.FP32 and setup.precisions.compute is not Precision.FP32
    return has_both_ways(setup) and wider and kept and not loops_over_experts(setup)


def has_both_ways(setup: Training) -> bool:
    """Whether the engine's release decides it."""
    return setup.architecture.moe is not None and engine(setup.engine).name == "Transformers"


def hit_experts(case: TrainingCase) -> Array:
    """Experts of one GPU that get a token in a micro-batch: `64 · (1 - (1 - 8/64)^8192) == 64`."""
    model = case.model
    missed = 1.0 - np.minimum(model.top_k / np.maximum(model.experts, 1.0), 1.0)
    hit: Array = model.experts / case.layout.expert * (1.0 - missed ** tokens(case))
    return hit
