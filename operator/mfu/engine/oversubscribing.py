"""Oversubscription in the shadow: what waits is asked for against what is at work, and what would be is counted.

The memory lives in the FleetReport, so that the next operator goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mfu.api import fleetreport as api
from mfu.api.decisions import DecisionMode
from mfu.decide.fleet.order import Together
from mfu.decide.fleet.oversubscription import (
    HOUR,
    PeakHour,
    ShadowAnswer,
    ShadowBounds,
    ShadowCount,
    ShadowJob,
    ShadowMemory,
    ShadowRequest,
    ask,
    passed,
    still_waiting,
)
from mfu.decide.fleet.standing import Standing
from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, NodeView, Outcome
from mfu.engine.text import epoch, moment
from mfu.engine.views import Assignment
from mfu.sentence import sentence
from mfu.units import decimal

DAY: Final = 24 * HOUR
SAMPLE_SECONDS: Final = 300.0
MOST_SECONDS: Final = 2 * SAMPLE_SECONDS
"""That one figure stands for: an operator that was away did not watch."""
MOST_RUNNING: Final = 128
_UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class ShadowAsker:
    """One workload that waits for whole GPUs, of a class that its policy names."""

    standing: Standing
    request: ShadowRequest
    bounds: ShadowBounds


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the report said last, and who asks now."""

    memory: ShadowMemory = field(default_factory=ShadowMemory)
    updated_at: float | None = None
    waiting: tuple[ShadowAsker, ...] = ()
    classes: tuple[str, ...] = ()
    """That policies name, in order."""
    capacity: float = 0.0


def shadow_of(
    said: api.ShadowFigures | None,
    standings: Sequence[Standing],
    known: tuple[Assignment, Sequence[NodeView]],
) -> Shadow:
    claims, nodes = known
    memory = restored(said) if said is not None else ShadowMemory()
    classes = {name for each in standings for name in each.policy.oversubscription}
    if not classes:
        return Shadow()
    capacity = float(sum(each.gpus for each in nodes if each.ready))
    of_class = {each.key: _class_of(each.key, claims) for each in standings}
    promised = _promised(standings, of_class, memory)
    waiting = tuple(
        ShadowAsker(each, request, ShadowBounds(capacity, each.policy.oversubscription))
        for each in sorted(standings, key=lambda one: one.turn)
        if (request := _request(each, of_class[each.key], promised)) is not None
    )
    updated_at = epoch(said.updated_at) if said is not None else None
    return Shadow(memory, updated_at, waiting, tuple(sorted(classes)), capacity)


def _class_of(key: str, claims: Assignment) -> str:
    return next((pod.priority_class for pod in claims.pods.get(key, ()) if pod.active and pod.priority_class), "")


def _promised(standings: Sequence[Standing], of_class: Mapping[str, str], memory: ShadowMemory) -> dict[str, float]:
    """GPUs that each class holds, and those of it that run in the shadow."""
    found: dict[str, float] = {}
    for each in standings:
        held = sum(count for kind, count in each.holds.items() if not kind.profile)
        found[of_class[each.key]] = found.get(of_class[each.key], 0.0) + held
    for job in memory.running:
        found[job.priority_class] = found.get(job.priority_class, 0.0) + job.gpus
    return found


def _request(standing: Standing, name: str, promised: Mapping[str, float]) -> ShadowRequest | None:
    """It is taken to run for a day: nobody says for how long it will."""
    need = standing.ask
    if need is None or need.profile or not standing.pending or name not in standing.policy.oversubscription:
        return None
    return ShadowRequest(name, float(need.gpus * need.copies), DAY, promised.get(name, 0.0), standing.key)


def with_shadow(together: Together, shadow: Shadow, now: float) -> Together:
    """What each of those that wait is told beside the others' decisions."""
    decided = dict(together.decisions)
    for each in shadow.waiting:
        answer, _ = ask(shadow.memory, now, each.request, each.bounds)
        decided[each.standing.key] = (*decided.get(each.standing.key, ()), _decision(each, answer))
    return Together(decided, together.grants, together.left)


