"""Readings that contradict themselves: the source is at fault, not the GPU, and the numbers are unknown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.catalog import load
from mfu.hardware.types import Unmatched
from mfu.observe.readings import Floats, GPUIdentity, Metric

PROFILING_COLUMNS: Final = np.array([int(metric) for metric in Metric if metric <= Metric.DFMA_ACTIVE], dtype=np.intp)
"""Columns that only the profiling module (or GPM) fills."""
_BUSY_POWER: Final = 0.5
_BUSY_UTILISATION: Final = 0.9


@lru_cache(maxsize=1024)
def tdp_watts(product_name: str) -> float | None:
    """Board power of the product, None when the name matches none."""
    device = load().resolve(product_name)
    return None if isinstance(device, Unmatched) else device.gpu.tdp_watts


def tdps(devices: Sequence[GPUIdentity]) -> Floats:
    return np.array([tdp_watts(device.product_name) or np.nan for device in devices], dtype=np.float64)


def stuck_profiling(values: Floats, tdp: Floats, devices: Sequence[GPUIdentity]) -> NDArray[np.bool_]:
    """Rows whose profiling counters read zero for ever, as they do after an XID 31 (DCGM issue 303).

    A GPU that draws more than half its TDP, or that NVML sees busy, cannot have both tensor and SM activity at
    exactly 0. Where SM activity is not exported, graphics-engine activity takes its place. A MIG slice draws its
    parent's power, so it counts only when all slices of the GPU read zero.
    """
    tensor, streaming, graphics = (
        values[:, metric] for metric in (Metric.TENSOR_ACTIVE, Metric.SM_ACTIVE, Metric.GR_ENGINE_ACTIVE)
    )
    any_work = np.where(np.isnan(streaming), graphics, streaming)
    zero = (tensor == 0) & (any_work == 0) & ~(graphics > 0) & ~(values[:, Metric.DRAM_ACTIVE] > 0)
    limit = np.where(np.isnan(tdp), values[:, Metric.POWER_LIMIT], tdp)
    busy = (values[:, Metric.POWER] > _BUSY_POWER * limit) | (values[:, Metric.GPU_UTIL] > _BUSY_UTILISATION)
    stuck: NDArray[np.bool_] = zero & busy
    if not stuck.any():
        return stuck
    working = {
        devices[row].key.uuid for row in np.flatnonzero(any_work > 0).tolist() if devices[row].key.instance is not None
    }
    for row in np.flatnonzero(stuck).tolist():
        stuck[row] = devices[row].key.instance is None or devices[row].key.uuid not in working
    return stuck


def erase_stuck(values: Floats, tdp: Floats, devices: Sequence[GPUIdentity]) -> tuple[Floats, int]:
    """Values with the profiling columns of stuck rows unknown, and how many rows that were."""
    stuck = stuck_profiling(values, tdp, devices)
    count = int(stuck.sum())
    if not count:
        return values, 0
    cleaned = values.copy()
    cleaned[np.ix_(np.flatnonzero(stuck), PROFILING_COLUMNS)] = np.nan
    return cleaned, count
