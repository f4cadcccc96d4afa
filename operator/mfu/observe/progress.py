"""The progress meter: work that the workload itself reports, as rates. Restarts are survived, gaps are not guessed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import inf
from statistics import median_low

from mfu.observe.readings import Counter, Gauge, ProgressReading

STILL_READINGS = 4
"""Readings without any move after which a counter is taken to stand still."""
STANDS_STILL = 2.5
"""Usual times between two moves after which a counter is taken to stand still."""
TRAINED = frozenset({Counter.TRAINED_TOKENS, Counter.TRAINED_SAMPLES, Counter.STEPS})
"""Counters of a loop that does the same again and again; a service may well do twenty times as much for once."""
RESTORED = 4.0
"""Times the usual work from which a training counter did not count but was restored, to more than it had."""
USUAL_MOVES = 4
"""Moves from which one is usual."""
SHALLOW = 0.5
"""Of what was counted: a process that began anew without a checkpoint falls below."""
MOST_FALLS, FALLING = 2, 0.2
"""Falls, and their share of all intervals, from which a number is no counter: processes do not restart like that."""
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

    A counter that fell is a restart: the interval of the fall is left out, as is one in which a training counter was
    restored higher than it was. None under two readings, for a number that falls again and again, and while too little
    is known to tell a leap from work.
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
    found = []
    for known, breaks in _tracks(_Same(readings), counter, now).values():
        inside = [each for each in known if each.observed_at >= since]
        if len(inside) > 1 and not breaks.no_counter and not breaks.doubtful(inside):
            found.append(_pod(inside, counter, breaks))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Same:
    """The very same readings: several windows ask of them, one after the other."""

    readings: Sequence[ProgressReading]

    def __hash__(self) -> int:
        return id(self.readings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.readings is self.readings


@lru_cache(maxsize=16)
def _tracks(of: _Same, counter: Counter, now: float) -> Mapping[_PodKey, tuple[list[ProgressReading], Breaks]]:
    """What each pod counted so far, and where it did not count."""
    points = _points(of.readings, counter, -inf, now)
    return {pod: (each, _breaks(each, counter)) for pod, each in points.items()}


_PodKey = tuple[str, str, str]


def _points(
    readings: Sequence[ProgressReading], counter: Counter, since: float, now: float
) -> dict[tuple[str, str, str], list[ProgressReading]]:
    """Readings by pod; one that took over another's name goes on with nothing of it."""
    points: dict[tuple[str, str, str], list[ProgressReading]] = defaultdict(list)
    for reading in readings:
        if since <= reading.observed_at <= now and counter in reading.counters:
            points[reading.namespace, reading.pod, reading.pod_uid or ""].append(reading)
    return points


def _pod(readings: list[ProgressReading], counter: Counter, breaks: Breaks) -> _Pod:
    """Rate between the first and the last move, so that a counter that moves once a step is not read short.

    A counter that has stood still for longer than its steps take is standing still: the span then runs to the end.
    """
    lives = [_life(each, counter) for each in _between_restarts(readings, breaks)]
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


def _between_restarts(readings: list[ProgressReading], breaks: Breaks) -> list[list[ProgressReading]]:
    """A counter that fell, or leapt, began anew. What it did across that is unknown, so the interval is left out."""
    lives = [readings[:1]]
    for after in readings[1:]:
        if after.observed_at in breaks.at:
            lives.append([])
        lives[-1].append(after)
    return lives


@dataclass(frozen=True, slots=True)
class Breaks:
    """Where a counter did not count, as times of the readings behind."""

    falls: frozenset[float]
    shallow: frozenset[float]
    """Falls to more than half: a return to a checkpoint, or the number is no counter."""
    leaps: frozenset[float]
    intervals: int
    moves: int

    @property
    def at(self) -> frozenset[float]:
        return self.falls | self.leaps

    @property
    def no_counter(self) -> bool:
        return len(self.falls) >= MOST_FALLS and len(self.falls) > FALLING * self.intervals

    def doubtful(self, readings: Sequence[ProgressReading]) -> bool:
        """Is too little known to tell, in these readings, what was counted from what was not?"""
        inside = {each.observed_at for each in readings[1:]}
        few = self.intervals * FALLING < 1
        return bool(inside & self.leaps and self.moves < USUAL_MOVES) or bool(few and inside & self.shallow)


def _breaks(readings: Sequence[ProgressReading], counter: Counter) -> Breaks:
    """Of all that is remembered of a pod, however short the window: what is usual shows over many moves."""
    moves: list[tuple[float, float, float]] = []
    falls, shallow, moved_at = [], [], readings[0].observed_at
    for before, after in pairwise(readings):
        increase, at = after.counters[counter] - before.counters[counter], after.observed_at
        if increase < 0:
            falls.append(at)
            if after.counters[counter] > SHALLOW * before.counters[counter]:
                shallow.append(at)
        elif increase > 0:
            moves.append((at, increase, at - moved_at))
        if increase:
            moved_at = at
    leaps = _leaps(moves) if counter in TRAINED else ()
    return Breaks(frozenset(falls), frozenset(shallow), frozenset(leaps), len(readings) - 1, len(moves))


def _leaps(moves: Sequence[tuple[float, float, float]]) -> Iterator[float]:
    """Times of moves by far more than is usual, both for the time that they took and by themselves.

    A page that stood still and then catches up has taken its time; one step within a short interval is one step.
    """
    if len(moves) < 2:
        return
    rate = median_low(increase / seconds for _, increase, seconds in moves if seconds > 0)
    step = median_low(increase for _, increase, _ in moves)
    yield from (at for at, increase, seconds in moves if increase > RESTORED * max(rate * seconds, step))


def not_counting(readings: Sequence[ProgressReading], *, now: float) -> str:
    """Why the reported work is no count of it, by pod; empty where it is one."""
    for counter in sorted(TRAINED):
        for pod, (_, breaks) in _tracks(_Same(readings), counter, now).items():
            if breaks.no_counter:
                return f"{'/'.join(pod[:2])} reports a number that falls again and again: spec.progress needs a counter"
    return ""


def left_out(readings: Sequence[ProgressReading], *, now: float) -> str:
    """Which pod's counter was restored to more than it had, so that its leap counts as no work; empty where none."""
    for counter in sorted(TRAINED):
        for pod, (_, breaks) in _tracks(_Same(readings), counter, now).items():
            if breaks.leaps:
                return f"{'/'.join(pod[:2])} was restored to a higher count: what lies between counts as no work"
    return ""


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