def _decision(waiting: ShadowAsker, answer: ShadowAnswer) -> Decision:
    request, mode = waiting.request, _told_as(waiting.standing.policy.mode_of(DecisionType.OVERSUBSCRIPTION))
    asked = f"{request.gpus:,.0f} GPUs for class {request.priority_class}"
    if answer.admits:
        message = f"dry run: let in {asked} beyond those that are free; nothing is admitted"
        return Decision(DecisionType.OVERSUBSCRIPTION, Outcome.ADMIT, Why.ROOM_IN_USE, message, mode)
    message = sentence("dry run: hold {} back: {}", asked, answer.why)
    return Decision(DecisionType.OVERSUBSCRIPTION, Outcome.HOLD, Why.NO_ROOM_IN_USE, message, mode)


def _told_as(mode: DecisionMode) -> DecisionMode:
    """A dry run is never enforced."""
    return DecisionMode.OBSERVE if mode is DecisionMode.OBSERVE else DecisionMode.RECOMMEND


def advanced(
    shadow: Shadow, said: api.ShadowFigures | None, in_use: float | None, now: float
) -> api.ShadowFigures | None:
    """The next row of the report: one figure every five minutes, and whoever that leaves room for."""
    if not shadow.classes:
        return None
    since = now - shadow.updated_at if shadow.updated_at is not None else 0.0
    if said is not None and 0.0 <= since < SAMPLE_SECONDS:
        return said
    bounds = ShadowBounds(shadow.capacity)
    memory = still_waiting(shadow.memory, {each.standing.key for each in shadow.waiting})
    memory = passed(memory, now, in_use, min(max(since, 0.0), MOST_SECONDS), bounds)
    for each in shadow.waiting:
        if len(memory.running) < MOST_RUNNING:
            _, memory = ask(memory, now, each.request, each.bounds)
    return _row(memory, shadow.classes, in_use, now)


def _row(memory: ShadowMemory, classes: Sequence[str], in_use: float | None, now: float) -> api.ShadowFigures:
    counts = [(name, memory.counts.get(name, ShadowCount())) for name in sorted({*classes, *memory.counts})]
    return api.ShadowFigures(
        updated_at=moment(now),
        gpus_in_use=decimal(in_use, 2),
        classes=tuple(
            api.ShadowClass(
                priority_class=name,
                admitted=each.admitted,
                exceeded=each.exceeded,
                gpu_hours_gained=decimal(each.gpu_hours_gained, 2) or "0",
            )
            for name, each in counts[:32]
        ),
        running=tuple(map(_run, memory.running)),
        days=_days(memory.hours),
    )


def _run(job: ShadowJob) -> api.ShadowRun:
    return api.ShadowRun(
        workload=job.key,
        priority_class=job.priority_class,
        gpus=decimal(job.gpus, 2) or "0",
        since=moment(job.since),
        until=moment(job.until),
        exceeded=job.exceeded,
    )


def _days(hours: Sequence[PeakHour]) -> tuple[api.ShadowDay, ...]:
    known = {each.start: each.used for each in hours}
    starts = sorted({each // DAY * DAY for each in known})
    return tuple(
        api.ShadowDay(day=moment(start)[:10], hours=" ".join(_figure(known.get(start + HOUR * at)) for at in range(24)))
        for start in starts[-8:]
    )


def _figure(used: float | None) -> str:
    return _UNKNOWN if used is None else f"{used:.7g}"


def restored(said: api.ShadowFigures) -> ShadowMemory:
    """What a report says, as it was before; hours that do not read are not known."""
    hours = [
        PeakHour(epoch(f"{day.day}T00:00:00Z") + HOUR * at, float(figure))
        for day in said.days
        for at, figure in enumerate(day.hours.split())
        if figure != _UNKNOWN
    ]
    running = tuple(
        ShadowJob(
            gpus=float(each.gpus),
            since=epoch(each.since),
            until=epoch(each.until),
            exceeded=each.exceeded,
            priority_class=each.priority_class,
            key=each.workload,
        )
        for each in said.running
    )
    counts = {
        each.priority_class: ShadowCount(each.admitted, each.exceeded, float(each.gpu_hours_gained))
        for each in said.classes
    }
    return ShadowMemory(tuple(hours), running, counts)
