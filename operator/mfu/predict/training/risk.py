"""What a planner fears beside the expected time: pipelines across nodes that now and then stall in their exchanges.

A prediction gives the usual time, and its band reaches to where stalls would bring it. A ranking minimises the expected
logarithm of time, so that a layout which loses a lot one time in ten has to be that much better the other nine times.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np

from mfu.predict.spread import NORMAL_80
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.communication import flat_stalled_share, stall_seconds, stalled_share
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.step import TrainingStep, micro_batches


def ranking_seconds(case: TrainingCase, found: TrainingStep, c: TrainingConstants) -> Array:
    """Usual time without stalls, longer by the risk: usual · (1 + lost / usual) ** p, p the share of jobs that stall.

    A step of 8.4 s in 32 micro-batches over four stages of two nodes: 8.4 · (1 + 32 · 1.1 / 8.4) ** 0.05 = 9.1 s.
    """
    lost = micro_batches(case) * stall_seconds(case, c)
    usual = np.maximum(found.seconds - stalled_share(case, c) * lost / case.stack.efficiency, lost * 1e-3 + 1e-9)
    feared: Array = usual * (1.0 + lost / usual) ** _stalling(case, c)
    return feared


STALL_NOTE: Final = "Exchanges of this engine stall in more than one such job of ten: the band reaches down to there."


def low_tail(case: TrainingCase, found: TrainingStep, c: TrainingConstants, sd: float) -> float:
    """What the low end of a job's 80 % band has to be multiplied by, because its exchanges may stall.

    One run in ten is to lie below the band. Of jobs of which a share p stalls, where p is more than that, it is the
    slowest 0.1 / p of those that stall. 0.35 of 32 nodes stall, to a third of the usual speed; 0.1 / 0.35 = 0.29 of a
    normal distribution lie below -0.57 deviations: with 0.1 each, 1/3 · exp((1.28 - 0.57) · 0.1) = 0.36.
    """
    share = float(_stalling(case, c))
    if share <= _BELOW:
        return 1.0
    lost = float(micro_batches(case) * stall_seconds(case, c) * (1.0 - stalled_share(case, c)))
    seconds = float(found.seconds)
    deviations = NormalDist().inv_cdf(_BELOW / share)
    return min(seconds / (seconds + lost) * math.exp((NORMAL_80 + deviations) * sd), 1.0)


_BELOW: Final = 0.1
"""Of a band of 80 %."""


def _stalling(case: TrainingCase, c: TrainingConstants) -> Array:
    """Share of jobs that stall.

    layout_sweep.csv: of pipelined jobs that shard their states 5 % on 2 to 8 nodes, 13 % on 16, 48 % on 32, 9 of 10 on
    64; more of those that reduce whole gradients while stages exchange. Of jobs without a pipeline 4 %, half on 64.
    """
    layout, nodes = case.layout, case.machine.gpus / case.machine.node
    across = nodes > 1.0
    whole = (layout.zero == 0.0) & (layout.data > 1.0)
    grown = np.minimum(nodes / c["stall_nodes"], 1.0) ** c["stall_growth"]
    least = np.where(whole, c["stall_whole_pipeline"], c["stall_probability"])
    piped = case.stack.blocking_pipeline * np.where(across, np.maximum(grown, least), 0.0)
    flat = flat_stalled_share(case, c) * np.where(layout.zero == 0.0, c["stall_whole_gradients"], 1.0)
    return np.where(layout.pipeline > 1.0, piped, flat)
