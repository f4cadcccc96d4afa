"""Readings of one GPU while something is measured on it."""

from __future__ import annotations

import threading
import time
from typing import Any, Final


class Sampler:
    """GPM and NVML readings of the first GPU, every so many seconds, while measuring."""

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

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self.nvml = pynvml
        self.handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        name = pynvml.nvmlDeviceGetName(self.handle)
        self.name = name.decode() if isinstance(name, bytes) else name

    def during(self, stop: threading.Event, rows: list[dict[str, Any]], every_seconds: float = 1.0) -> None:
        n, began = self.nvml, time.perf_counter()
        before = self._sample()
        while not stop.wait(every_seconds):
            after = self._sample()
            rows.append({"t": round(time.perf_counter() - began, 2), "gpu": 0, "gpm": self._between(before, after)})
            used = n.nvmlDeviceGetUtilizationRates(self.handle)
            rows[-1] |= {
                "gpu_util": used.gpu,
                "mem_util": used.memory,
                "power_w": n.nvmlDeviceGetPowerUsage(self.handle) / 1000,
                "sm_clock": n.nvmlDeviceGetClockInfo(self.handle, n.NVML_CLOCK_SM),
                "fb_used": n.nvmlDeviceGetMemoryInfo(self.handle).used,
                "events": n.nvmlDeviceGetCurrentClocksEventReasons(self.handle),
            }
            n.nvmlGpmSampleFree(before)
            before = after
        n.nvmlGpmSampleFree(before)

    def _sample(self) -> Any:
        sample = self.nvml.nvmlGpmSampleAlloc()
        self.nvml.nvmlGpmSampleGet(self.handle, sample)
        return sample

    def _between(self, before: Any, after: Any) -> dict[str, float]:
        n = self.nvml
        ask = n.c_nvmlGpmMetricsGet_t()
        ask.version, ask.numMetrics = n.NVML_GPM_METRICS_GET_VERSION, len(self.GPM)
        ask.sample1, ask.sample2 = before, after
        for index, name in enumerate(self.GPM):
            ask.metrics[index].metricId = getattr(n, f"NVML_GPM_METRIC_{name}")
        n.nvmlGpmMetricsGet(ask)
        return {name: round(ask.metrics[index].value, 3) for index, name in enumerate(self.GPM)}
