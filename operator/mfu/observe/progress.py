"""The progress meter: work that the workload itself reports, as rates. Restarts are survived, gaps are not guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mfu.observe.readings import Counter, Gauge, ProgressReading

STILL_READINGS = 4
"""Readings without any move after which a counter is taken to stand still."""
STANDS_STILL = 2.5
"""Usual times between two moves after which a counter is taken to stand still."""
MINIMUM_SPAN_SECONDS = 1.0
"""Two readings closer than this give no rate worth publishing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Work per second of a whole workload. `span_seconds` is what the rate rests on."""

    per_second: float
    span_seconds: float
    relative_sd: float
    source: str
    observed_at: float
    pods: int = 1
    """Pods that were added up."""
    standing: bool = False
    """No move for several of its usual steps: a hung job, or a page that is frozen."""


def rate(readings: Sequence[ProgressReading], counter: Counter, *, since: float, now: float) -> Rate | None:
    """Increase of one counter per second over [since, now]: pods added up, or one of them where each reports the total.

    A counter that fell is a restart: the interval of the fall is left out. None under two readings.
    `[(0 s, 100), (10 s, 600), (20 s, 50), (30 s, 550)]` → (500 + 500) in 20 s = 50 per second.
    """
    pods = _by_pod(readings, counter, since, now)
    totals = [each for each in pods if each.scope_total]
    chosen = [max(totals, key=lambda each: each.span)] if totals else pods
    known = [each for each in chosen if each.span >= MINIMUM_SPAN_SECONDS]
    if not known:
        return None
    span = min(each.span for each in known)
    return Rate(
        per_second=sum(each.increase / each.span for each in known),
        span_seconds=span,
        relative_sd=max(each.relative_sd for each in known),
        source=known[0].source,
        observed_at=max(each.last for each in known),
        pods=len(known),
        standing=all(each.standing for each in known),
    )


def gauge(readings: Iterable[ProgressReading], name: Gauge, *, since: float, now: float) -> tuple[float, ...]:
    """Every value of a gauge in the window, oldest first."""
    inside = (each for each in readings if since <= each.observed_at <= now and name in each.gauges)
    return tuple(each.gauges[name] for each in inside)


@dataclass(frozen=True, slots=True)
class _Pod:
    increase: float
    span: float
    last: float
    relative_sd: float
    source: str
    scope_total: bool
    standing: bool


def _by_pod(readings: Sequence[ProgressReading], counter: Counter, since: float, now: float) -> list[_Pod]:
    points: dict[tuple[str, str], list[ProgressReading]] = defaultdict(list)
    for reading in readings:
        if since <= reading.observed_at <= now and counter in reading.counters:
            points[reading.namespace, reading.pod].append(reading)
    return [_pod(each, counter) for each in points.values() if len(each) > 1]


def _pod(readings: list[ProgressReading], counter: Counter) -> _Pod:
    """Rate between the first and the last move, so that a counter that moves once a step is not read short.

    A counter that has stood still for longer than its steps take is standing still: the span then runs to the end.
    """
    lives = [_life(each, counter) for each in _between_restarts(readings, counter)]
    known = [each for each in lives if each.span > 0] or lives
    span, last = sum(each.span for each in known), readings[-1].observed_at
    interval = (last - readings[0].observed_at) / max(1, len(readings) - 1)
    moved = any(each.increase > 0 for each in known)
    return _Pod(
        increase=sum(each.increase for each in known),
        span=span,
        last=last,
        relative_sd=min(1.0, interval / span) if moved and span > 0 else 1.0,
        source=readings[-1].source,
        scope_total=readings[-1].scope_total,
        standing=lives[-1].standing,
    )


@dataclass(frozen=True, slots=True)
class _Life:
    """Work of one process between two restarts."""

    increase: float
    span: float
    standing: bool


def _between_restarts(readings: list[ProgressReading], counter: Counter) -> list[list[ProgressReading]]:
    """A counter that fell began anew. What it did across the fall is unknown, so that interval is left out."""
    lives = [readings[:1]]
    for before, after in pairwise(readings):
        if after.counters[counter] < before.counters[counter]:
            lives.append([])
        lives[-1].append(after)
    return lives


def _life(readings: list[ProgressReading], counter: Counter) -> _Life:
    at = [each.observed_at for each in readings]
    values = [each.counters[counter] for each in readings]
    moves = [index for index in range(1, len(values)) if values[index] > values[index - 1]]
    interval = (at[-1] - at[0]) / max(1, len(at) - 1)
    if len(moves) < 2:
        return _Life(values[-1] - values[0], at[-1] - at[0], not moves and len(at) >= STILL_READINGS)
    first, final = moves[0], moves[-1]
    period = (at[final] - at[first]) / (len(moves) - 1)
    standing = at[-1] - at[final] > STANDS_STILL * max(period, interval)
    end = at[-1] if standing else at[final]
    return _Life(values[-1] - values[first], end - at[first], standing)
