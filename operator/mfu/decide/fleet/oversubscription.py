"""How far declared demand may exceed the fleet: a shadow that admits nothing and counts what would have happened.

GPUs that are held are not all used. The shadow learns how many are in use at the worst of each hour, and lets a request
in where the worst day so far, with a margin for how much days differ, leaves room for all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final, NamedTuple

from mfu.sentence import Value, amount, sentence

HOUR: Final = 3600.0
DAY_HOURS: Final = 24
KEPT_HOURS: Final = 7 * 24
LEAST_HOURS: Final = 24
"""Hours that must be known before anything is admitted: a night tells nothing of a day."""
SAFETY: Final = 3.0
"""Standard deviations of what an hour's worst differs from the same hour of the day before."""
LEAST_MARGIN: Final = 0.03
"""Of the capacity, whatever the deviation."""


class PeakHour(NamedTuple):
    """The most GPUs that were in use at once in one hour."""

    start: float
    used: float


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """A request that the shadow let in: it is taken to use all its GPUs from `since` to `until`."""

    gpus: float
    since: float
    until: float
    exceeded: bool = False
    priority_class: str = ""
    key: str = ""
    """Whose request it is."""


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """What became of the requests of one class."""

    admitted: int = 0
    exceeded: int = 0
    """Of `admitted`, those that some moment had no room for."""
    gpu_hours_gained: float = 0.0
    """That ran in the shadow with room."""

    def plus(self, *, admitted: int = 0, exceeded: int = 0, gpu_hours: float = 0.0) -> ShadowCount:
        return ShadowCount(self.admitted + admitted, self.exceeded + exceeded, self.gpu_hours_gained + gpu_hours)


@dataclass(frozen=True, slots=True)
class ShadowMemory:
    """Bounded by a week of hours, by what runs in the shadow and by the classes that policies name."""

    hours: tuple[PeakHour, ...] = ()
    running: tuple[ShadowJob, ...] = ()
    counts: Mapping[str, ShadowCount] = field(default_factory=dict)
    """By priority class."""

    @property
    def admitted(self) -> int:
        return sum(each.admitted for each in self.counts.values())

    @property
    def exceeded(self) -> int:
        return sum(each.exceeded for each in self.counts.values())

    @property
    def gpu_hours_gained(self) -> float:
        return sum(each.gpu_hours_gained for each in self.counts.values())

    @property
    def exceeded_share(self) -> float | None:
        return None if self.admitted == 0 else self.exceeded / self.admitted


@dataclass(frozen=True, slots=True)
class ShadowBounds:
    """`most` by priority class: GPUs that may be promised to it, as a share of the capacity; others get 1."""

    capacity: float
    most: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """One workload that waits: its class, its GPUs, how long it runs, and what its class holds and asks already."""

    priority_class: str
    gpus: float
    seconds: float
    promised: float
    key: str = ""
    """Whose it is: who is in the shadow already is not let in once more."""


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    admits: bool
    why: str


def passed(memory: ShadowMemory, now: float, used: float | None, seconds: float, bounds: ShadowBounds) -> ShadowMemory:
    """`seconds` went by in which `used` GPUs were busy; None where it was not measured, which admits nothing later."""
    going = tuple(each for each in memory.running if each.until > now)
    if used is None:
        return replace(memory, running=going)
    room = bounds.capacity - used
    kept, counts = [], dict(memory.counts)
    for each in going:
        fits = each.gpus <= room
        room -= each.gpus
        gained = each.gpus * seconds / HOUR if fits and not each.exceeded else 0.0
        count = counts.get(each.priority_class, ShadowCount())
        counts[each.priority_class] = count.plus(exceeded=int(not fits and not each.exceeded), gpu_hours=gained)
        kept.append(each if fits else replace(each, exceeded=True))
    return ShadowMemory(_peaks(memory.hours, now, used), tuple(kept), counts)


def _peaks(hours: tuple[PeakHour, ...], now: float, used: float) -> tuple[PeakHour, ...]:
    start = now // HOUR * HOUR
    if hours and hours[-1].start == start:
        return (*hours[:-1], PeakHour(start, max(hours[-1].used, used)))
    return (*(each for each in hours if each.start > start - KEPT_HOURS * HOUR), PeakHour(start, used))


def ask(
    memory: ShadowMemory, now: float, request: ShadowRequest, bounds: ShadowBounds
) -> tuple[ShadowAnswer, ShadowMemory]:
    """Whether the shadow would let it in, and why."""
    if request.key and any(each.key == request.key for each in memory.running):
        return ShadowAnswer(True, "it runs in the shadow already"), memory
    most = bounds.most.get(request.priority_class, 1.0) * bounds.capacity
    if request.promised + request.gpus > most:
        return ShadowAnswer(False, f"class {request.priority_class} is promised {most:,.0f} GPUs at most"), memory
    worst = worst_ahead(memory.hours, now, request.seconds, bounds.capacity)
    if worst is None:
        return ShadowAnswer(False, f"fewer than {LEAST_HOURS} hours of use are known"), memory
    taken = sum(each.gpus for each in memory.running if each.until > now)
    if worst + taken + request.gpus > bounds.capacity:
        words = "{} GPUs may be in use at worst, {} more in the shadow, of {}"
        return ShadowAnswer(False, sentence(words, _gpus(worst), f"{taken:,.0f}", f"{bounds.capacity:,.0f}")), memory
    name = request.priority_class
    job = ShadowJob(request.gpus, now, now + request.seconds, priority_class=name, key=request.key)
    words = "at most {} of {} GPUs are expected in use while it runs"
    counts = {**memory.counts, name: memory.counts.get(name, ShadowCount()).plus(admitted=1)}
    why = sentence(words, _gpus(worst), f"{bounds.capacity:,.0f}")
    return ShadowAnswer(True, why), replace(memory, running=(*memory.running, job), counts=counts)


def _gpus(worst: float) -> Value | str:
    return amount(worst, f"{worst:,.0f}")


def still_waiting(memory: ShadowMemory, keys: Collection[str]) -> ShadowMemory:
    """Without those that wait no more: they run for all to see, or are gone. What was counted of them stays."""
    return replace(memory, running=tuple(each for each in memory.running if each.key in keys))


def worst_ahead(hours: Sequence[PeakHour], now: float, seconds: float, capacity: float) -> float | None:
    """GPUs in use at worst until `now + seconds`: the same hours of the days before, now, and a margin.

    None while no whole day is known, or hours of it are missing.
    """
    known = {each.start: each.used for each in hours}
    first = now // HOUR * HOUR
    ahead = [first + HOUR * step for step in range(int(seconds // HOUR) + 2)]
    before = [[start - DAY_HOURS * HOUR * day for day in range(1, 8)] for start in ahead[:DAY_HOURS]]
    seen = [[known[start] for start in starts if start in known] for starts in before]
    if len(known) < LEAST_HOURS or not all(seen):
        return None
    margin = max(LEAST_MARGIN * capacity, SAFETY * _day_to_day(known))
    return max(*(max(each) for each in seen), known.get(first, 0.0)) + margin


def _day_to_day(known: Mapping[float, float]) -> float:
    """Standard deviation of an hour's worst from that of the day before; from the hour before in the first days."""
    for lag in (DAY_HOURS * HOUR, HOUR):
        steps = [used - known[start - lag] for start, used in known.items() if start - lag in known]
        if len(steps) >= 6:
            return sqrt(sum(each * each for each in steps) / len(steps))
    return 0.0
