"""What is planted: the true MFU of a workload and the one thing that is wrong with it. Read from annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mfu.api.causes import Cause
from mfu.hardware.types import Precision

PREFIX: Final = "sim.mfu.gpuaas.io/"
"""Annotations of the simulator on pods; the operator does not know them."""

TRAINING_METRIC: Final = "train_tokens_total"


WAVE_SECONDS: Final = 60.0
"""Requests that come in waves fill the batch for the first half of it."""
TROUGH: Final = 0.9
"""Of the batch that is gone in the other half, at strength 1."""


class TruthMode(StrEnum):
    TRAINING = "Training"
    SERVING = "Serving"
    """Prefill and decode in one engine."""
    PREFILL = "Prefill"
    DECODE = "Decode"


class Fault(StrEnum):
    """Workload faults by the word used in flags and annotations."""

    NONE = "none"
    SMALL_BATCH = "small-batch"
    SLOW_LINK = "slow-link"
    COMMUNICATION = "communication"
    STARVED_INPUT = "starved-input"
    WRONG_PRECISION = "wrong-precision"
    THROTTLED_CLOCK = "throttled-clock"
    STRAGGLER = "straggler"
    LOW_CONCURRENCY = "low-concurrency"
    REQUEST_VARIABILITY = "request-variability"
    RECOMPUTE = "recompute"
    MEMORY_BOUND = "memory-bound"
    IDLE = "idle"


CAUSE_OF: Final[Mapping[Fault, Cause]] = {
    Fault.NONE: Cause.NONE,
    Fault.SMALL_BATCH: Cause.SMALL_BATCH,
    Fault.SLOW_LINK: Cause.COMMUNICATION,
    Fault.COMMUNICATION: Cause.COMMUNICATION,
    Fault.STARVED_INPUT: Cause.DATA_STARVATION,
    Fault.WRONG_PRECISION: Cause.PRECISION,
    Fault.THROTTLED_CLOCK: Cause.POWER_OR_THERMAL,
    Fault.STRAGGLER: Cause.STRAGGLER,
    Fault.LOW_CONCURRENCY: Cause.LOW_CONCURRENCY,
    Fault.REQUEST_VARIABILITY: Cause.REQUEST_VARIABILITY,
    Fault.RECOMPUTE: Cause.RECOMPUTE,
    Fault.MEMORY_BOUND: Cause.MEMORY_BOUND,
    Fault.IDLE: Cause.IDLE_ALLOCATION,
}


class InvalidPlan(ValueError):
    """A planted value cannot be simulated: `field` is the annotation, the message says what to write instead."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{PREFIX}{field}: {problem}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Truth:
    """The planted state of one workload. `mfu` is over the dense peak of the declared `precision`."""

    mfu: float
    fault: Fault = Fault.NONE
    strength: float = 1.0
    """0..1: how far the counters move from a healthy run's shape towards the faulty one's."""
    mode: TruthMode = TruthMode.TRAINING
    model: str = ""
    precision: Precision = Precision.BF16
    sequence_length: int = 4096
    input_tokens: int = 1024
    output_tokens: int = 256
    concurrency: int = 64
    load: float = 1.0
    """Serving: share of time in which the engine has requests to work on."""
    ttft_seconds: float = 0.2
    """Serving: mean time to the first token."""
    mbu: float | None = None
    """Serving: bandwidth really used, shown as DRAM activity; None keeps what was recorded."""
    flops_per_token: float | None = None
    """Overrides the frozen table (training: per trained token; serving: per output token, its prefill included)."""
    metric: str = TRAINING_METRIC
    """Name of the training counter; empty: the workload reports nothing."""
    total: bool = True
    """Every pod reports the whole workload's tokens (progress scope Total), else its own share (scope Pod)."""
    scattered_mfu: float | None = None
    """What it reaches instead, by a slow link, while its pods lie on several nodes; None: the same everywhere."""
    step_tokens: int = 0
    """The training counter moves once a step of so many tokens; 0: with every token."""

    def __post_init__(self) -> None:
        if not 0 <= self.mfu <= 1:
            raise InvalidPlan("mfu", f"{self.mfu:g} is not a fraction between 0 and 1")
        if not 0 < self.strength <= 1:
            raise InvalidPlan("strength", f"{self.strength:g} is not above 0 and at most 1")
        if not 0 < self.load <= 1:
            raise InvalidPlan("load", f"{self.load:g} is not above 0 and at most 1")
        if not 0 < self.ttft_seconds < 3600:
            raise InvalidPlan("ttft-seconds", f"{self.ttft_seconds:g} is not above 0 and below an hour")
        if self.scattered_mfu is not None and not 0 <= self.scattered_mfu <= 1:
            raise InvalidPlan("scattered-mfu", f"{self.scattered_mfu:g} is not a fraction between 0 and 1")
        if self.mbu is not None and not 0 < self.mbu <= 1:
            raise InvalidPlan("mbu", f"{self.mbu:g} is not above 0 and at most 1")
        if min(self.sequence_length, self.input_tokens, self.output_tokens, self.concurrency) < 1:
            raise InvalidPlan("sequence-length", "lengths and concurrency are at least 1")

    @property
    def scattered(self) -> Truth:
        """The same workload with its pods on several nodes: what they exchange goes over a slower link than NVLink."""
        if self.scattered_mfu is None:
            return self
        return replace(self, mfu=self.scattered_mfu, fault=Fault.SLOW_LINK, scattered_mfu=None)

    def running(self, seconds: float) -> int:
        """Requests in the engine's batch so many seconds after its start; in waves where they are planted.

        `Truth(0.1, Fault.REQUEST_VARIABILITY, concurrency=64).running(WAVE_SECONDS / 2) == 6`.
        """
        if self.fault is not Fault.REQUEST_VARIABILITY or seconds % WAVE_SECONDS < WAVE_SECONDS / 2:
            return self.concurrency
        return round(self.concurrency * (1 - TROUGH * self.strength))

    @property
    def cause(self) -> Cause:
        return CAUSE_OF[self.fault]

    @property
    def executed_precision(self) -> Precision:
        """What the tensor pipes really ran: a workload of the wrong precision declares one and runs fp32."""
        return Precision.FP32 if self.fault is Fault.WRONG_PRECISION else self.precision


