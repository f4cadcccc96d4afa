"""Readings of a healthy data-parallel job, to be spoiled by tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.observe.readings import METRICS, Counter, Floats, GPUIdentity, GPUKey, Metric, ProgressReading, WorkloadSeries
from mfu.predict import model_flops_per_token
from mfu.predict.types import Parallelism, Precisions, Setup, Training
from mfu.workload.architecture import Architecture

CATALOG = load()
H100 = Device(CATALOG.gpus["h100-sxm5-80gb"])
PEAK = 989.4e12
GPT = Architecture("gpt", 24, 2048, 16, 16, 128, 8192, 50304, gated_ffn=False)
NOW = 600.0


def job(**changes: Any) -> Training:
    fields: dict[str, Any] = {
        "architecture": GPT,
        "precisions": Precisions(),
        "sequence_length": 2048,
        "global_batch_size": 16,
        "micro_batch_size": 8,
        "parallelism": Parallelism(data=2),
    }
    return Training(**(fields | changes))


HEALTHY = {
    Metric.TENSOR_ACTIVE: 0.648,
    Metric.SM_ACTIVE: 0.945,
    Metric.SM_OCCUPANCY: 0.29,
    Metric.DRAM_ACTIVE: 0.262,
    Metric.GR_ENGINE_ACTIVE: 0.999,
    Metric.GPU_UTIL: 1.0,
    Metric.SM_CLOCK: 1541e6,
    Metric.POWER: 693.0,
    Metric.FB_USED: 60e9,
    Metric.CLOCK_EVENTS: 4.0,
}
"""The healthy data-parallel H200 recording: 49.6 % MFU counted."""


def table(seconds: float = 600, devices: float = 2, every: float = 1.0, **changes: float) -> Floats:
    rows = np.full((int(seconds / every), int(devices), METRICS), np.nan)
    for metric, value in (HEALTHY | {Metric[name]: value for name, value in changes.items()}).items():
        rows[..., metric] = value
    return rows


def recent(values: Floats, *, progress: tuple[ProgressReading, ...] = (), interval: float = 1.0) -> WorkloadSeries:
    devices = tuple(
        GPUIdentity(GPUKey(f"GPU-{i}"), "NVIDIA H100 80GB HBM3", index=str(i)) for i in range(values.shape[1])
    )
    times = NOW - interval * np.arange(len(values), dtype=np.float64)[::-1]
    return WorkloadSeries(devices, times, values, interval, progress, ("test",))


def reports(mfu: float, setup: Setup, seconds: int = 600, gpus: int = 2) -> tuple[ProgressReading, ...]:
    """What a job at that MFU reports."""
    per_second = mfu * gpus * PEAK / model_flops_per_token(setup)
    return tuple(
        ProgressReading("ns", "pod", "report", NOW - seconds + t, {Counter.TRAINED_TOKENS: per_second * t}, {}, True)
        for t in range(0, seconds + 1, 5)
    )
