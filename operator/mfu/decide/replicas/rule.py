"""The number of replicas: what arrives now and when new ones would serve, ÷ what one carries within its promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, floor, inf
from typing import Final

import numpy as np

from mfu.decide.replicas.carrying import LEAST_UTILISATION, ReplicaPromise, carried
from mfu.decide.replicas.demand import MOST_GROWTH, LoadReading, Typical, ahead, arriving, backlog, point_of, set_in
from mfu.decide.replicas.doubt import believed_waiting, doubt
from mfu.decide.replicas.law import Law, learned, measured
from mfu.decide.replicas.memory import KEPT_SECONDS, LEAST_APART_SECONDS, LoadSample, RawLoad, ScalingMemory

START_SECONDS: Final = 420.0
"""From asking for a replica to its first token: loading a model takes 2 to 7 minutes (Workload Variant Autoscaler), and
one that comes late is a promise broken."""
READ_LATE_SECONDS: Final = 60.0
"""Rates are over the last two minutes: what they say is a minute old."""
MINUTE_SECONDS: Final = 60.0
WINDOW_SECONDS: Final = 300.0
"""Replicas are given back only when so long a time has shown that the rest would do."""
MEAN_OF_PROMISE: Final = 0.2
"""The mean time to the first token that is planned for, as a share of the promise: one in a hundred waits 4.6 means."""
STRAIN_SECONDS: Final = 60.0
"""Over so long prompts must have waited: a queue of one moment is chance."""
LEAST_RELIEF: Final = 0.8
"""A queue alone asks for at most 1 ÷ 0.8 of the replicas that serve: one that lies can do no more."""
_MOST_WORK: Final = 0.95


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds the answer: the declaration, the policy, and the law that was predicted."""

    law: Law
    typical: Typical
    low: int
    high: int
    max_step: float = 0.5
    """Largest change at once, as a share of the present replicas; one replica is always allowed."""
    cooldown_seconds: float = 300.0
    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    places: float | None = None
    """Requests that one engine runs at once, as declared."""
    chunk_tokens: float | None = None
    """Prompt tokens that it reads between two decode steps."""
    start_seconds: float = START_SECONDS
    headroom: float = 0.0
    """Growth that nobody sees coming before new replicas serve, as a share of what arrives."""

    def promise(self, seen: LoadReading) -> ReplicaPromise:
        """An engine that runs more than was declared takes as many as it runs."""
        running = (seen.running or 0.0) / max(1, seen.ready)
        places = None if self.places is None else max(self.places, running)
        return ReplicaPromise(self.ttft_seconds, self.tpot_seconds, places, self.chunk_tokens, self.typical.inputs)


