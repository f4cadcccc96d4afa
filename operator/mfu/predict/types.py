"""Frozen values in and out of the performance model. Seconds, bytes, FLOP/s; MFU, HFU and MBU are fractions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mfu.api.inference import Phase
from mfu.api.runtime import AttentionKernel, Compilation, FusedKernels
from mfu.api.training import Method, Optimizer, Recompute, Sharding
from mfu.hardware.problem import Problem
from mfu.hardware.types import Device, Precision
from mfu.workload.architecture import Architecture


class Scale(StrEnum):
    """What a mode is judged on."""

    MFU = "MFU"
    MBU = "MBU"

    def of(self, *, mfu: float | None, mbu: float | None) -> float | None:
        """The one of the two that is judged: `Scale.MBU.of(mfu=0.02, mbu=0.8) == 0.8`."""
        return mbu if self is Scale.MBU else mfu


__all__ = [
    "Attainable",
    "AttentionKernel",
    "Change",
    "Compilation",
    "Correction",
    "Corrections",
    "Doubt",
    "FusedKernels",
    "Inference",
    "Loss",
    "Memory",
    "Method",
    "Optimizer",
    "Parallelism",
    "Phase",
    "Placement",
    "Precisions",
    "Prediction",
    "Problem",
    "Recompute",
    "Scale",
    "Setup",
    "Sharding",
    "Training",
    "Tunable",
]


@dataclass(frozen=True, slots=True)
class Precisions:
    compute: Precision = Precision.BF16
    weights: Precision = Precision.BF16
    kv_cache: Precision = Precision.BF16
    gradients: Precision | None = None
    """None here and below takes the engine's habit."""
    master_weights: Precision | None = None
    optimizer_state: Precision | None = None
    logits: Precision | None = None


@dataclass(frozen=True, slots=True)
class Parallelism:
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    data: int = 1
    expert: int = 1
    virtual_pipeline: int = 1


@dataclass(frozen=True, slots=True)
class Training:
    """One training job as declared. GPUs = tensor · pipeline · context · data."""

    architecture: Architecture
    precisions: Precisions
    sequence_length: int
    global_batch_size: int
    micro_batch_size: int
    parallelism: Parallelism
    sharding: Sharding = Sharding.ZERO1
    recompute: Recompute = Recompute.NONE
    optimizer: Optimizer = Optimizer.ADAMW
    method: Method = Method.FULL
    total_tokens: float | None = None
    engine: str | None = None
    compiled: bool | None = None
    """torch.compile, CUDA graphs or hand-fused kernels; None takes the engine's habit."""
    compilation: Compilation | None = None
    """None here and below takes the engine's habit."""
    attention: AttentionKernel | None = None
    fused_kernels: FusedKernels | None = None
    dispatched_once: bool | None = None
    """Whether a token goes once to all of its experts on one GPU (DeepEP), as None takes it, or once to each (a plain
    all-to-all)."""
    looped_experts: bool | None = None
    """Experts one after the other and not in grouped products; None takes the default of the engine's release."""
    fused_optimizer: bool | None = None
    """One kernel over all states, or one for each operation of the update; None takes the engine's habit."""
    engine_version: str | None = None
    """None takes the engine as it is today."""


@dataclass(frozen=True, slots=True)
class Inference:
    """One replica of a serving workload as declared. GPUs = tensor · pipeline (· data for attention-DP engines)."""

    architecture: Architecture
    precisions: Precisions
    phase: Phase
    input_tokens: float
    output_tokens: float
    concurrency: float | None
    parallelism: Parallelism
    max_batch_tokens: int | None = None
    input_tokens_p95: float | None = None
    output_tokens_p95: float | None = None
    ttft_limit_seconds: float | None = None
    tpot_limit_seconds: float | None = None
    engine: str | None = None
    compilation: Compilation | None = None
    """None here and below takes the engine's habit."""
    attention: AttentionKernel | None = None
    fused_kernels: FusedKernels | None = None
    engine_version: str | None = None
    """None takes the engine as it is today."""


Setup = Training | Inference


