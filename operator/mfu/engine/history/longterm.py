"""The hour and the time since the start, from one-minute observations: a minute a bin, sums for the rest.

Telemetry keeps ten minutes; what is older is these bins. They begin anew with the operator: the window since the start
is the start of observation, and its coverage says how much of it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.api.workload_status import Meter
from mfu.observe.assessment import Assessment, Observation, Window

BIN_SECONDS: Final = 60.0
MOST_BINS: Final = 60
BAND: Final = 2.0
# Columns of a bin. Single precision, and times since the first minute: ten thousand workloads keep two hours each.
_AT, _MFU, _COVERAGE, _REFERENCE, _MBU, _TOKENS = range(6)
Bins = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sums:
    """All minutes since the start: count, Σ mfu, Σ mfu² and the first time."""

    since: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class LongTerm:
    """One workload's bins by one meter, oldest first, at most an hour of them."""

    bins: Bins = field(default_factory=lambda: np.empty((0, 6), dtype=np.float32))
    sums: Sums | None = None

    def times(self) -> NDArray[np.float64]:
        """Unix seconds of each bin."""
        since = self.sums.since if self.sums else 0.0
        return since + self.bins[:, _AT].astype(np.float64)

    def reference(self) -> NDArray[np.float64]:
        """Reference MFU of each bin; NaN where unknown."""
        return self.bins[:, _REFERENCE].astype(np.float64)


def take(memory: LongTerm, observation: Observation | None, now: float) -> LongTerm:
    """One more minute, at most once a minute; an unknown minute leaves a hole."""
    if observation is None or observation.mfu is None:
        return memory
    # A second's grace: times in single precision are rounded.
    if len(memory.bins) and now - memory.times()[-1] < BIN_SECONDS - 0.5:
        return memory
    sums, mfu = memory.sums or Sums(now - BIN_SECONDS), observation.mfu
    row = (now - sums.since, mfu, observation.coverage, observation.reference_mfu, observation.mbu)
    fresh = np.array([[*row, observation.tokens_per_s_per_gpu]], dtype=np.float32)
    added = replace(sums, count=sums.count + 1, total=sums.total + mfu, squares=sums.squares + mfu * mfu)
    return LongTerm(np.concatenate((memory.bins, fresh))[-MOST_BINS:], added)


def extended(assessment: Assessment, memories: Mapping[Meter, LongTerm], now: float) -> Assessment:
    """The assessment with the hour and the start filled from the bins, where they reach further back."""
    return replace(
        assessment, observations=tuple(_longer(each, memories.get(each.meter), now) for each in assessment.observations)
    )


def _longer(observation: Observation, memory: LongTerm | None, now: float) -> Observation:
    if memory is None or observation.window not in (Window.HOUR, Window.START) or len(memory.bins) < 2:
        return observation
    times = memory.times()
    # Ten minutes of telemetry beat ten bins of it; past that the bins know more.
    if now - times[0] < Window.TEN_MINUTES.seconds:
        return observation
    if observation.window is Window.HOUR:
        recent = memory.bins[times > now - Window.HOUR.seconds]
        return _over(observation, recent, span=min(Window.HOUR.seconds, now - float(times[0]) + BIN_SECONDS))
    return _since_start(observation, memory, now)


def _over(observation: Observation, bins: Bins, *, span: float) -> Observation:
    if not len(bins):
        return observation
    mfu = bins[:, _MFU].astype(np.float64)
    covered = float(bins[:, _COVERAGE].sum()) * BIN_SECONDS / max(span, BIN_SECONDS)
    level = _Level(float(mfu.mean()), float(mfu.var()), len(bins), min(1.0, covered))
    return _with(observation, level, bins)


def _since_start(observation: Observation, memory: LongTerm, now: float) -> Observation:
    sums = memory.sums
    if sums is None or not sums.count:
        return observation
    mfu = sums.total / sums.count
    variance = max(0.0, sums.squares / sums.count - mfu * mfu)
    covered = sums.count * BIN_SECONDS / max(now - sums.since, BIN_SECONDS)
    return _with(observation, _Level(mfu, variance, sums.count, min(1.0, covered)), memory.bins)


@dataclass(frozen=True, slots=True)
class _Level:
    """Mean and variance of so many minutes."""

    mfu: float
    variance: float
    count: int
    coverage: float


def _with(observation: Observation, level: _Level, bins: Bins) -> Observation:
    """Band: the meter's own doubt about the present level, and the scatter of the minutes' mean."""
    doubt = sqrt((_own_doubt(observation) * level.mfu) ** 2 + BAND**2 * level.variance / level.count)
    return replace(
        observation,
        mfu=level.mfu,
        reference_mfu=None if observation.reference_mfu is None else _reference(level.mfu, bins),
        mbu=_mean(bins[:, _MBU]),
        tokens_per_s_per_gpu=_mean(bins[:, _TOKENS]),
        low=max(0.0, level.mfu - doubt),
        high=level.mfu + doubt,
        coverage=level.coverage,
    )


def _reference(mfu: float, bins: Bins) -> float | None:
    """The ratio of both peaks is read off the minutes: the present figure may be zero. None where all of them are."""
    known = bins[~np.isnan(bins[:, _REFERENCE])]
    total = float(known[:, _MFU].sum())
    if total > 0:
        return mfu * float(known[:, _REFERENCE].sum()) / total
    return None if mfu > 0 else 0.0


def _own_doubt(observation: Observation) -> float:
    """Relative half width of the band that the meter gave itself."""
    if observation.mfu is None or observation.low is None or observation.high is None or observation.mfu <= 0:
        return 0.0
    return (observation.high - observation.low) / 2 / observation.mfu


def _mean(values: NDArray[np.float32]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else None
