"""One more minute of one workload for the ladder of reclaim: what was read of it, and what the cluster shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mfu.api.modelworkload import Mode
from mfu.api.powers import ReclaimAction
from mfu.decide.ladder import ReclaimMemory, Stage
from mfu.decide.types import Decision
from mfu.decide.workload.reclaim import (
    MINUTE,
    Excuse,
    Exemption,
    Minute,
    judge_idleness,
    remembered,
    resumed,
    suspended,
)
from mfu.decide.workload.reclaiming import OBJECT, TAKEN_UP, reclaim
from mfu.engine.judged import Judged, Running, Surroundings, trusted
from mfu.engine.plan import Event
from mfu.engine.text import epoch
from mfu.observe.readings import Floats, Metric, WorkloadSeries

_PIPES: Final = (Metric.TENSOR_ACTIVE, Metric.SM_ACTIVE, Metric.DRAM_ACTIVE)
_GRACE_SECONDS: Final = 0.5
"""Cycles are never exactly a minute apart."""
_MOST_MINUTES: Final = 9
"""Readings of so many whole minutes are there: large fleets are judged in turns, what is steady every three minutes."""


@dataclass(frozen=True, slots=True)
class Idling:
    """What follows for one workload, what is remembered, and what its owner is told of it now."""

    memory: ReclaimMemory
    decision: Decision | None = None
    events: tuple[Event, ...] = ()


def idling(judged: Judged, series: WorkloadSeries | None, before: ReclaimMemory, around: Surroundings) -> Idling:
    """Every minute counts once. Where the policy takes nothing back, nothing is remembered either."""
    rules = judged.policy.reclaim
    if not rules.rungs:
        return Idling(ReclaimMemory())
    memory = _as_shown(judged, before, around)
    if isinstance(judged, Running) and (due := _due(memory, around.now)):
        *missed, last = (minute_of(judged, series, at) for at in due)
        # What is judged in turns is judged on the last minute: nobody is told and suspended at once.
        for minute in missed:
            memory = remembered(memory, minute, rules)
        _, memory = judge_idleness(memory, last, rules, objection=_objection(judged))
    return Idling(memory, reclaim(memory, judged.policy), _told(before, memory))


def _due(memory: ReclaimMemory, now: float) -> list[float]:
    """Ends of the minutes that have not been counted yet, as far back as readings are kept; `now` is the last."""
    last = memory.minutes[-1][0] if memory.minutes else now - MINUTE
    count = min(int((now - last + _GRACE_SECONDS) // MINUTE), _MOST_MINUTES)
    return [now - MINUTE * back for back in reversed(range(count))]


def _as_shown(judged: Judged, before: ReclaimMemory, around: Surroundings) -> ReclaimMemory:
    """Its pods went after it was sent a suspension: it is suspended. They went or came otherwise: a new beginning."""
    if judged.holding.matched:
        return before if before.suspended_at is None else resumed(before, around.now)
    if before.suspended_at is not None:
        return before
    if judged.view.key in around.suspending and _at_suspension(judged, before):
        return suspended(before, around.now)
    return before if before == ReclaimMemory() else resumed(before, around.now)


def _at_suspension(judged: Judged, memory: ReclaimMemory) -> bool:
    rungs = judged.policy.reclaim.rungs
    return 0 <= memory.rung < len(rungs) and rungs[memory.rung].action is ReclaimAction.SUSPEND


def minute_of(judged: Running, series: WorkloadSeries | None, at: float) -> Minute:
    """The minute that ends at `at` over all devices: the busiest counts, none is idle unless each of them was read."""
    made = Minute(at, progressed=_progressed(series, at), excuse=_excuse(judged, at))
    if series is None or not trusted(judged):
        return Minute(at, excuse=made.excuse)
    recent = series.values[(series.times > at - MINUTE) & (series.times <= at)]
    tensor, sm, dram = (_busiest(recent, metric) for metric in _PIPES)
    busy = replace(made, tensor=tensor, sm=sm, dram=dram)
    if busy.worked or _all_read(recent, judged.holding.gpus):
        return busy
    return replace(made, progressed=made.progressed or None)


def _busiest(values: Floats, metric: Metric) -> float | None:
    known = values[:, :, metric]
    return float(np.nanmax(known)) if np.isfinite(known).any() else None


def _all_read(values: Floats, gpus: int) -> bool:
    read = np.isfinite(values[:, :, _PIPES]).any(axis=(0, 2))
    return int(read.sum()) >= gpus > 0


def _progressed(series: WorkloadSeries | None, at: float) -> bool | None:
    """Whether any counter of any pod moved in the two minutes before; None where no pod was read twice."""
    if series is None:
        return None
    found: bool | None = None
    last: dict[tuple[str, str], dict[str, float]] = {}
    for reading in series.progress:
        if not at - 2 * MINUTE < reading.observed_at <= at:
            continue
        known = last.get((reading.pod, reading.source))
        if known is not None:
            moved = any(value != known.get(name) for name, value in reading.counters.items())
            found = bool(found) or moved
        last[(reading.pod, reading.source)] = {str(name): value for name, value in reading.counters.items()}
    return found


def _excuse(judged: Running, now: float) -> Excuse | None:
    policy, spec, oldest = judged.policy, judged.view.spec, judged.holding.oldest_at
    if oldest is not None and now - oldest < policy.idle_minutes * MINUTE:
        return Excuse.STARTING
    inference = spec is not None and spec.mode is Mode.INFERENCE
    if inference and judged.replicas <= (policy.scaling_min_replicas or 0):
        return Excuse.WARM_SPARE
    return None


def _objection(judged: Running) -> Exemption | None:
    spec = judged.view.spec
    if spec is None or spec.reclaim is None:
        return None
    made_at = judged.view.declared_at or judged.view.created_at
    return Exemption(epoch(str(spec.reclaim.exempt_until)), made_at)


def _told(before: ReclaimMemory, memory: ReclaimMemory) -> tuple[Event, ...]:
    """Once for every rung that is announced beyond a word on the object, and once when it is carried out."""
    if memory.suspended_at is not None and before.suspended_at is None:
        words = f"suspended, as was announced: its GPUs were idle; {TAKEN_UP}"
        return (Event("Normal", "Suspended", words),)
    verdict = memory.said
    announced = memory.announced > before.announced and verdict.stage is Stage.ANNOUNCED
    if not announced or verdict.action in (None, ReclaimAction.ANNOTATE):
        return ()
    return (Event("Warning", "GPUsIdle", f"{verdict.words}; {OBJECT}"),)
