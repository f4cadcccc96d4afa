"""Readings as arrays: one round of the fleet, and the recent past of one workload. NaN inside arrays is unknown.

Units are fixed here, whatever a source uses: utilisations are fractions 0..1, clocks Hz, power W, memory bytes,
links bytes/s (PCIe and NVLink each direction, all links of a GPU together), clock events the NVML bit mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.metric import METRICS as METRICS
from mfu.observe.metric import Metric as Metric

Floats = NDArray[np.float64]
SET_BACK_SECONDS: Final = 120.0
"""A reading this much older than the one before says that the clock was set back: what was known is forgotten."""
STALE_INTERVALS: Final = 2.0
"""Readings older than so many collection intervals are stale: one round may be late, two are missing."""


class SourceState(StrEnum):
    """What a source could give at its last round."""

    OK = "OK"
    PROFILING_MISSING = "ProfilingMissing"
    STALE = "Stale"
    UNREACHABLE = "Unreachable"
    INVALID = "Invalid"


@dataclass(frozen=True, slots=True, order=True)
class GPUKey:
    """Identity of a device in telemetry: UUID of the (parent) GPU and, on MIG, the GPU instance id."""

    uuid: str
    instance: int | None = None


@dataclass(frozen=True, slots=True)
class GPUIdentity:
    """Labels that came with a device's readings. `pod` is None when nothing is known to run there."""

    key: GPUKey
    product_name: str
    node: str | None = None
    index: str | None = None
    mig_profile: str | None = None
    namespace: str | None = None
    pod: str | None = None
    container: str | None = None
    shared: bool = False
    pod_uid: str | None = None
    """Which pod of that name it is; None where the source does not say and the cluster was not asked."""


@dataclass(frozen=True, slots=True)
class GPURound:
    """One reading of many devices by one source. `values` is float64 [devices, METRICS], `observed_at` [devices]."""

    source: str
    state: SourceState
    devices: tuple[GPUIdentity, ...]
    observed_at: Floats
    values: Floats
    interval_seconds: float
    """The longer of scrape and collection interval: twice this without news is stale."""
    message: str = ""


class Counter(StrEnum):
    """Monotonic work counters of one pod. Cached and rejected tokens are already taken out."""

    TRAINED_TOKENS = "TrainedTokens"
    TRAINED_SAMPLES = "TrainedSamples"
    STEPS = "Steps"
    PREFILL_TOKENS = "PrefillTokens"
    DECODE_TOKENS = "DecodeTokens"
    DATA_WAIT_SECONDS = "DataWaitSeconds"
    COMMUNICATION_WAIT_SECONDS = "CommunicationWaitSeconds"
    FIRST_TOKENS_TIMED = "FirstTokensTimed"
    FIRST_TOKENS_IN_TIME = "FirstTokensInTime"
    """Of those, the ones within the declared limit."""
    TOKENS_TIMED = "TokensTimed"
    TOKENS_IN_TIME = "TokensInTime"


class Gauge(StrEnum):
    """Instantaneous values that serving engines publish."""

    RUNNING_REQUESTS = "RunningRequests"
    WAITING_REQUESTS = "WaitingRequests"
    KV_CACHE_USAGE = "KVCacheUsage"
    PREEMPTIONS = "Preemptions"
    STEP_SECONDS = "StepSeconds"
    FIRST_TOKEN_LIMIT_SECONDS = "FirstTokenLimitSeconds"
    """Which limit those in time were counted by: under another one they are another counter."""
    TOKEN_LIMIT_SECONDS = "TokenLimitSeconds"


@dataclass(frozen=True, slots=True)
class ProgressReading:
    """What one pod reported at one instant. `scope_total`: the counters already cover the whole workload."""

    namespace: str
    pod: str
    source: str
    observed_at: float
    counters: Mapping[Counter, float]
    gauges: Mapping[Gauge, float] = field(default_factory=dict)
    scope_total: bool = False
    pod_uid: str | None = None


@dataclass(frozen=True, slots=True)
class WorkloadSeries:
    """The recent past of one workload's devices: `times` [T] seconds, `values` [T, devices, METRICS], NaN unknown.

    `progress` is ordered by time; counters of one pod are monotonic but for restarts.
    """

    devices: tuple[GPUIdentity, ...]
    times: Floats
    values: Floats
    interval_seconds: float
    progress: tuple[ProgressReading, ...] = ()
    sources: tuple[str, ...] = ()
    unread: str = ""
    """Why its pods' own reports could not be read, where they were asked for and gave nothing."""
