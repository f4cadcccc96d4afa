"""What observation hands on: how fast a workload runs, by which meter, why not faster, and how sure all that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.workload_status import Meter


class Window(StrEnum):
    """Span of time that an observation averages over, ending now."""

    MINUTE = "1m"
    TEN_MINUTES = "10m"
    HOUR = "1h"
    START = "start"

    @property
    def seconds(self) -> float:
        """Length; infinite for the window since the start."""
        return _SECONDS[self]


_SECONDS = {Window.MINUTE: 60.0, Window.TEN_MINUTES: 600.0, Window.HOUR: 3600.0, Window.START: float("inf")}


class TelemetryState(StrEnum):
    """What telemetry could say about a workload."""

    OK = "OK"
    MISSING = "Missing"
    """No readings of its devices at all."""
    STALE = "Stale"
    """Readings stopped: older than two collection intervals."""
    NO_PROFILING = "ProfilingMissing"
    """Devices are read, tensor activity is not."""
    UNKNOWN_PRODUCT = "UnknownProduct"
    SHARED = "Shared"
    """Time-sliced or MPS: readings of a device cannot be given to one pod."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One meter over one window. Fractions; `low`..`high` is the band of `mfu`."""

    window: Window
    meter: Meter
    mfu: float | None
    reference_mfu: float | None
    mbu: float | None
    low: float | None
    high: float | None
    coverage: float
    """Share of device-time in the window that was measured."""
    source: str
    observed_at: float | None
    confidence: float
    estimated: bool = False
    """True where the figure rests on the declared intent (counters)."""
    tensor_utilisation: float | None = None
    """Raw tensor-pipe activity × clock ratio, uncorrected: published as itself."""
    tokens_per_s_per_gpu: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One reading or derived figure that a finding rests on."""

    name: str
    value: float | str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One named part of the loss. `share` is in points of the workload's scale, as a fraction of peak."""

    cause: Cause
    confidence: float
    explains: Explains
    share: float | None
    counterfactual_mfu: float | None
    action: str
    actor: Actor
    wasted: bool
    evidence: tuple[EvidenceItem, ...]
    speedup: float
    """Throughput with this alone mended ÷ throughput now: what findings are ranked by."""
    message: str = ""
    device: str | None = None
    """The GPU it happens on, where it is one."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything observed about one workload. Findings are ranked, the main cause first."""

    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()
    intent_consistent: bool | None = None
    message: str = ""
    unread: str = ""
    """Why declared progress gave nothing; empty where it is read, or none is declared."""
    state: TelemetryState = TelemetryState.MISSING
    readings: tuple[EvidenceItem, ...] = ()
    """What other dashboards show for the same GPUs: GPU utilisation, SM busy, memory bandwidth, power."""
    progressing: float | None = None
    """Share of its GPU-time of the last ten minutes in which it made progress, as counters see it."""

    @property
    def cause(self) -> Cause:
        """Main cause of waste: `None` when nothing is wrong, `Unknown` when there is no evidence to say so."""
        return main_cause(self.state, self.findings)

    @property
    def limit(self) -> Cause:
        """What sets the pace, waste or not: a healthy decode is memory-bound, and nothing is wrong with it."""
        return self.findings[0].cause if self.findings else self.cause

    def best(self, window: Window = Window.TEN_MINUTES) -> Observation | None:
        """The observation of that window to act on: progress where it is known, else counters."""
        found = [each for each in self.observations if each.window is window and _known(each)]
        return max(found, key=lambda each: (each.meter is Meter.PROGRESS, each.confidence), default=None)


def main_cause(state: TelemetryState, findings: Sequence[Finding]) -> Cause:
    """The first cause that wastes something; None when nothing does, Unknown without readings."""
    wasted = next((each.cause for each in findings if each.wasted), None)
    if wasted is not None:
        return wasted
    return Cause.NONE if state is TelemetryState.OK else Cause.UNKNOWN


def _known(observation: Observation) -> bool:
    return observation.mfu is not None or observation.mbu is not None
