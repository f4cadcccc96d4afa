"""Recorded runs, one JSON object a line, as the H200 traces have them: NVML and GPM rows of every GPU, once a second.

A row holds `t` seconds, `gpu` index, `gpm` (NVML GPM metrics by their NVML names: percent; links in MiB/s) and NVML's
`gpu_util`, `mem_util` (percent), `power_w`, `sm_clock` (MHz), `fb_used` (bytes), `events` (clock-event bit mask).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np

from mfu.observe.readings import METRICS, Floats, GPUIdentity, GPUKey, GPURound, Metric, SourceState, WorkloadSeries
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.rounds.blanks import blank_to_nan, impossible_to_nan
from mfu.units import MIB

_PERCENT: Final = 0.01
GPM: Final[Mapping[str, tuple[Metric, float]]] = {
    "GRAPHICS_UTIL": (Metric.GR_ENGINE_ACTIVE, _PERCENT),
    "SM_UTIL": (Metric.SM_ACTIVE, _PERCENT),
    "SM_OCCUPANCY": (Metric.SM_OCCUPANCY, _PERCENT),
    "INTEGER_UTIL": (Metric.INTEGER_ACTIVE, _PERCENT),
    "ANY_TENSOR_UTIL": (Metric.TENSOR_ACTIVE, _PERCENT),
    "HMMA_TENSOR_UTIL": (Metric.HMMA_ACTIVE, _PERCENT),
    "IMMA_TENSOR_UTIL": (Metric.IMMA_ACTIVE, _PERCENT),
    "DFMA_TENSOR_UTIL": (Metric.DFMA_ACTIVE, _PERCENT),
    "DRAM_BW_UTIL": (Metric.DRAM_ACTIVE, _PERCENT),
    "FP64_UTIL": (Metric.FP64_ACTIVE, _PERCENT),
    "FP32_UTIL": (Metric.FP32_ACTIVE, _PERCENT),
    "FP16_UTIL": (Metric.FP16_ACTIVE, _PERCENT),
    "PCIE_RX_PER_SEC": (Metric.PCIE_RX, MIB),
    "PCIE_TX_PER_SEC": (Metric.PCIE_TX, MIB),
    "NVLINK_TOTAL_RX_PER_SEC": (Metric.NVLINK_RX, MIB),
    "NVLINK_TOTAL_TX_PER_SEC": (Metric.NVLINK_TX, MIB),
}
"""NVML GPM name → column and factor to its unit."""
NVML: Final[Mapping[str, tuple[Metric, float]]] = {
    "gpu_util": (Metric.GPU_UTIL, _PERCENT),
    "mem_util": (Metric.MEM_UTIL, _PERCENT),
    "power_w": (Metric.POWER, 1.0),
    "sm_clock": (Metric.SM_CLOCK, 1e6),
    "fb_used": (Metric.FB_USED, 1.0),
    "events": (Metric.CLOCK_EVENTS, 1.0),
}
"""Key of a row → column and factor to its unit."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One recorded run: its readings, and every other field of the line as it stands."""

    scenario: str
    series: WorkloadSeries
    facts: Mapping[str, Any]


def load(path: Path) -> Iterator[Trace]:
    """Traces of a file, one a line. Raises TelemetryError with the line's number where one cannot be read."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield parse(line, where=f"{path.name}:{number}")


def parse(line: str, *, where: str = "trace") -> Trace:
    """One line as a Trace. Rows of a step share the mean of their times; a reading that is no number is NaN."""
    try:
        row = json.loads(line)
        facts = {name: value for name, value in row.items() if name != "series"}
        return Trace(str(row["scenario"]), _series(row), facts)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        fix = "give one JSON object a line with scenario, gpu and series"
        raise TelemetryError(where, f"is no recorded run ({error})", fix) from error


def _series(row: Mapping[str, Any]) -> WorkloadSeries:
    by_gpu: dict[int, list[Mapping[str, Any]]] = {}
    for reading in row["series"]:
        by_gpu.setdefault(int(reading["gpu"]), []).append(reading)
    gpus = sorted(by_gpu)
    for gpu in gpus:
        by_gpu[gpu].sort(key=_time)
    steps = max((len(readings) for readings in by_gpu.values()), default=0)
    times, values = np.full((steps, len(gpus)), np.nan), np.full((steps, len(gpus), METRICS), np.nan)
    for column, gpu in enumerate(gpus):
        for step, reading in enumerate(by_gpu[gpu]):
            times[step, column] = _time(reading)
            values[step, column] = _values(reading)
    values, _ = impossible_to_nan(blank_to_nan(values))
    mean = np.nanmean(times, axis=1) if steps else np.empty(0)
    devices = tuple(_device(str(row["gpu"]), gpu) for gpu in gpus)
    return WorkloadSeries(devices, mean, values, _interval(mean), (), ("recorded",))


def _time(reading: Mapping[str, Any]) -> float:
    at = float(reading["t"])
    if not isfinite(at):
        raise ValueError(f"t is {at}")
    return at


def _values(reading: Mapping[str, Any]) -> Floats:
    found = np.full(METRICS, np.nan)
    for source, fields in ((reading.get("gpm", {}), GPM), (reading, NVML)):
        for name, (metric, factor) in fields.items():
            value = source.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[metric] = value * factor
    return found


def _device(product: str, gpu: int) -> GPUIdentity:
    return GPUIdentity(
        key=GPUKey(f"recorded-{gpu}"), product_name=product, index=str(gpu), namespace="recorded", pod="recorded"
    )


def _interval(times: Floats) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace played back as a source: what the devices read `now - started_at` seconds into it, then stale."""

    trace: Trace
    started_at: float

    async def read(self, now: float) -> GPURound:
        series = self.trace.series
        step = int(np.searchsorted(series.times, now - self.started_at, side="right")) - 1
        state = SourceState.OK if step >= 0 else SourceState.UNREACHABLE
        devices = series.devices if step >= 0 else ()
        values = series.values[step] if step >= 0 else np.empty((0, METRICS))
        observed_at = np.full(len(devices), self.started_at + series.times[step] if step >= 0 else np.nan)
        return GPURound("recorded", state, devices, observed_at, values, series.interval_seconds)

    async def close(self) -> None:
        """Nothing is open."""