@dataclass(frozen=True, slots=True)
class Placement:
    """Where it runs. `device` decides peak, memory and NVLink; the rest says how GPUs reach each other."""

    device: Device
    gpus: int
    gpus_per_node: int = 8
    nvlink: bool | None = None
    """False: GPUs of one node talk over PCIe though the product has NVLink. None: as the product."""
    inter_node_bytes_per_s: float | None = None
    """One direction per GPU; None takes the usual fabric of the product's generation."""
    inter_node: str | None = None
    power_limit_watts: float | None = None
    """The lowest limit that is in force on its GPUs; None where nobody told of one below the product's own."""
    host_pace: float | None = None
    """Time of an operation on its hosts over that on the host where operations were counted; None takes the mean."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One named part of the waterfall: `fraction` of peak lost, `seconds` of the step it takes."""

    name: str
    fraction: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Worst pipeline stage, per GPU. `advice` names the nearest change that fits when it does not."""

    terms: Mapping[str, float]
    total_bytes: float
    capacity_bytes: float
    advice: str | None = None
    usable: float = 1.0
    """Share of the capacity that a prediction may fill: what it errs by is left free."""

    @property
    def fits(self) -> bool:
        """One answer for everybody: what predict calls fitting, plan offers, and what it does not, nobody offers."""
        return self.total_bytes <= self.capacity_bytes * self.usable

    @property
    def largest_term(self) -> str:
        return max(self.terms, key=lambda name: self.terms[name])


@dataclass(frozen=True, slots=True)
class Doubt:
    """Standard deviations of log(measured / predicted): `shared` by all runs of the stack, `own` to each."""

    shared: float = 0.0
    own: float = 0.0
    tail: float = 1.0
    """What the low end of the band is multiplied by, for losses that hit a job or do not: exchanges that stall, a
    network that nobody described."""

    @property
    def total(self) -> float:
        return math.hypot(self.shared, self.own)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a setup should reach. `mfu` + Σ waterfall fractions = 1 exactly. Rates are per GPU."""

    mfu: float
    reference_mfu: float
    hfu: float
    mbu: float | None
    scale: Scale
    low: float
    high: float
    """The 80 % band of the value that `scale` names."""
    step_seconds: float
    """One optimizer step, or one decode step / one prefill of a batch."""
    tokens_per_s_per_gpu: float
    """Training: trained tokens. Inference: output tokens, input tokens for phase Prefill."""
    input_tokens_per_s_per_gpu: float | None
    flops_per_token: float
    waterfall: tuple[Loss, ...]
    memory: Memory
    bound: str
    """What sets the pace: Compute, Memory, Communication, Host."""
    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    concurrency: float | None = None
    prompt_share: float | None = None
    """Inference: part of a step's time that prompts take beside the tokens that are written, 0 to 1."""
    notes: tuple[str, ...] = ()
    doubt: Doubt = Doubt()

    @property
    def judged(self) -> float | None:
        """MFU, or MBU where that is the scale."""
        return self.scale.of(mfu=self.mfu, mbu=self.mbu)


class Tunable(StrEnum):
    MICRO_BATCH = "MicroBatch"
    RECOMPUTE = "Recompute"
    LAYOUT = "Layout"
    PRECISION = "Precision"
    CONCURRENCY = "Concurrency"
    PRODUCT = "Product"


@dataclass(frozen=True, slots=True)
class Change:
    """One step from the declared setting towards the attainable one; `gain` is tokens/s as a fraction of declared."""

    field: str
    before: str
    after: str
    gain: float
    gain_points: float
    """In points of the workload's scale (MFU, or MBU for decode), as a fraction."""
    setting: Setup
    """With this step made, on top of those before it."""


@dataclass(frozen=True, slots=True)
class Attainable:
    prediction: Prediction
    setup: Setup
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Correction:
    """Learned multiplier on predicted speed for one (product, stack, mode); bounded, with its own uncertainty."""

    factor: float = 1.0
    relative_sd: float = 0.0
    observations: int = 0


@dataclass(frozen=True, slots=True)
class Corrections:
    """Online calibration state, keyed "product/engine/mode"; empty means shipped constants only."""

    by_key: Mapping[str, Correction] = field(default_factory=dict)
