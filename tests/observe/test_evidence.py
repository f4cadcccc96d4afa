"""Trimming a finished recording, and means that unknowns do not touch."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.observe.evidence import gather, trimmed
from mfu.observe.readings import Metric
from tests.builders.readings import recent, table


@pytest.mark.parametrize(
    ("activity", "kept"),
    [
        ([0.9] * 6, 5),
        ([0.9, 0.9, 0.9, 0.9, 0.9, 0.4], 5),
        ([0.5, 0.9, 0.9, 0.9, 0.9, 0.9], 4),
        ([0.0, 0.0, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.0, 0.0], 5),
        ([0.9, 0.0, 0.0, 0.9, 0.9, 0.9, 0.9], 6),
        ([0.0, 0.0, 0.9, 0.9, 0.9, 0.5, 0.9, 0.9], 7),
        ([0.0] * 5, 4),
        ([0.9, 0.1, 0.9], 3),
    ],
)
def test_only_what_lies_outside_the_run_is_trimmed(activity: list[float], kept: int) -> None:
    values = table(seconds=len(activity), devices=1)
    values[:, 0, Metric.SM_ACTIVE] = activity
    assert trimmed(recent(values)).times.size == kept


def test_unknowns_do_not_touch_the_means() -> None:
    values = table(seconds=10)
    values[:5, 0, Metric.TENSOR_ACTIVE] = np.nan
    values[:, 1, Metric.DRAM_ACTIVE] = np.nan
    evidence = gather(recent(values), nvlink=None, pcie=None)
    assert evidence.average(Metric.TENSOR_ACTIVE) == pytest.approx(0.648)
    assert evidence.average(Metric.DRAM_ACTIVE) == pytest.approx(0.262)
    assert np.isnan(evidence.average(Metric.XID))
    assert evidence.link_share[1] == 0.0


def test_nvml_stands_in_for_engine_activity() -> None:
    values = table(seconds=10, GR_ENGINE_ACTIVE=float("nan"), GPU_UTIL=0.7)
    assert gather(recent(values), nvlink=None, pcie=None).idle == pytest.approx(0.3)


def test_an_empty_series_is_unknown() -> None:
    evidence = gather(recent(table()[:0]), nvlink=450e9, pcie=63e9)
    assert evidence.samples == 0
    assert np.isnan(evidence.idle)
