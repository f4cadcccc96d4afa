"""The progress meter: work that the workload itself reports, as rates. Restarts are survived, gaps are not guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mfu.observe.readings import Counter, Gauge, ProgressReading

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


def rate(readings: Sequence[ProgressReading], counter: Counter, *, since: float, now: float) -> Rate | None:
    """Increase of one counter per second over [since, now]: pods added up, or one of them where each reports the total.

    A counter that fell is a restart: the new value counts from zero (Prometheus' rule). None under two readings.
    `[(0 s, 100), (10 s, 600), (20 s, 50)]` → 50 in the 10 s between the two moves = 5 per second.
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
    moves = _moves(readings, counter)
    first, last = readings[0].observed_at, readings[-1].observed_at
    interval = (last - first) / max(1, len(readings) - 1)
    increase, span = sum(step for _, step in moves), last - first
    if len(moves) > 1:
        period = (moves[-1][0] - moves[0][0]) / (len(moves) - 1)
        stands = last - moves[-1][0] > STANDS_STILL * max(period, interval)
        end = last if stands else moves[-1][0]
        increase, span = increase - moves[0][1], end - moves[0][0]
    return _Pod(
        increase=increase,
        span=span,
        last=last,
        relative_sd=min(1.0, interval / span) if len(moves) > 1 and span > 0 else 1.0,
        source=readings[-1].source,
        scope_total=readings[-1].scope_total,
    )


def _moves(readings: list[ProgressReading], counter: Counter) -> list[tuple[float, float]]:
    """When the counter moved, and by how much."""
    found = []
    for before, after in pairwise(readings):
        old, new = before.counters[counter], after.counters[counter]
        step = new - old if new >= old else new
        if step > 0:
            found.append((after.observed_at, step))
    return found
