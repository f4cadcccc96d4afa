"""Events on transitions: what somebody can mend, and what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mfu.api.conditions import NEVER_SILENT, Condition, ConditionStatus, ConditionType, Reason, find
from mfu.api.fleetreport import FleetStatus
from mfu.api.workload_status import Basis, Observed, WorkloadStatus
from mfu.engine.plan import Event
from mfu.engine.say.conditions import Aspect
from mfu.observe.assessment import Window
from mfu.observe.drift import Drift
from mfu.predict.types import Scale
from mfu.units import percent

_TOLD: Final = (
    ConditionType.ACCEPTED,
    ConditionType.FITS_MEMORY,
    ConditionType.INTENT_CONSISTENT,
    ConditionType.ENFORCED,
)

TEN_MINUTES: Final = str(Window.TEN_MINUTES)
NEARLY_WHOLE: Final = 0.9
"""Share of its GPU-time that has to be measured before a stretch is held against a workload."""


def on_turns(found: Sequence[Aspect], before: WorkloadStatus) -> tuple[Event, ...]:
    """On a turn to the bad of what somebody can mend; the status tells the rest."""
    return tuple(
        Event("Warning", str(each.reason), each.message)
        for each in found
        if (each.type in _TOLD and each.status is ConditionStatus.FALSE and not _failed(before, each.type))
        or (each.reason in NEVER_SILENT and not _said(before, each))
    )


def _said(before: WorkloadStatus, now: Aspect) -> bool:
    known = find(before.conditions, now.type)
    return known is not None and known.reason == now.reason


def on_pause() -> Event:
    """Once, when it is first seen paused: nothing else is written of it."""
    words = "paused by annotation: status, decisions and annotations stay as they are until it is removed"
    return Event("Normal", str(Reason.PAUSED), words)


def on_enforcement(found: Sequence[Aspect], before: Sequence[Condition]) -> tuple[Event, ...]:
    """On a policy's turn to Enforce that nothing carries out, and when what is not carried out changes."""
    known = find(before, ConditionType.ENFORCED)
    said = known.message if known is not None and known.status is ConditionStatus.FALSE else None
    return tuple(
        Event("Warning", str(each.reason), each.message)
        for each in found
        if each.type is ConditionType.ENFORCED and each.status is ConditionStatus.FALSE and each.message != said
    )


def _failed(before: WorkloadStatus, kind: ConditionType) -> bool:
    known = find(before.conditions, kind)
    return known is not None and known.status is ConditionStatus.FALSE


def on_drift(found: Drift | None) -> tuple[Event, ...]:
    if found is None:
        return ()
    worse = found.after < found.before
    reason = "EfficiencyDropped" if worse else "EfficiencyRose"
    where = "" if found.where is None else f"; {found.where.evidence}"
    message = (
        f"reference MFU {percent(found.before)} → {percent(found.after)} against its past; "
        f"kind of change: {found.kind}{where}"
    )
    return (Event("Warning" if worse else "Normal", reason, message),)


def on_floor(before: WorkloadStatus, now: WorkloadStatus, floor: float) -> tuple[Event, ...]:
    """Once, as it falls under the policy's floor: a share of what is expected of it, the whole band of the reading."""
    share, was = most_of_expected(now), most_of_expected(before)
    if share is None or share >= floor or (was is not None and was < floor):
        return ()
    cause = now.summary.cause if now.summary else ""
    message = (
        f"ran under {floor:.0%} of what is expected of it for ten minutes (floors.observedOfExpectedPercent); "
        f"main cause: {cause}"
    )
    return (Event("Warning", "BelowFloor", message),)


def most_of_expected(status: WorkloadStatus) -> float | None:
    """The high end of the surest ten minutes, as a share of what is expected where it runs; None where one is unknown.

    Of ten minutes that were not measured nearly whole nothing is said: a start is no fall.
    """
    expected = next((each for each in status.expected if each.basis is not Basis.LEARNED), None)
    best = max(filter(_whole, status.observed), key=lambda each: float(each.confidence or 0), default=None)
    if expected is None or best is None or status.summary is None:
        return None
    bandwidth = status.summary.scale == Scale.MBU
    promised, reached = (expected.mbu, best.mbu) if bandwidth else (expected.mfu, best.mfu)
    if reached is None or promised is None or not float(promised):
        return None
    # The band is that of the MFU; on the other scale it is as wide for what it is.
    above = float(best.high) / float(best.mfu) if best.high and best.mfu and float(best.mfu) else 1.0
    return above * float(reached) / float(promised)


def _whole(each: Observed) -> bool:
    return each.window == TEN_MINUTES and float(each.coverage or 0) >= NEARLY_WHOLE


def on_fleet(before: FleetStatus, now: FleetStatus | None) -> tuple[Event, ...]:
    """The fleet's figure went, came back, or was unknown from the first; said once, on the change."""
    if now is None or now.totals is None or now.summary is None:
        return ()
    known, was_known = now.totals.mfu is not None, before.totals is None or before.totals.mfu is not None
    if was_known is known:
        return ()
    coverage = now.summary.coverage
    if known:
        return (
            Event("Normal", "FleetKnown", f"the fleet's MFU is known again: {now.summary.mfu}, coverage {coverage}"),
        )
    message = f"less than half of the GPUs in use can be measured (coverage {coverage}): the fleet's MFU is unknown"
    return (Event("Warning", "FleetUnknown", message),)
