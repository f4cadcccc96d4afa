"""What a planner fears beside the expected time: pipelines across nodes that now and then stall in their exchanges.

A prediction gives the usual time. A ranking minimises the expected logarithm of time, so that a layout which loses a
lot one time in ten has to be that much better the other nine times.
"""

from __future__ import annotations

import numpy as np

from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.communication import flat_stalled_share
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.step import TrainingStep, micro_batches


def ranking_seconds(case: TrainingCase, found: TrainingStep, c: TrainingConstants) -> Array:
    """Usual step time, longer by the risk: p · ln(1 + stalled / usual) with p the share of jobs that stall.

    layout_sweep.csv, 2 to 16 nodes: 12 % of pipelined jobs lose 0.5 to 1.2 s a micro-batch, 4 % of the others; on 64
    nodes also half of the others, and more of those that reduce whole gradients (ZeRO-0). A step of 8.4 s in 32
    micro-batches: 8.4 · (1 + 32 · 1.1 / 8.4) ** 0.08 = 9.6 s.
    """
    layout = case.layout
    across = case.machine.gpus > case.machine.node
    whole = np.where(layout.zero == 0.0, c["stall_whole_gradients"], 1.0)
    piped = case.stack.blocking_pipeline * np.where(across, c["stall_probability"], 0.0)
    share = np.where(layout.pipeline > 1.0, piped, flat_stalled_share(case, c) * whole)
    stalled = micro_batches(case) * c["stall_seconds"]
    feared: Array = found.seconds * (1.0 + stalled / found.seconds) ** share
    return feared
