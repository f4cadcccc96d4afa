"""Standard conditions. All types are positive: `True` is good, `Unknown` is not yet known."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from mfu.api.base import Generation, LongText, Resource, Timestamp
from mfu.hardware.problem import ProblemReason


class ConditionType(StrEnum):
    ACCEPTED = "Accepted"
    """The declaration makes sense, and nobody older claims its pods."""
    FITS_MEMORY = "FitsMemory"
    """Predicted memory per GPU is within what the GPU has."""
    TELEMETRY_AVAILABLE = "TelemetryAvailable"
    """At least one meter gives fresh readings."""
    INTENT_CONSISTENT = "IntentConsistent"
    """Both meters agree with what was declared; while False nothing is decided."""
    ENFORCED = "Enforced"
    """On a policy with Enforce in its modes: all of it is carried out; while False it does what Recommend does."""
    READY = "Ready"
    """Everything above holds, so that numbers and decisions can be trusted."""


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Stable machine-readable reasons; the message beside them is for people. Those of problems are the problem's."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = ProblemReason.INVALID_SPEC
    UNKNOWN_PRESET = ProblemReason.UNKNOWN_PRESET
    UNKNOWN_PRODUCT = ProblemReason.UNKNOWN_PRODUCT
    PRODUCTS_DISAGREE = ProblemReason.PRODUCTS_DISAGREE
    UNSUPPORTED_PRECISION = ProblemReason.UNSUPPORTED_PRECISION
    UNKNOWN_MIG_PROFILE = ProblemReason.UNKNOWN_MIG_PROFILE
    IMPOSSIBLE_LAYOUT = ProblemReason.IMPOSSIBLE_LAYOUT
    PODS_CLAIMED = ProblemReason.PODS_CLAIMED
    PRODUCT_DIFFERS = "ProductDiffers"
    NEWER_THAN_PODS = "NewerThanPods"
    PAUSED = "Paused"
    FITS = "Fits"
    OUT_OF_MEMORY = "OutOfMemory"
    NOT_PREDICTED = "NotPredicted"
    READINGS_FRESH = "ReadingsFresh"
    NO_PODS = "NoPods"
    TARGET_MISSING = "TargetMissing"
    NO_READINGS = "NoReadings"
    READINGS_STALE = "ReadingsStale"
    READINGS_REFUSED = "ReadingsRefused"
    PROFILING_UNAVAILABLE = "ProfilingUnavailable"
    METERS_AGREE = "MetersAgree"
    METERS_DISAGREE = "MetersDisagree"
    ONE_METER = "OneMeter"
    PROGRESS_UNREAD = "ProgressUnread"
    READY = "Ready"
    NOT_READY = "NotReady"
    POLICY_VALID = "PolicyValid"
    INVALID_POLICY = ProblemReason.INVALID_POLICY
    OVERLAPS = "Overlaps"
    CARRIED_OUT = "CarriedOut"
    IN_NAME_ONLY = "InNameOnly"
    INTERNAL_ERROR = "InternalError"


NEVER_SILENT: Final = frozenset(
    {Reason.PRODUCT_DIFFERS, Reason.NEWER_THAN_PODS, Reason.TARGET_MISSING, Reason.PROGRESS_UNREAD}
)
"""Reasons that stop nothing and are still said aloud, by an event and by `mfu explain`: somebody can mend them."""


class Condition(Resource):
    """One aspect of the object's state, in the shape of every Kubernetes condition."""

    type: str = Field(max_length=64)
    """Aspect that the condition is about; positive, so that True is good."""
    status: ConditionStatus
    """True, False, or Unknown while there is no evidence."""
    reason: str = Field(max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """CamelCase word for programs."""
    message: LongText = ""
    """What is the matter and what to change, for people."""
    last_transition_time: Timestamp
    """When `status` last changed (RFC 3339); kept while only the message changes."""
    observed_generation: Generation | None = None
    """metadata.generation of the spec that this condition judged."""

    @property
    def is_true(self) -> bool:
        return self.status == ConditionStatus.TRUE


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, None where it was never set."""
    return next((condition for condition in conditions if condition.type == type_), None)


def merge(before: Iterable[Condition], now: Iterable[Condition]) -> tuple[Condition, ...]:
    """`now`, in its order, with the transition time kept where the status did not change."""
    known = {condition.type: condition for condition in before}
    return tuple(_keep_time(known.get(condition.type), condition) for condition in now)


def _keep_time(before: Condition | None, now: Condition) -> Condition:
    if before is None or before.status != now.status:
        return now
    return now.model_copy(update={"last_transition_time": before.last_transition_time})


def timestamp(moment: datetime) -> str:
    """API form of an aware moment, whole seconds in UTC: `2026-11-22T06:00:00Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
