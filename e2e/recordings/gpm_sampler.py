"""Readings of GPUs while something is measured on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Final


class Sampler:
    """GPM and NVML readings of some GPUs, every so many seconds, while measuring; NVLink's where there are several."""

    GPM: Final = (
        "GRAPHICS_UTIL",
        "SM_UTIL",
        "SM_OCCUPANCY",
        "INTEGER_UTIL",
        "ANY_TENSOR_UTIL",
        "HMMA_TENSOR_UTIL",
        "DRAM_BW_UTIL",
        "FP32_UTIL",
        "PCIE_TX_PER_SEC",
        "PCIE_RX_PER_SEC",
    )
    BETWEEN: Final = ("NVLINK_TOTAL_RX_PER_SEC", "NVLINK_TOTAL_TX_PER_SEC")

    def __init__(self, gpus: Sequence[int] = (0,)) -> None:
        import pynvml

        pynvml.nvmlInit()
        self.nvml = pynvml
        self.gpus = tuple(gpus)
        self.handles = [pynvml.nvmlDeviceGetHandleByIndex(each) for each in gpus]
        self.names = self.GPM + (self.BETWEEN if len(self.gpus) > 1 else ())
        name = pynvml.nvmlDeviceGetName(self.handles[0])
        self.name = name.decode() if isinstance(name, bytes) else name

    def during(self, stop: threading.Event, rows: list[dict[str, Any]], every_seconds: float = 1.0) -> None:
        """Appends a row a GPU; the first of several is 0, whatever its index is."""
        began, before = time.perf_counter(), [self._sample(each) for each in self.handles]
        while not stop.wait(every_seconds):
            for at, handle in enumerate(self.handles):
                after, seconds = self._sample(handle), round(time.perf_counter() - began, 2)
                rows.append({"t": seconds, "gpu": at, "gpm": self._between(before[at], after)} | self._now(handle))
                self.nvml.nvmlGpmSampleFree(before[at])
                before[at] = after
        for each in before:
            self.nvml.nvmlGpmSampleFree(each)

    def _now(self, handle: Any) -> dict[str, Any]:
        n = self.nvml
        used = n.nvmlDeviceGetUtilizationRates(handle)
        return {
            "gpu_util": used.gpu,
            "mem_util": used.memory,
            "power_w": n.nvmlDeviceGetPowerUsage(handle) / 1000,
            "sm_clock": n.nvmlDeviceGetClockInfo(handle, n.NVML_CLOCK_SM),
            "fb_used": n.nvmlDeviceGetMemoryInfo(handle).used,
            "events": n.nvmlDeviceGetCurrentClocksEventReasons(handle),
        }

    def _sample(self, handle: Any) -> Any:
        sample = self.nvml.nvmlGpmSampleAlloc()
        self.nvml.nvmlGpmSampleGet(handle, sample)
        return sample

    def _between(self, before: Any, after: Any) -> dict[str, float]:
        n = self.nvml
        ask = n.c_nvmlGpmMetricsGet_t()
        ask.version, ask.numMetrics = n.NVML_GPM_METRICS_GET_VERSION, len(self.names)
        ask.sample1, ask.sample2 = before, after
        for index, name in enumerate(self.names):
            ask.metrics[index].metricId = getattr(n, f"NVML_GPM_METRIC_{name}")
        n.nvmlGpmMetricsGet(ask)
        return {name: round(ask.metrics[index].value, 3) for index, name in enumerate(self.names)}
