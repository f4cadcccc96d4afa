"""What observation amounts to: readings of both meters per window, the causes of loss, and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.workload_status import Meter
from mfu.predict.types import Scale


class Telemetry(StrEnum):
    """State of a workload's telemetry, the reason of its TelemetryAvailable condition."""

    FRESH = "ReadingsFresh"
    NO_PODS = "NoPods"
    NONE = "NoReadings"
    STALE = "ReadingsStale"
    PROFILING_MISSING = "ProfilingUnavailable"


@dataclass(frozen=True, slots=True)
class Observation:
    """One meter over one window. Fractions; None is unknown. `observed_at` is Unix seconds of the newest sample."""

    window: str
    meter: Meter
    mfu: float | None
    reference_mfu: float | None
    mbu: float | None
    low: float | None
    high: float | None
    coverage: float
    source: str
    observed_at: float
    confidence: float
    tensor_utilization: float | None = None
    tokens_per_s_per_gpu: float | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One reading that a finding rests on."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause of loss. `share` and `counterfactual` are on the workload's scale (fractions of peak)."""

    cause: Cause
    explains: Explains
    confidence: float
    share: float | None
    counterfactual: float | None
    action: str
    actor: Actor
    wasted: bool
    evidence: tuple[EvidenceItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Serving load as the engine reports it, for scaling. Rates over the 10 min window."""

    tokens_per_s: float | None
    running_requests: float | None = None
    waiting_requests: float | None = None
    kv_cache_usage: float | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything observed of one workload. `findings` come largest share first; empty means that nothing is accused.

    `best` is the observation to show: progress before counters, the longest window that is full enough.
    `intent_consistent` is None while only one meter speaks.
    """

    telemetry: Telemetry
    message: str
    observations: tuple[Observation, ...] = ()
    best: Observation | None = None
    findings: tuple[Finding, ...] = ()
    intent_consistent: bool | None = None
    intent_message: str = ""
    load: Load | None = None
    scale: Scale | None = None

    @property
    def cause(self) -> Cause:
        """The main cause of loss: None when nothing is wrong, Unknown when nothing is measured."""
        if self.best is None:
            return Cause.UNKNOWN
        return self.findings[0].cause if self.findings else Cause.NONE