IDLE: Final = Truth(0.0, Fault.IDLE)
"""A pod that holds GPUs and says nothing about what it does with them."""


def from_annotations(annotations: Mapping[str, str]) -> Truth:
    """The truth that a pod's annotations plant; a pod without an `mfu` annotation is idle. Raises InvalidPlan."""
    values = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    unknown = values.keys() - _READERS.keys()
    if unknown:
        raise InvalidPlan(min(unknown), f"no such setting; known are {', '.join(sorted(_READERS))}")
    if "mfu" not in values:
        return IDLE
    fields = {_field(name): _read(name, text) for name, text in values.items()}
    return Truth(**fields)  # type: ignore[arg-type]


def _field(name: str) -> str:
    return name.replace("-", "_")


def _read(name: str, text: str) -> object:
    try:
        return _READERS[name](text.strip())
    except (ValueError, KeyError) as error:
        raise InvalidPlan(name, f"{text!r} is not understood ({error})") from error


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "mfu": float,
    "fault": Fault,
    "strength": float,
    "mode": TruthMode,
    "model": str,
    "precision": Precision,
    "sequence-length": int,
    "input-tokens": int,
    "output-tokens": int,
    "concurrency": int,
    "load": float,
    "ttft-seconds": float,
    "mbu": float,
    "scattered-mfu": float,
    "flops-per-token": float,
    "metric": str,
    "total": _boolean,
    "step-tokens": int,
}