class Course(StrEnum):
    GROW = "Grow"
    SHRINK = "Shrink"
    KEEP = "Keep"
    FREEZE = "Freeze"
    """The readings can not be followed: the number stays."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """`replicas` is what should be there. `why` ends a sentence about it; work is in replicas that never pause."""

    course: Course
    replicas: int
    why: str
    work: float | None = None
    soon: float | None = None
    each: float | None = None
    """Work that one replica carries within its promise, 0–1."""


def size(memory: ScalingMemory, reading: LoadReading, terms: Terms) -> tuple[Sizing, ScalingMemory]:
    """The number of replicas that a reading asks for, and what is to be remembered of it. Pure.

    Of what is remembered, only how often the same reading came changes while readings are doubted.
    """
    law = measured(terms.law, memory.sums)
    raw = reading.raw
    why_not = doubt(memory, reading, law)
    if raw is None or why_not is not None:
        frozen = replace(memory, repeats=memory.repeats + 1) if raw is not None and raw == memory.raw else memory
        stays = min(max(reading.replicas, terms.low), terms.high)
        return Sizing(Course.FREEZE, stays, why_not or ""), frozen
    memory = _seen(memory, raw, reading, law)
    law = measured(terms.law, memory.sums)
    return _sized(memory, reading, terms, law=law, raw=raw)


def _seen(memory: ScalingMemory, raw: RawLoad, reading: LoadReading, law: Law) -> ScalingMemory:
    point = point_of(raw, reading.ready)
    sums = memory.sums
    if point is not None and raw != memory.raw:
        sums = learned(sums, point, reading.at)
    return replace(memory, sums=sums, raw=raw, repeats=memory.repeats + 1 if raw == memory.raw else 0)


def _sized(
    memory: ScalingMemory, reading: LoadReading, terms: Terms, *, law: Law, raw: RawLoad
) -> tuple[Sizing, ScalingMemory]:
    waiting = believed_waiting(reading, raw, law)
    sample = LoadSample(reading.at, raw.inputs, raw.outputs, waiting, 0)
    samples = (*memory.samples, sample)
    work = law.work(raw.inputs, raw.outputs)
    queue = backlog(law, terms.typical, waiting, work)
    soon = _soon(law, samples, terms, served=work) + queue
    each = carried(law, terms.promise(reading), raw.inputs, raw.outputs)
    if work <= each * reading.ready and not reading.pending:
        # Where replicas are missing, that is why prompts wait: it says nothing about what one carries.
        each = min(each, strained(law, samples, reading.ready, terms))
    needed = max(terms.low, min(terms.high, ceil(soon / each - 1e-9)))
    kept = _kept(memory, sample._replace(needed=needed))
    bounded, why = _bounded(kept, reading, terms, needed=needed)
    sizing = Sizing(_course(bounded, reading.replicas), bounded, why, work + queue, soon, each)
    if bounded != (reading.replicas if memory.wanted is None else memory.wanted):
        kept = replace(kept, changed_at=reading.at)
    return sizing, replace(kept, wanted=bounded)


def _soon(law: Law, samples: Sequence[LoadSample], terms: Terms, *, served: float) -> float:
    """Work when new replicas would serve: as it grows now, or with the headroom where that is more.

    What sets in at once is taken to go on for as long as a trend may: how steep it is shows a minute later, and of many
    replicas that are asked for at once the first serve soon, however long each takes.
    """
    at, work = np.array([each.at for each in samples]), arriving(law, terms.typical, samples)
    most = MOST_GROWTH * served
    requests = MINUTE_SECONDS * samples[-1].inputs / terms.typical.inputs
    trend = most if set_in(at, work, requests) else ahead(at, work, terms.start_seconds + READ_LATE_SECONDS)
    return max(min(trend, most), (1.0 + terms.headroom) * float(work[-1]))


def strained(law: Law, samples: Sequence[LoadSample], ready: int, terms: Terms) -> float:
    """Work that one replica may carry, judged by how long prompts wait now; endless while they wait little.

    By Little's law the mean time to the first token is requests that wait ÷ requests a second. It grows as
    u ÷ (1 − u) with the work u of a replica: where 0.8 makes them wait twice as long as planned, 4 ÷ 2 = 2 is allowed,
    which is u = 0.67.
    """
    if terms.ttft_seconds is None:
        return inf
    recent = [each for each in samples if each.at >= samples[-1].at - STRAIN_SECONDS]
    prompts = sum(each.inputs for each in recent) / terms.typical.inputs
    now = samples[-1]
    work = min(law.work(now.inputs, now.outputs) / ready, _MOST_WORK)
    planned = MEAN_OF_PROMISE * terms.ttft_seconds
    waited = sum(each.waiting for each in recent) / prompts if prompts > 0 else 0.0
    if waited <= planned or work <= 0:
        return inf
    allowed = work / (1.0 - work) * planned / waited
    return max(LEAST_UTILISATION, LEAST_RELIEF * work, allowed / (1.0 + allowed))


def _kept(memory: ScalingMemory, sample: LoadSample) -> ScalingMemory:
    """What is looked back at, and the newest reading before it: then that time is covered whole."""
    since = sample.at - KEPT_SECONDS
    inside = memory.since(since)
    before = tuple(each for each in memory.samples if each.at < since)[-1:]
    if inside and sample.at - inside[-1].at < LEAST_APART_SECONDS:
        joined = sample._replace(needed=max(sample.needed, inside[-1].needed), at=inside[-1].at)
        return replace(memory, samples=(*before, *inside[:-1], joined))
    return replace(memory, samples=(*before, *inside, sample))


def _bounded(memory: ScalingMemory, reading: LoadReading, terms: Terms, *, needed: int) -> tuple[int, str]:
    """The present number, changed by as much as may be changed now; and why it is not more."""
    have = reading.replicas
    step = max(1, floor(terms.max_step * have))
    forced = min(max(have, terms.low), terms.high)
    if forced != have:
        return forced, f"bounds are {terms.low} to {terms.high}"
    resting = memory.changed_at is not None and reading.at - memory.changed_at < terms.cooldown_seconds
    if resting:
        # What was asked for stands until it is there: autoscalers look now and then, and must not miss it.
        asked = min(max(memory.wanted or have, terms.low), terms.high)
        return asked, f"the last change is less than {terms.cooldown_seconds:.0f} s old"
    if needed == have:
        return have, "that is what runs"
    if needed > have:
        return min(needed, have + step), "more is needed by the time that new ones serve"
    return _fewer(memory, reading, step)


def _fewer(memory: ScalingMemory, reading: LoadReading, step: int) -> tuple[int, str]:
    have, covered = reading.replicas, memory.covered_since
    if covered is None or reading.at - covered < WINDOW_SECONDS:
        return have, f"fewer would do, but not for {WINDOW_SECONDS:.0f} s yet"
    peak = max(each.needed for each in memory.since(reading.at - WINDOW_SECONDS))
    if peak >= have:
        return have, f"{peak} were needed within the last {WINDOW_SECONDS:.0f} s"
    return max(peak, have - step), f"no more were needed for {WINDOW_SECONDS:.0f} s"


def _course(wanted: int, have: int) -> Course:
    if wanted == have:
        return Course.KEEP
    return Course.GROW if wanted > have else Course.SHRINK
