"""When readings can not be what they say: lost, frozen, or more than a replica can do. Then the number stays."""

from __future__ import annotations

from typing import Final

from mfu.decide.replicas.demand import LoadReading, point_of
from mfu.decide.replicas.law import Law, misfit
from mfu.decide.replicas.memory import RawLoad, ScalingMemory
from mfu.sentence import amount, sentence

FROZEN_REPEATS: Final = 3
"""So many readings in a row that are the same to the last digit, with work in them, are one reading."""
MOST_MISFIT: Final = 0.6
"""A replica's time can not be used 1.6 times over: then a counter or a gauge is wrong."""
LEAST_BUSY: Final = 0.4
"""Requests do not wait in front of engines that have more than half of their time left, while their cache has room."""
FULL_CACHE: Final = 0.8


def doubt(memory: ScalingMemory, reading: LoadReading, law: Law) -> str | None:
    """Why nothing may follow from this reading; None where it may."""
    raw = reading.raw
    if raw is None:
        return "token rates are not reported"
    if reading.ready < 1:
        return "no replica serves yet"
    if min(raw) < 0:
        return "a rate or a queue is below zero"
    return _frozen(memory, raw) or _impossible(reading, raw, law)


def _frozen(memory: ScalingMemory, raw: RawLoad) -> str | None:
    if raw.inputs + raw.outputs <= 0 < raw.running:
        running = amount(raw.running, f"{raw.running:,.0f}")
        return sentence("{} requests run and not one token comes: hung, or the page is frozen", running)
    if any(raw) and memory.raw == raw and memory.repeats + 1 >= FROZEN_REPEATS:
        return f"the same readings came {memory.repeats + 1} times: the page is frozen"
    return None


def _impossible(reading: LoadReading, raw: RawLoad, law: Law) -> str | None:
    point = point_of(raw, reading.ready)
    over = law.work(raw.inputs, raw.outputs) / reading.ready - 1.0 if point is None else misfit(law, point)
    if over > MOST_MISFIT:
        times = amount(1 + over, f"{1 + over:.1f}")
        return sentence("tokens and running requests would take {} times the time that the replicas have", times)
    return None


def believed_waiting(reading: LoadReading, raw: RawLoad, law: Law) -> float:
    """The queue, or none of it where engines have time and room left: then the gauge is wrong, or waits for others."""
    busy = law.work(raw.inputs / reading.ready, raw.outputs / reading.ready)
    full = reading.cache_use is not None and reading.cache_use >= FULL_CACHE
    return raw.waiting if busy >= LEAST_BUSY or full else 0.0
