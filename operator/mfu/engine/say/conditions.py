"""Conditions of one workload: small checks over what was found out, in the order in which people read them."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from mfu.api.workload_status import Meter
from mfu.engine.say.text import moment
from mfu.observe.assessment import Assessment, TelemetryState
from mfu.predict.types import Memory
from mfu.units import gibibytes

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition before it gets its times."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a declaration is not accepted: a reason for programs, and what to change for people."""

    reason: Reason
    message: str


def accepted(rejection: Rejection | None) -> Verdict:
    if rejection is None:
        return Verdict(ConditionType.ACCEPTED, TRUE, Reason.ACCEPTED, "the declaration makes sense")
    return Verdict(ConditionType.ACCEPTED, FALSE, rejection.reason, rejection.message)


def fits_memory(memory: Memory | None, label: str) -> Verdict:
    if memory is None:
        return Verdict(ConditionType.FITS_MEMORY, UNKNOWN, Reason.NOT_PREDICTED, "memory was not predicted")
    used = f"{gibibytes(memory.total_bytes)} of {gibibytes(memory.capacity_bytes)} on {label}"
    if memory.fits:
        return Verdict(ConditionType.FITS_MEMORY, TRUE, Reason.FITS, f"needs {used}")
    advice = f"; {memory.advice}" if memory.advice else ""
    message = f"needs {used}; the largest term is {memory.largest_term}{advice}"
    return Verdict(ConditionType.FITS_MEMORY, FALSE, Reason.OUT_OF_MEMORY, message)


def telemetry_available(assessment: Assessment | None, *, running: bool, refused: str | None = None) -> Verdict:
    """`refused` is why readings of its node were not believed: what is missing then is missing for that reason."""
    kind = ConditionType.TELEMETRY_AVAILABLE
    if not running:
        return Verdict(kind, UNKNOWN, Reason.NO_PODS, "no pod of this workload runs on a GPU")
    if assessment is None:
        return Verdict(kind, UNKNOWN, Reason.NOT_PREDICTED, "not accepted, so nothing is read")
    reason, words = _TELEMETRY[assessment.state]
    if assessment.state is TelemetryState.OK:
        return Verdict(kind, TRUE, reason, words)
    if measured(assessment):
        return Verdict(kind, TRUE, Reason.READINGS_FRESH, f"reported progress is fresh; of counters: {words}")
    if refused is not None and assessment.state in _SILENT:
        reason, words = Reason.READINGS_REFUSED, f"readings are not believed: {refused}"
    return Verdict(kind, FALSE, reason, words)


def measured(assessment: Assessment) -> bool:
    """At least one meter speaks: counters, or progress where there are no counters. Counters that stopped are doubt."""
    if assessment.state is TelemetryState.OK:
        return True
    best = assessment.best()
    return assessment.state in _NO_COUNTERS and best is not None and best.meter is Meter.PROGRESS


_SILENT = frozenset({TelemetryState.MISSING, TelemetryState.STALE})
_NO_COUNTERS = frozenset({TelemetryState.MISSING, TelemetryState.NO_PROFILING, TelemetryState.SHARED})


_TELEMETRY = {
    TelemetryState.OK: (Reason.READINGS_FRESH, "readings are fresh"),
    TelemetryState.MISSING: (Reason.NO_READINGS, "no exporter or agent gives readings of its devices"),
    TelemetryState.STALE: (Reason.READINGS_STALE, "readings stopped; MFU is unknown and decisions stay"),
    TelemetryState.NO_PROFILING: (Reason.PROFILING_UNAVAILABLE, "the exporter gives no profiling metrics"),
    TelemetryState.UNKNOWN_PRODUCT: (Reason.UNKNOWN_PRODUCT, "telemetry names a GPU product that is not known"),
    TelemetryState.SHARED: (
        Reason.NO_READINGS,
        "it holds slices of GPUs that other pods use too: readings belong to no single pod, so its MFU is unknown",
    ),
}


def intent_consistent(assessment: Assessment | None) -> Verdict:
    kind = ConditionType.INTENT_CONSISTENT
    if assessment is None or assessment.intent_consistent is None:
        return Verdict(kind, UNKNOWN, Reason.ONE_METER, "only one meter speaks, so nothing can be compared")
    if assessment.intent_consistent:
        return Verdict(kind, TRUE, Reason.METERS_AGREE, "progress and counters agree within their bands")
    return Verdict(kind, FALSE, Reason.METERS_DISAGREE, assessment.message)


def ready(others: list[Verdict]) -> Verdict:
    """Everything above holds; one meter alone is enough, disagreeing meters are not."""
    failing = next((each for each in others if each.status is FALSE), None)
    if failing is not None:
        return Verdict(ConditionType.READY, FALSE, Reason.NOT_READY, f"{failing.type}: {failing.message}")
    waiting = [each for each in others if each.status is UNKNOWN and each.type is not ConditionType.INTENT_CONSISTENT]
    if waiting:
        return Verdict(ConditionType.READY, UNKNOWN, Reason.NOT_READY, f"{waiting[0].type}: {waiting[0].message}")
    return Verdict(ConditionType.READY, TRUE, Reason.READY, "predicted, measured and consistent")


def internal_error(words: str) -> Verdict:
    """Judging failed by a defect of ours."""
    message = f"the operator failed on this workload and leaves it as it is; please report: {words}"
    return Verdict(ConditionType.READY, FALSE, Reason.INTERNAL_ERROR, message)


def conditions(verdicts: list[Verdict], *, generation: int, now: float) -> list[Condition]:
    return [
        Condition(
            type=each.type,
            status=each.status,
            reason=each.reason,
            message=each.message[:2048],
            last_transition_time=moment(now),
            observed_generation=generation,
        )
        for each in verdicts
    ]
