"""What the diagnosis looks at: means and spreads per device, computed once. Fractions, bytes/s, Hz; NaN is unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mfu.observe.readings import Floats, Metric, WorkloadSeries

NVLINK_YIELD: Final = 0.70
"""Share of NVLink's rate that a ring all-reduce reaches (NCCL bus bandwidth of 300 to 330 GB/s on 450 GB/s Hopper)."""
PCIE_YIELD: Final = 0.62
"""Share of PCIe's rate that traffic through host memory reaches: 40 of 63 GB/s in the recorded `-pcie` runs."""
EDGE: Final = 0.8
"""Share of the usual activity below which the first or last second is only touched by the run."""
LATE: Final = 0.1
"""Share of an interval by which a row may be written late and still belong to the run."""
LEAST_ROWS: Final = 3
NOT_YET: Final = 0.2
"""Share below which the run has not begun, or is over."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One window of one workload. `mean` and `sd` are [devices, METRICS]; `samples` rows were measured."""

    mean: Floats
    sd: Floats
    first: Floats
    last: Floats
    overall: tuple[float, ...]
    """Mean over devices, per metric."""
    active: Floats
    """Share of time with work on the GPU, per device: graphics engine activity, else NVML utilisation."""
    working: float
    """Mean of `active`; NaN unknown."""
    names: tuple[str, ...]
    samples: int
    seconds: float
    nvlink_bytes_per_s: float | None
    pcie_bytes_per_s: float | None

    @property
    def devices(self) -> int:
        return int(self.mean.shape[0])

    def of(self, metric: Metric) -> Floats:
        """Mean of one metric per device."""
        return self.mean[:, metric]

    def average(self, metric: Metric) -> float:
        """Mean over the devices that know it; NaN where none does."""
        return self.overall[metric]

    @property
    def idle(self) -> float:
        """Mean share of time with nothing on the GPU; NaN unknown."""
        return 1 - self.working

    def busy(self, metric: Metric) -> float:
        """A pipe's activity while anything runs at all: its mean over the active share."""
        return self.overall[metric] / self.working if self.working > 0 else float("nan")

    @property
    def unfilled(self) -> Floats:
        """Share of active time with empty SMs, per device: 0.04 in healthy training, 0.69 spinning in collectives."""
        active = self.active
        with_work = np.where(active > 0, active, np.nan)
        return np.asarray(np.maximum(0.0, 1 - self.of(Metric.SM_ACTIVE) / with_work), dtype=np.float64)

    @property
    def nvlink(self) -> float:
        """Busier direction of NVLink traffic, bytes/s, mean over devices; NaN unknown."""
        return float(np.fmax(self.overall[Metric.NVLINK_RX], self.overall[Metric.NVLINK_TX]))

    @property
    def pcie(self) -> float:
        """Busier direction of PCIe traffic, bytes/s, mean over devices; NaN unknown."""
        return float(np.fmax(self.overall[Metric.PCIE_RX], self.overall[Metric.PCIE_TX]))

    @property
    def pcie_both_ways(self) -> float:
        """Quieter direction: collectives send as much as they receive, batches only come in."""
        return float(np.minimum(self.overall[Metric.PCIE_RX], self.overall[Metric.PCIE_TX]))

    @property
    def link_share(self) -> tuple[str, float]:
        """Fabric that is busiest and the share of time its traffic takes at the rate collectives reach on it."""
        shares = {
            "NVLink": _ratio(self.nvlink, self.nvlink_bytes_per_s, NVLINK_YIELD),
            "PCIe": _ratio(self.pcie_both_ways, self.pcie_bytes_per_s, PCIE_YIELD),
        }
        fabric = max(shares, key=lambda name: shares[name])
        return fabric, min(1.0, shares[fabric])


def trimmed(series: WorkloadSeries, run_seconds: float | None = None) -> WorkloadSeries:
    """A finished recording without the rows that the run only touches.

    Where its length is told: the rows that lie wholly inside. Else its last row goes, which is seldom a whole one,
    whatever is in it: choosing by what a row shows would take idle seconds out of runs that have them. Rows before and
    after a run go by what they show only where the run itself never pauses.
    """
    if run_seconds is not None and series.times.size:
        rows = slice(0, int((series.times <= run_seconds + LATE * series.interval_seconds).sum()))
    else:
        rows = slice(*_inside(series.values))
    if rows.stop - rows.start < LEAST_ROWS:
        return series
    return replace(series, times=series.times[rows], values=series.values[rows])


def gather(series: WorkloadSeries, *, nvlink: float | None, pcie: float | None) -> Evidence:
    """Means and spreads of a series [T, devices, METRICS]; links are the product's rates in one direction."""
    values, times = series.values, series.times
    seconds = float(times[-1] - times[0]) + series.interval_seconds if times.size else 0.0
    empty = np.full(values.shape[1:], np.nan)
    mean = _nan_mean(values)
    engine = mean[:, Metric.GR_ENGINE_ACTIVE]
    active = np.where(np.isfinite(engine), engine, mean[:, Metric.GPU_UTIL])
    return Evidence(
        mean=mean,
        sd=np.sqrt(_nan_mean((values - mean) ** 2)),
        overall=tuple(_nan_mean(mean).tolist()),
        active=active,
        working=mean_or_nan(active),
        first=values[0] if times.size else empty,
        last=values[-1] if times.size else empty,
        names=tuple(each.index or each.key.uuid for each in series.devices),
        samples=int(times.size),
        seconds=seconds,
        nvlink_bytes_per_s=nvlink,
        pcie_bytes_per_s=pcie,
    )


def _inside(values: Floats) -> tuple[int, int]:
    """First and one past the last row to keep."""
    whole = 0, values.shape[0] - 1
    busy = _nan_mean(np.swapaxes(values[:, :, Metric.SM_ACTIVE], 0, 1))
    typical = float(np.nanquantile(busy, 0.75)) if np.isfinite(busy).any() else 0.0
    running = np.flatnonzero(~(busy < NOT_YET * typical))
    if not running.size:
        return whole
    start, end = int(running[0]), int(running[-1]) + 1
    start += bool(busy[start] < EDGE * typical)
    end -= bool(busy[end - 1] < EDGE * typical)
    steady = end > start and not (busy[start:end] < EDGE * typical).any()
    return (start, min(end, whole[1])) if steady else whole


def mean_or_nan(values: Floats) -> float:
    """Mean of the finite values, NaN without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _ratio(traffic: float, limit: float | None, reached: float) -> float:
    if not np.isfinite(traffic) or not limit:
        return 0.0
    return traffic / (limit * reached)


def _nan_mean(values: Floats) -> Floats:
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
