"""In how much of its GPU-time does a workload make progress? GPU by GPU, reading by reading, from counters."""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.observe.readings import Metric, WorkloadSeries

LEAST_PIPE: Final = 0.005
"""Share of a reading in which a pipe that computes was busy: below it nothing is worked out."""
LEAST_MEMORY: Final = 0.02
"""The same of memory: one request at a time moves all weights and hardly computes. Spinning on a collective moves none.
"""
LEAST_READ: Final = 0.5
"""Of all readings in the window: with fewer nobody can tell."""
_PIPES: Final = (Metric.TENSOR_ACTIVE, Metric.FP32_ACTIVE, Metric.FP16_ACTIVE)


def progressing(series: WorkloadSeries, *, since: float, now: float) -> float | None:
    """Share of readings in [since, now] in which the GPU worked something out; None where too few tell.

    Eight GPUs over ten readings, of which two GPUs stand still in all and the others in one of them:
    6 · 9 / 80 = 0.675. Pauses shorter than a reading do not show: they lower what is done while it moves.
    """
    inside = series.values[(series.times >= since) & (series.times <= now)]
    if not inside.size:
        return None
    read = np.isfinite(inside[..., Metric.TENSOR_ACTIVE])
    if read.mean() < LEAST_READ:
        return None
    pipes = np.nan_to_num(inside[..., list(_PIPES)]).max(axis=-1)
    works = (pipes >= LEAST_PIPE) | (np.nan_to_num(inside[..., Metric.DRAM_ACTIVE]) >= LEAST_MEMORY)
    return float(works[read].mean())
