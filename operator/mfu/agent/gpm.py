"""GPM: averages of pipe and link activity between two samples of one GPU or one MIG GPU instance (Hopper and later).

A sample costs the driver 0.2 ms, but working out 16 averages from two of them 2 ms (H100 and H200, driver 580): samples
are taken at every pass and averages worked out for a scrape, over the whole window at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pynvml

from mfu.agent.nvml import GPULost, NVMLUnavailable, ask, need
from mfu.observe.metric import Metric
from mfu.units import MIB

_PERCENT: Final = 0.01
FIELDS: Final[Mapping[int, tuple[Metric, float]]] = {
    pynvml.NVML_GPM_METRIC_GRAPHICS_UTIL: (Metric.GR_ENGINE_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_SM_UTIL: (Metric.SM_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_SM_OCCUPANCY: (Metric.SM_OCCUPANCY, _PERCENT),
    pynvml.NVML_GPM_METRIC_INTEGER_UTIL: (Metric.INTEGER_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL: (Metric.TENSOR_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_DFMA_TENSOR_UTIL: (Metric.DFMA_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_HMMA_TENSOR_UTIL: (Metric.HMMA_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_IMMA_TENSOR_UTIL: (Metric.IMMA_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL: (Metric.DRAM_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_FP64_UTIL: (Metric.FP64_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_FP32_UTIL: (Metric.FP32_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_FP16_UTIL: (Metric.FP16_ACTIVE, _PERCENT),
    pynvml.NVML_GPM_METRIC_PCIE_TX_PER_SEC: (Metric.PCIE_TX, MIB),
    pynvml.NVML_GPM_METRIC_PCIE_RX_PER_SEC: (Metric.PCIE_RX, MIB),
    pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC: (Metric.NVLINK_RX, MIB),
    pynvml.NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC: (Metric.NVLINK_TX, MIB),
}
"""GPM metric id → column and factor to its unit (NVML gives percent and MiB/s)."""
INSTANCE_FIELDS: Final = {
    number: column for number, column in FIELDS.items() if column[0] not in (Metric.PCIE_TX, Metric.PCIE_RX)
}
"""Bus traffic is the whole GPU's, not a slice's."""


@dataclass(slots=True)
class _Sample:
    at: float
    buffer: Any


@dataclass(slots=True)
class Gpm:
    """Samples of one device: the newest, and a few older ones, half a window apart, to average from.

    `averages` covers at least `window_seconds` and at most half a window and a pass more, once that long has passed.
    """

    handle: Any
    instance: int | None = None
    window_seconds: float = 15.0
    _bases: list[_Sample] = field(default_factory=list)
    _newest: _Sample | None = None
    _request: Any = None
    _known: tuple[float, dict[Metric, float]] | None = None

    def sample(self, now: float) -> None:
        """Raises GPULost, NVMLUnavailable, Missing (slice gone)."""
        target = self._newest = self._free(now)
        if self.instance is None:
            need(pynvml.nvmlGpmSampleGet, self.handle, target.buffer)
        else:
            need(pynvml.nvmlGpmMigSampleGet, self.handle, self.instance, target.buffer)
        target.at = now

    def _free(self, now: float) -> _Sample:
        """A buffer that no average will need: the newest one's, unless it is to become a base."""
        newest, bases = self._newest, self._bases
        if newest is None:
            return _Sample(now, need(pynvml.nvmlGpmSampleAlloc))
        if bases and newest.at - bases[-1].at < self.window_seconds / 2:
            return newest
        bases.append(newest)
        spare = len(bases) > 1 and now - bases[1].at >= self.window_seconds
        return bases.pop(0) if spare else _Sample(now, need(pynvml.nvmlGpmSampleAlloc))

    def averages(self) -> dict[Metric, float]:
        """Over the window, or what there is of it; empty at first. Raises GPULost, NVMLUnavailable, Missing."""
        newest = self._newest
        if newest is None or not self._bases:
            return {}
        if self._known is None or self._known[0] != newest.at:
            self._known = (newest.at, self._worked_out(self._base(newest.at), newest))
        return self._known[1]

    def _base(self, now: float) -> _Sample:
        old_enough = [each for each in self._bases if now - each.at >= self.window_seconds]
        return old_enough[-1] if old_enough else self._bases[0]

    def close(self) -> None:
        """Give the buffers back to the driver's library."""
        held = [*self._bases, *([self._newest] if self._newest else [])]
        for sample in {id(each): each for each in held}.values():
            # The driver that knew the sample may be gone, and the sample with it.
            with suppress(GPULost, NVMLUnavailable):
                ask(pynvml.nvmlGpmSampleFree, sample.buffer)
        self._bases.clear()
        self._newest = self._known = None

    def _worked_out(self, older: _Sample, newer: _Sample) -> dict[Metric, float]:
        request = self._asked()
        request.sample1, request.sample2 = older.buffer, newer.buffer
        need(pynvml.nvmlGpmMetricsGet, request)
        found: dict[Metric, float] = {}
        for position in range(request.numMetrics):
            answer = request.metrics[position]
            # The call succeeds even where single metrics fail, and NaN is how the driver says blank.
            if answer.nvmlReturn == pynvml.NVML_SUCCESS and math.isfinite(answer.value):
                metric, factor = FIELDS[answer.metricId]
                found[metric] = answer.value * factor
        return found

    def _asked(self) -> Any:
        if self._request is None:
            fields = FIELDS if self.instance is None else INSTANCE_FIELDS
            request = self._request = pynvml.c_nvmlGpmMetricsGet_t()
            request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(fields)
            for position, number in enumerate(fields):
                request.metrics[position].metricId = number
        return self._request
