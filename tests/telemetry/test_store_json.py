"""A workload's series survives JSON unchanged, and a damaged one is refused with a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.observe.readings import (
    METRICS,
    Counter,
    Gauge,
    GPUIdentity,
    GPUKey,
    ProgressReading,
    WorkloadSeries,
)
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.store_json import series_from_json, series_to_json

NUMBERS = st.floats(allow_infinity=False, allow_nan=False, width=64)


def series(values: np.ndarray, progress: tuple[ProgressReading, ...] = ()) -> WorkloadSeries:
    devices = tuple(
        GPUIdentity(GPUKey(f"GPU-{k}", k or None), "H", "n", mig_profile="1g.5gb") for k in range(values.shape[1])
    )
    return WorkloadSeries(devices, np.arange(len(values)) + 0.1, values, 15.0, progress, ("dcgm",))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(0, 3),
    st.integers(0, 2),
    st.lists(NUMBERS, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(list(Counter)), NUMBERS),
)
def test_round_trip(times: int, devices: int, numbers: list[float], counters: dict[Counter, float]) -> None:
    values = np.full((times, devices, METRICS), np.nan)
    values.ravel()[: len(numbers)] = numbers[: values.size]
    given_series = series(values, (ProgressReading("n", "p", "s", 1.5, counters, {Gauge.KV_CACHE_USAGE: 0.5}, True),))
    found = series_from_json(json.loads(json.dumps(series_to_json(given_series))))
    assert np.array_equal(found.values, values, equal_nan=True)
    assert (found.devices, found.progress, found.sources) == (given_series.devices, given_series.progress, ("dcgm",))
    assert found.times.tolist() == given_series.times.tolist()


@pytest.mark.parametrize(
    "damage",
    [
        {"values": {"TENSOR_ACTIVE": [[1.0, 2.0, 3.0]]}}, {"values": {"NO_SUCH": [[1.0]]}}, {"devices": [{"key": 1}]},
        {"times": ["x"]}, {"progress": [{}]}, {"intervalSeconds": None}, {"values": None},
    ],
)  # fmt: skip
def test_damage_is_refused(damage: dict[str, object]) -> None:
    saved = series_to_json(series(np.zeros((1, 1, METRICS))))
    with pytest.raises(TelemetryError):
        series_from_json({**saved, **damage})
