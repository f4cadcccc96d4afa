"""One workload's series as plain JSON and back, for saved snapshots. Unknown is null; float64 survives unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from mfu.observe.readings import (
    METRICS,
    Counter,
    Floats,
    Gauge,
    GPUIdentity,
    GPUKey,
    Metric,
    ProgressReading,
    WorkloadSeries,
)
from mfu.telemetry.errors import TelemetryError


def series_to_json(series: WorkloadSeries) -> dict[str, Any]:
    """Columns by metric name; those that are unknown throughout are left out."""
    known = [metric for metric in Metric if not np.isnan(series.values[:, :, metric]).all()]
    return {
        "devices": [asdict(device) for device in series.devices],
        "times": series.times.tolist(),
        "values": {metric.name: _nullable(series.values[:, :, metric]) for metric in known},
        "intervalSeconds": series.interval_seconds,
        "progress": [_progress_to_json(reading) for reading in series.progress],
        "sources": list(series.sources),
    }


def series_from_json(saved: Mapping[str, Any]) -> WorkloadSeries:
    """The inverse. Raises TelemetryError naming what is missing or of the wrong shape."""
    try:
        devices = tuple(_device(each) for each in saved["devices"])
        times = np.array(saved["times"], dtype=np.float64)
        values = np.full((len(times), len(devices), METRICS), np.nan)
        for name, column in saved["values"].items():
            values[:, :, Metric[name]] = np.array(column, dtype=np.float64).reshape(len(times), len(devices))
        progress = tuple(_progress_from_json(each) for each in saved["progress"])
        interval = float(saved["intervalSeconds"])
        return WorkloadSeries(devices, times, values, interval, progress, tuple(saved["sources"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        fix = "save it again with this version"
        raise TelemetryError("saved series", f"{type(error).__name__}: {error}", fix) from error


def _nullable(column: Floats) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in column.tolist()]


def _device(saved: Mapping[str, Any]) -> GPUIdentity:
    return GPUIdentity(**{**saved, "key": GPUKey(**saved["key"])})


def _progress_to_json(reading: ProgressReading) -> dict[str, Any]:
    return {
        "namespace": reading.namespace,
        "pod": reading.pod,
        "source": reading.source,
        "observedAt": reading.observed_at,
        "counters": {str(counter): value for counter, value in reading.counters.items()},
        "gauges": {str(gauge): value for gauge, value in reading.gauges.items()},
        "scopeTotal": reading.scope_total,
    }


def _progress_from_json(saved: Mapping[str, Any]) -> ProgressReading:
    return ProgressReading(
        namespace=saved["namespace"],
        pod=saved["pod"],
        source=saved["source"],
        observed_at=float(saved["observedAt"]),
        counters={Counter(name): float(value) for name, value in saved["counters"].items()},
        gauges={Gauge(name): float(value) for name, value in saved["gauges"].items()},
        scope_total=bool(saved["scopeTotal"]),
    )
