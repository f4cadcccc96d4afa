"""GPM: averages of pipe and link activity between two samples of one GPU or one MIG GPU instance (Hopper and later)."""

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
class Gpm:
    """Two sample buffers of one device, used in turn. `close()` gives them back to the driver library."""

    handle: Any
    instance: int | None = None
    _samples: list[Any] = field(default_factory=list)
    _filled: int = 0
    _request: Any = None

    def read(self) -> dict[Metric, float]:
        """Averages since the last call; empty at the first. Raises GPULost, NVMLUnavailable, Missing (slice gone)."""
        if not self._samples:
            self._allocate()
        newest = self._samples[self._filled % 2]
        if self.instance is None:
            need(pynvml.nvmlGpmSampleGet, self.handle, newest)
        else:
            need(pynvml.nvmlGpmMigSampleGet, self.handle, self.instance, newest)
        self._filled += 1
        return self._averages(self._samples[self._filled % 2], newest) if self._filled > 1 else {}

    def close(self) -> None:
        for sample in self._samples:
            # The driver that knew the sample may be gone, and the sample with it.
            with suppress(GPULost, NVMLUnavailable):
                ask(pynvml.nvmlGpmSampleFree, sample)
        self._samples.clear()
        self._filled = 0

    def _allocate(self) -> None:
        for _ in range(2):
            self._samples.append(need(pynvml.nvmlGpmSampleAlloc))
        fields = FIELDS if self.instance is None else INSTANCE_FIELDS
        request = self._request = pynvml.c_nvmlGpmMetricsGet_t()
        request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(fields)
        for position, number in enumerate(fields):
            request.metrics[position].metricId = number

    def _averages(self, older: Any, newer: Any) -> dict[Metric, float]:
        request = self._request
        request.sample1, request.sample2 = older, newer
        need(pynvml.nvmlGpmMetricsGet, request)
        found: dict[Metric, float] = {}
        for position in range(request.numMetrics):
            answer = request.metrics[position]
            # The call succeeds even where single metrics fail, and NaN is how the driver says blank.
            if answer.nvmlReturn == pynvml.NVML_SUCCESS and math.isfinite(answer.value):
                metric, factor = FIELDS[answer.metricId]
                found[metric] = answer.value * factor
        return found
