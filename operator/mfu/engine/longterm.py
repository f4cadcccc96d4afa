"""The hour and the time since the start, from one-minute observations: a minute a bin, sums for the rest.

Telemetry keeps ten minutes; what is older is these bins. They begin anew with the operator: the window since the start
is the start of observation, and its coverage says how much of it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from mfu.api.workload_status import Meter
from mfu.observe.assessment import Assessment, Observation, Window

BIN_SECONDS = 60.0
MOST_BINS = 60
BAND = 2.0


@dataclass(frozen=True, slots=True)
class Bin:
    """One minute by one meter."""

    at: float
    mfu: float
    coverage: float
    reference_mfu: float | None
    mbu: float | None
    tokens_per_s_per_gpu: float | None


@dataclass(frozen=True, slots=True)
class Sums:
    """All minutes since the start: count, Σ mfu, Σ mfu² and the first time."""

    since: float
    count: int = 0
    total: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True)
class LongTerm:
    """One workload's bins by one meter, oldest first, at most an hour of them."""

    bins: tuple[Bin, ...] = ()
    sums: Sums | None = None


def take(memory: LongTerm, observation: Observation | None, now: float) -> LongTerm:
    """One more minute, at most once a minute; an unknown minute leaves a hole."""
    if observation is None or observation.mfu is None:
        return memory
    if memory.bins and now - memory.bins[-1].at < BIN_SECONDS:
        return memory
    fresh = Bin(
        now,
        observation.mfu,
        observation.coverage,
        observation.reference_mfu,
        observation.mbu,
        observation.tokens_per_s_per_gpu,
    )
    sums = memory.sums or Sums(now - BIN_SECONDS)
    added = replace(
        sums, count=sums.count + 1, total=sums.total + fresh.mfu, squares=sums.squares + fresh.mfu * fresh.mfu
    )
    return LongTerm((*memory.bins, fresh)[-MOST_BINS:], added)


def extended(assessment: Assessment, memories: dict[Meter, LongTerm], now: float) -> Assessment:
    """The assessment with the hour and the start filled from the bins, where they reach further back."""
    return replace(
        assessment, observations=tuple(_longer(each, memories.get(each.meter), now) for each in assessment.observations)
    )


def _longer(observation: Observation, memory: LongTerm | None, now: float) -> Observation:
    if memory is None or observation.window not in (Window.HOUR, Window.START) or len(memory.bins) < 2:
        return observation
    # Ten minutes of telemetry beat ten bins of it; past that the bins know more.
    if now - memory.bins[0].at < Window.TEN_MINUTES.seconds:
        return observation
    recent = [each for each in memory.bins if each.at > now - Window.HOUR.seconds]
    if observation.window is Window.HOUR:
        return _over(observation, recent, span=min(Window.HOUR.seconds, now - memory.bins[0].at + BIN_SECONDS))
    return _since_start(observation, memory, now)


def _over(observation: Observation, bins: list[Bin], *, span: float) -> Observation:
    if not bins:
        return observation
    mfu = sum(each.mfu for each in bins) / len(bins)
    variance = sum((each.mfu - mfu) ** 2 for each in bins) / len(bins)
    covered = sum(each.coverage for each in bins) * BIN_SECONDS / max(span, BIN_SECONDS)
    return _with(observation, mfu, variance, len(bins), min(1.0, covered), bins)


def _since_start(observation: Observation, memory: LongTerm, now: float) -> Observation:
    sums = memory.sums
    if sums is None or not sums.count:
        return observation
    mfu = sums.total / sums.count
    variance = max(0.0, sums.squares / sums.count - mfu * mfu)
    covered = sums.count * BIN_SECONDS / max(now - sums.since, BIN_SECONDS)
    return _with(observation, mfu, variance, sums.count, min(1.0, covered), list(memory.bins))


def _with(
    observation: Observation, mfu: float, variance: float, count: int, coverage: float, bins: list[Bin]
) -> Observation:
    """Band: the meter's own doubt about the present level, and the scatter of the minutes' mean."""
    own = _own_doubt(observation)
    doubt = sqrt((own * mfu) ** 2 + BAND**2 * variance / count)
    scale = mfu / observation.mfu if observation.mfu else 1.0
    reference = None if observation.reference_mfu is None else observation.reference_mfu * scale
    return replace(
        observation,
        mfu=mfu,
        reference_mfu=reference,
        mbu=_mean([each.mbu for each in bins]),
        tokens_per_s_per_gpu=_mean([each.tokens_per_s_per_gpu for each in bins]),
        low=max(0.0, mfu - doubt),
        high=mfu + doubt,
        coverage=coverage,
    )


def _own_doubt(observation: Observation) -> float:
    """Relative half width of the band that the meter gave itself."""
    if observation.mfu is None or observation.low is None or observation.high is None or observation.mfu <= 0:
        return 0.0
    return (observation.high - observation.low) / 2 / observation.mfu


def _mean(values: list[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None
