"""A level holds as long as nothing leaves it, comes or goes; whatever moves is no level at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.readings import (
    METRICS,
    Counter,
    Gauge,
    GPUIdentity,
    GPUKey,
    Metric,
    ProgressReading,
    WorkloadSeries,
)
from mfu.observe.steady import APART, Newest, level_of, paces_of, stands
from tests.builders.scenes import STEADY

DEVICES = tuple(GPUIdentity(GPUKey(f"GPU-{row}"), "NVIDIA H100", "n", namespace="a", pod="p") for row in range(2))
LEVELS = {Metric.TENSOR_ACTIVE: 0.4, Metric.POWER: 600.0, Metric.CLOCK_EVENTS: 4.0, Metric.TEMPERATURE: 60.0}


def table(readings: int, **moved: float) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    values = np.full((readings, len(DEVICES), METRICS), np.nan)
    for metric, level in LEVELS.items():
        values[..., metric] = level * moved.get(metric.name, 1.0)
    return values


def progress(seconds: float, rate: float, gauges: dict[Gauge, float] | None = None) -> tuple[ProgressReading, ...]:
    return tuple(
        ProgressReading("a", "p", "progress", at, {Counter.TRAINED_TOKENS: 1000.0 + rate * at}, gauges or {})
        for at in np.linspace(0.0, seconds, 5).tolist()
    )


def series(readings: int = 10, told: tuple[ProgressReading, ...] = ()) -> WorkloadSeries:
    return WorkloadSeries(DEVICES, 30.0 * np.arange(readings, dtype=np.float64), table(readings), 30.0, told, ("dcgm",))


def newest(told: tuple[ProgressReading, ...] = (), moved: dict[str, float] | None = None) -> Newest:
    return Newest(DEVICES, table(1, **(moved or {}))[0], paces_of(told))


def test_the_worked_number_of_the_docstring() -> None:
    kept, left = series(3), series(3)
    kept.values[:, 0, Metric.TENSOR_ACTIVE] = (0.40, 0.41, 0.39)
    left.values[:, 0, Metric.TENSOR_ACTIVE] = (0.40, 0.41, 0.46)
    assert level_of(kept) is not None
    assert level_of(left) is None


@pytest.mark.parametrize(
    ("moved", "still"),
    [
        ({}, True),
        ({"TENSOR_ACTIVE": 1.04}, True),
        ({"TENSOR_ACTIVE": 1.07}, False),
        ({"TENSOR_ACTIVE": 0.0}, False),
        ({"POWER": 1.04}, True),
        ({"POWER": 0.9}, False),
        ({"CLOCK_EVENTS": 2.0}, False),
        ({"TEMPERATURE": 1.07}, True),
        ({"TEMPERATURE": float("nan")}, False),
    ],
)
def test_what_leaves_its_level_is_seen(moved: dict[str, float], still: bool) -> None:
    level = level_of(series())
    assert level is not None
    assert stands(level, newest(moved=moved)) is still


def test_a_reading_that_comes_anew_is_news() -> None:
    level = level_of(series())
    assert level is not None
    found = newest()
    found.values[0, Metric.XID] = 0.0
    assert not stands(level, found)


def test_energy_only_ever_rises() -> None:
    rising = series()
    rising.values[..., Metric.ENERGY] = 1e6 * np.arange(10)[:, None]
    level = level_of(rising)
    assert level is not None
    found = newest()
    found.values[..., Metric.ENERGY] = 5e7
    assert stands(level, found)


def test_other_devices_are_other_readings() -> None:
    level = level_of(series())
    assert level is not None
    assert not stands(level, replace(newest(), devices=DEVICES[:1], values=table(1)[0][:1]))
    other = replace(DEVICES[1], pod_uid="another pod of that name")
    assert not stands(level, replace(newest(), devices=(DEVICES[0], other)))


def test_a_short_or_broken_window_has_no_level() -> None:
    assert level_of(series(2)) is None
    broken = series()
    broken.values[4, 1, Metric.POWER] = np.nan
    assert level_of(broken) is None
    assert level_of(replace(series(), unread="refused")) is None


def test_load_of_engines_has_no_level() -> None:
    assert level_of(series(told=progress(300.0, 50.0, {Gauge.RUNNING_REQUESTS: 3.0}))) is None


@pytest.mark.parametrize(("rate", "still"), [(50.0, True), (52.0, True), (53.0, False), (0.0, False), (-50.0, False)])
def test_progress_keeps_its_pace(rate: float, still: bool) -> None:
    level = level_of(series(told=progress(300.0, 50.0)))
    assert level is not None
    assert stands(level, newest(progress(120.0, rate))) is still


def test_progress_that_stops_speaking_is_news() -> None:
    level = level_of(series(told=progress(300.0, 50.0)))
    assert level is not None
    assert not stands(level, newest())
    assert not stands(level, newest(progress(30.0, 50.0))), "a pace needs a minute"


@STEADY
@given(st.lists(st.floats(1 - APART / 2, 1 + APART / 2), min_size=4, max_size=20), st.data())
def test_no_mean_leaves_a_level_that_stands(noise: list[float], data: st.DataObject) -> None:
    """The promise: as long as it stands, the mean over any window is within the tolerance of the judged one."""
    judged = series(len(noise))
    judged.values[:, :, Metric.POWER] *= np.array(noise)[:, None]
    level = level_of(judged)
    assert level is not None
    later = data.draw(st.lists(st.floats(0.5, 1.5), min_size=1, max_size=20))
    stayed = [each for each in later if stands(level, newest(moved={"POWER": each}))]
    mean = judged.values[:, 0, Metric.POWER].mean()
    for cut in range(len(noise)):
        window = [*judged.values[cut:, 0, Metric.POWER].tolist(), *(600.0 * each for each in stayed)]
        assert abs(sum(window) / len(window) - mean) <= APART * mean * 1.0001
