"""Frozen values that describe hardware. Rates in FLOP/s and bytes/s per device as NVML sees it; None is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Precision(StrEnum):
    """Arithmetic precision, spelled as in the API (`spec.precision`)."""

    FP32 = "FP32"
    TF32 = "TF32"
    FP16 = "FP16"
    BF16 = "BF16"
    FP8 = "FP8"
    INT8 = "INT8"
    FP4 = "FP4"
    INT4 = "INT4"


BYTES_PER_VALUE: Mapping[Precision, float] = {
    Precision.FP32: 4.0,
    Precision.TF32: 4.0,
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    Precision.INT8: 1.0,
    Precision.FP4: 0.5,
    Precision.INT4: 0.5,
}


@dataclass(frozen=True, slots=True)
class GPU:
    """One product. `peaks` are dense FLOP/s; a precision that is absent has no tensor path and no known peak."""

    key: str
    vendor: str
    architecture: str
    name: str
    api_name: str
    form_factor: str
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    peaks: Mapping[Precision, float]
    sm_count: int | None
    tensor_flops_per_clock_per_sm: float | None
    reference_clock_mhz: float | None
    max_clock_mhz: float | None
    nvlink_bytes_per_s: float | None
    """One direction, all links of one GPU together (datasheets print both directions)."""
    pcie_bytes_per_s: float | None
    """One direction, theoretical."""
    nvlink_domain_gpus: int
    """GPUs that share one NVLink/NVSwitch/Infinity Fabric domain in the usual server (1 where there is none)."""
    tdp_watts: float | None
    mig_max_instances: int
    gpm: bool
    unverified: frozenset[str] = frozenset()

    def __hash__(self) -> int:
        # `peaks` is a mapping, and the key is unique in the catalog: predictions are cached by device.
        return hash(self.key)

    def peak_flops_per_s(self, precision: Precision) -> float | None:
        """Dense peak at that precision, None where the product has none or it is not known."""
        return self.peaks.get(precision)

    @property
    def observable(self) -> bool:
        """Whether its telemetry is understood; the others are predicted only."""
        return self.vendor == "NVIDIA"

    @property
    def reference_peak_flops_per_s(self) -> float | None:
        """Dense 16-bit peak: the denominator of reference MFU and of every node and fleet figure."""
        return self.peaks.get(Precision.BF16) or self.peaks.get(Precision.FP16)


@dataclass(frozen=True, slots=True)
class MIGProfile:
    """One MIG shape of one product; `sm_fraction` (not slices/7) scales the peak of the whole GPU."""

    gpu_key: str
    name: str
    compute_slices: int
    memory_slices: int
    memory_slices_total: int
    memory_bytes: float
    sm_count: int | None
    sm_fraction: float
    max_instances: int
    placement_starts: tuple[int, ...]
    placement_size: int


@dataclass(frozen=True, slots=True)
class Device:
    """What a workload computes on: a whole GPU, or a MIG slice of one with peak, bandwidth and memory scaled."""

    gpu: GPU
    mig: MIGProfile | None = None
    shared: bool = False
    """Time-sliced or MPS: attribution to one pod is not possible."""

    @property
    def label(self) -> str:
        return self.gpu.api_name if self.mig is None else f"{self.gpu.api_name}-MIG-{self.mig.name}"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Measured best matrix-product rate as a share of the dense peak."""

    gpu_key: str
    precision: Precision
    fraction: float
    source: str


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A name that no product matches: MFU is unknown; `nearest` helps a person mend a typo."""

    name: str
    nearest: tuple[str, ...] = field(default=())
