"""One long gap a step, or many short ones? The spread of NVML's utilisation, with its own window, tells them apart."""

from __future__ import annotations

from enum import StrEnum
from math import sqrt

import numpy as np

from mfu.observe.diagnosis.shape import step_time
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.evidence import mean_or_nan
from mfu.observe.readings import Metric

NVML_WINDOW_SECONDS = 1 / 6
"""Shortest sample period of nvmlDeviceGetUtilizationRates (NVML API reference: 1/6 to 1 s by product)."""
CERTAIN_SPREAD = 0.22
"""Spread that only gaps longer than the window give."""
STEADY_SPREAD = 0.06
"""Spread of a GPU whose gaps are much shorter than the window: 0.03 to 0.04 in the launch-bound recordings."""
TELLING_SPREAD = 0.12
"""Spread that one gap a step must give for its absence to prove that gaps are shorter."""


class Gaps(StrEnum):
    """How a GPU's idle time is cut."""

    LONG = "Long"
    """About once a step: a batch, a checkpoint or a rank is late."""
    SHORT = "Short"
    """Between kernels: launches are late."""
    UNCLEAR = "Unclear"


def gap_kind(situation: Situation) -> Gaps:
    """By the spread of GPU utilisation; a steady one proves short gaps only where a long one would show."""
    spread = mean_or_nan(situation.evidence.sd[:, Metric.GPU_UTIL])
    if not np.isfinite(spread):
        return Gaps.UNCLEAR
    if spread > CERTAIN_SPREAD:
        return Gaps.LONG
    if spread > STEADY_SPREAD:
        return Gaps.UNCLEAR
    single = single_gap_spread(situation)
    return Gaps.SHORT if single is not None and single >= TELLING_SPREAD else Gaps.UNCLEAR


def single_gap_spread(situation: Situation) -> float | None:
    """Spread of utilisation if each micro-step had one gap; None without a declared step."""
    training, idle, step = situation.training, situation.evidence.idle, situation.step_seconds
    time = step_time(situation)
    if time is None or training is None or not 0 < idle < 1:
        return None
    micro_steps = max(1.0, training.global_batch_size / training.parallelism.data / training.micro_batch_size)
    period = (step if step is not None else time.gpu / (1 - idle)) / micro_steps
    return gap_spread(gap=idle * period, period=period, window=NVML_WINDOW_SECONDS)


def gap_spread(*, gap: float, period: float, window: float) -> float:
    """Standard deviation of the busy share seen in a window at a random moment, one gap a period.

    The overlap of gap g and window w is a trapezium over the period p (w < p): with s = min(g, w), l = max(g, w),
    E[overlap²] = (s²·(l - s) + 2·s³/3) / p and E[overlap] = g·w/p. Gap and work between gaps have the same spread: the
    shorter one is taken, since neither may reach around the period. g = 0.27, p = 0.54, w = 1/6: 0.38 (0.40 recorded).
    """
    if window >= period:
        return 0.0
    part = min(gap, period - gap)
    short, long = min(part, window), max(part, window)
    square = (short**2 * (long - short) + 2 * short**3 / 3) / period
    variance = square / window**2 - (part / period) ** 2
    return sqrt(max(0.0, variance))
