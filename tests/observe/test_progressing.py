"""How much of its GPU-time moves: the docstring's worked number, memory-bound work, and what is not read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfu.observe.progressing import progressing
from mfu.observe.readings import Metric, WorkloadSeries
from tests.builders.readings import recent, table


def seen(**levels: float) -> WorkloadSeries:
    return recent(table(100, 8, 10.0, **{"TENSOR_ACTIVE": 0.4, "FP32_ACTIVE": 0.03, "DRAM_ACTIVE": 0.3, **levels}))


def changed(series: WorkloadSeries, where: tuple[slice | int, slice | int], value: float) -> WorkloadSeries:
    values = series.values.copy()
    values[(*where, [Metric.TENSOR_ACTIVE, Metric.FP32_ACTIVE, Metric.FP16_ACTIVE, Metric.DRAM_ACTIVE])] = value
    return replace(series, values=values)


def share(series: WorkloadSeries) -> float | None:
    return progressing(series, since=float(series.times[0]), now=float(series.times[-1]))


def test_two_gpus_that_stand_still_and_a_pause_of_the_others() -> None:
    series = seen()
    assert share(series) == 1.0
    stopped = changed(series, (slice(None), slice(6, 8)), 0.0)
    paused = changed(stopped, (3, slice(None)), 0.0)
    readings = len(series.times)
    assert share(paused) == pytest.approx(6 * (readings - 1) / (8 * readings))


def test_one_request_at_a_time_moves_and_spinning_does_not() -> None:
    quiet = {"TENSOR_ACTIVE": 0.001, "FP32_ACTIVE": 0.001, "FP16_ACTIVE": 0.0}
    assert share(seen(**quiet, DRAM_ACTIVE=0.7)) == 1.0
    assert share(seen(**quiet, DRAM_ACTIVE=0.004)) == 0.0


def test_what_is_not_read_is_in_neither() -> None:
    series = seen()
    assert share(changed(series, (slice(None), slice(0, 3)), np.nan)) == 1.0
    assert share(changed(series, (slice(None), slice(0, 5)), np.nan)) is None
    assert progressing(series, since=float(series.times[-1]) + 1, now=float(series.times[-1]) + 2) is None
