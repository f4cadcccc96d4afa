"""Why a workload is slower than it could be: one vocabulary for status, metrics, traces and advice."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Explains(StrEnum):
    """Which of the two losses a cause belongs to."""

    CONFIGURATION = "Configuration"
    """attainable − expected: the tenant can declare better."""
    RUNTIME = "Runtime"
    """expected − observed: something is not as it should be."""


class Actor(StrEnum):
    """Who can mend it."""

    TENANT = "Tenant"
    PROVIDER = "Provider"


class Cause(StrEnum):
    """Named reasons of lost model FLOPs. `None` is "nothing is wrong", `Unknown` is "no evidence names one"."""

    NONE = "None"
    SMALL_BATCH = "SmallBatch"
    COMMUNICATION = "Communication"
    STRAGGLER = "Straggler"
    DATA_STARVATION = "DataStarvation"
    MEMORY_BOUND = "MemoryBound"
    PRECISION = "Precision"
    WRONG_LAYOUT = "WrongLayout"
    RECOMPUTE = "Recompute"
    PIPELINE_BUBBLE = "PipelineBubble"
    HOST_OVERHEAD = "HostOverhead"
    POWER_OR_THERMAL = "PowerOrThermal"
    LOW_CONCURRENCY = "LowConcurrency"
    KV_CACHE_PRESSURE = "KVCachePressure"
    REQUEST_VARIABILITY = "RequestVariability"
    IDLE_ALLOCATION = "IdleAllocation"
    DEGRADED_HARDWARE = "DegradedHardware"
    UNKNOWN = "Unknown"

    @property
    def truth(self) -> str | None:
        """The word that recorded traces use for it, None where they have none: `SmallBatch` is `small-batch`."""
        return TRUTH_WORDS.get(self)


TRUTH_WORDS: Final[Mapping[Cause, str]] = MappingProxyType(
    {
        Cause.NONE: "none",
        Cause.SMALL_BATCH: "small-batch",
        Cause.DATA_STARVATION: "data-starvation",
        Cause.COMMUNICATION: "communication",
        Cause.STRAGGLER: "straggler",
        Cause.MEMORY_BOUND: "memory-bound",
        Cause.PRECISION: "precision",
        Cause.RECOMPUTE: "recompute",
        Cause.LOW_CONCURRENCY: "low-concurrency",
    }
)


def from_truth(word: str) -> Cause:
    """The cause that a trace's `truth` word names; KeyError for a word that traces do not use."""
    return _BY_TRUTH[word]


_BY_TRUTH: Final = {word: cause for cause, word in TRUTH_WORDS.items()}
