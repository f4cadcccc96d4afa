"""Units are settled by evidence of the target: labels, sibling series, magnitudes; what stays open is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfu.observe.readings import Metric
from mfu.telemetry.dcgm.adapter import _first, read_once
from mfu.telemetry.dcgm.fields import RAW_COLUMNS, Raw
from tests.telemetry.expose import line, page

LEGACY = {"Hostname": "n", "DCGM_FI_DRIVER_VERSION": "580"}
TRANSITION = {"Hostname": None, "hostname": "n", "DCGM_FI_DRIVER_VERSION": "580"}
NEW = {"Hostname": None, "hostname": "n", "DCGM_FI_SYSTEM_DRIVER_VERSION": "580"}
BARE = {"Hostname": None}
NAN = math.nan
MIB = 1024**2


def read(metric: Metric, values: dict[str, object], labels: dict[str, str]) -> float:
    return float(read_once(page({"DEV_GPU_TEMP": 40, **values}, **labels), 0.0).values[0, metric])


@pytest.mark.parametrize(
    ("labels", "values", "want"),
    [
        pytest.param(LEGACY, {"DEV_GPU_UTIL": 1}, 0.01, id="legacy percent"),
        pytest.param(LEGACY, {"DEV_GPU_UTIL": 57}, 0.57, id="legacy percent, plain"),
        pytest.param(LEGACY, {"DEV_GPU_UTIL": 0.57}, NAN, id="a fraction on a legacy target contradicts itself"),
        pytest.param(TRANSITION, {"DEV_GPU_UTIL_RATIO": 57}, 0.57, id="4.6 percent under the ratio name"),
        pytest.param(TRANSITION, {"DEV_GPU_UTIL_RATIO": 1}, 0.01, id="4.6: one percent"),
        pytest.param(TRANSITION, {"DEV_GPU_UTIL_RATIO": 1, "DEV_SM_CLOCK_HERTZ": 1755000000}, 0.01, id="4.6 clock"),
        pytest.param(TRANSITION, {"DEV_GPU_UTIL": 1}, NAN, id="legacy name: 4.8 or 4.9 with a custom CSV"),
        pytest.param(TRANSITION, {"DEV_GPU_UTIL": 0}, 0.0, id="zero is zero"),
        pytest.param(NEW, {"DEV_GPU_UTIL_RATIO": 1}, 1.0, id="4.9 ratio"),
        pytest.param(NEW, {"DEV_GPU_UTIL_RATIO": "0.570000"}, 0.57, id="4.9 ratio, plain"),
        pytest.param(NEW, {"DEV_GPU_UTIL_RATIO": 57}, 0.57, id="above 1 it is percent whatever the name"),
        pytest.param(NEW, {"DEV_GPU_UTIL": 1}, NAN, id="legacy name on 4.9"),
        pytest.param(BARE, {"DEV_GPU_UTIL_RATIO": 1}, NAN, id="nothing tells"),
        pytest.param(BARE, {"DEV_GPU_UTIL_RATIO": 1, "DEV_FB_CAPACITY_BYTES": 85e9}, 1.0, id="a 4.9 sibling tells"),
        pytest.param(BARE, {"DEV_GPU_UTIL_RATIO": 99, "DEV_MEM_COPY_UTIL": 1}, 0.99, id="value tells"),
        pytest.param(BARE, {"DEV_GPU_UTIL_RATIO": 0.25}, 0.25, id="fraction tells"),
    ],
)  # fmt: skip
def test_utilisation(labels: dict[str, str], values: dict[str, object], want: float) -> None:
    assert read(Metric.GPU_UTIL, values, labels) == pytest.approx(want, nan_ok=True)


def test_a_sibling_gpu_above_one_percent_settles_the_unit_of_the_target() -> None:
    text = page({"DEV_GPU_UTIL": 1}, **TRANSITION) + page({"DEV_GPU_UTIL": 88}, **TRANSITION, UUID="GPU-2")
    assert read_once(text, 0.0).values[:, Metric.GPU_UTIL] == pytest.approx([0.01, 0.88])


def test_two_targets_settle_their_units_apart() -> None:
    from mfu.telemetry.dcgm.adapter import DCGMFleet

    bodies = {
        "old": page({"DEV_GPU_UTIL_RATIO": 1}, **TRANSITION),
        "new": page({"DEV_GPU_UTIL_RATIO": 1}, **NEW, UUID="GPU-2"),
    }
    assert DCGMFleet().round(bodies, 0.0).values[:, Metric.GPU_UTIL] == pytest.approx([0.01, 1.0])


@pytest.mark.parametrize(
    ("labels", "values", "want"),
    [
        pytest.param(LEGACY, {"DEV_SM_CLOCK": 1755}, 1.755e9, id="MHz"),
        pytest.param(NEW, {"DEV_SM_CLOCK_HERTZ": 1755000000}, 1.755e9, id="Hz"),
        pytest.param(TRANSITION, {"DEV_SM_CLOCK_HERTZ": 1755000000}, 1.755e9, id="new id on 4.6"),
        pytest.param(TRANSITION, {"DEV_SM_CLOCK": 1755, "DEV_SM_CLOCK_HERTZ": 1755000000}, 1.755e9, id="both"),
        pytest.param(TRANSITION, {"DEV_SM_CLOCK": 1755000000}, 1.755e9, id="Hz under the legacy name shows by size"),
        pytest.param(LEGACY, {"DEV_SM_CLOCK": 1755000000}, NAN, id="Hz on a legacy target contradicts itself"),
        pytest.param(NEW, {"DEV_SM_CLOCK_HERTZ": 1755}, NAN, id="MHz under the Hz name contradicts itself"),
        pytest.param(NEW, {"DEV_SM_CLOCK_HERTZ": 0}, 0.0, id="a stopped clock"),
    ],
)  # fmt: skip
def test_clock(labels: dict[str, str], values: dict[str, object], want: float) -> None:
    assert read(Metric.SM_CLOCK, values, labels) == pytest.approx(want, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "values", "want"),
    [
        pytest.param(LEGACY, {"DEV_FB_USED": 17, "DEV_FB_FREE": 81000}, 17 * MIB, id="MiB"),
        pytest.param(NEW, {"DEV_FB_USED": 17 * MIB, "DEV_FB_FREE": 81000 * MIB}, 17 * MIB, id="bytes"),
        pytest.param(NEW, {"DEV_FB_USED": 0, "DEV_FB_FREE": 81000 * MIB}, 0, id="none in use"),
        pytest.param(NEW, {"DEV_FB_USED": 17, "DEV_FB_FREE": 81000}, 17 * MIB, id="legacy id on 4.9, by size"),
        pytest.param(NEW, {"DEV_FB_USED": 900000}, NAN, id="0.9 MB or 0.9 TiB"),
        pytest.param(LEGACY, {"DEV_FB_USED": 17 * MIB, "DEV_FB_FREE": 81000 * MIB}, NAN, id="bytes on legacy"),
    ],
)
def test_memory(labels: dict[str, str], values: dict[str, object], want: float) -> None:
    assert read(Metric.FB_USED, values, labels) == pytest.approx(want, nan_ok=True)


@pytest.mark.parametrize(
    ("labels", "values", "want"),
    [
        pytest.param(LEGACY, {"DEV_TOTAL_ENERGY_CONSUMPTION": 91234567120}, 91234567.12, id="mJ"),
        pytest.param(NEW, {"DEV_GPU_ENERGY_JOULES_TOTAL": "91234567.120000"}, 91234567.12, id="J"),
        pytest.param(NEW, {"DEV_TOTAL_ENERGY_CONSUMPTION": 91234567}, NAN, id="legacy name on 4.9: open"),
    ],
)
def test_energy(labels: dict[str, str], values: dict[str, object], want: float) -> None:
    assert read(Metric.ENERGY, values, labels) == pytest.approx(want, nan_ok=True)


def test_a_newer_spelling_of_the_same_number_is_the_same_reading() -> None:
    old = page({"PROF_PIPE_TENSOR_ACTIVE": "0.4", "DEV_POWER_USAGE": "650.5"}, **LEGACY)
    new = page({"PROF_TENSOR_UTIL_RATIO": "0.4", "DEV_BOARD_POWER_WATTS": "650.5"}, **NEW)
    for metric in (Metric.TENSOR_ACTIVE, Metric.POWER):
        assert read_once(old, 0.0).values[0, metric] == read_once(new, 0.0).values[0, metric]


def test_nvlink_bandwidth_total_is_no_counter_of_ours() -> None:
    found = read_once(page({"DEV_NVLINK_BANDWIDTH_TOTAL": 81234, "DEV_GPU_TEMP": 40}), 0.0)
    assert math.isnan(found.values[0, Metric.NVLINK_RX])
    assert line("X", 1).startswith("X{")


@pytest.mark.parametrize(
    ("violation", "cap", "brake", "expected"),
    [
        (5.0, 1.0, 2.0, 5.0),
        (np.nan, 1.0, 2.0, 3.0),
        (np.nan, 1.0, np.nan, 1.0),
        (np.nan, np.nan, np.nan, np.nan),
    ],
)
def test_time_held_back_by_power(violation: float, cap: float, brake: float, expected: float) -> None:
    raw = np.full((1, RAW_COLUMNS), np.nan)
    raw[0, [Raw.POWER_VIOLATION_NS, Raw.SW_POWER_CAP_NS, Raw.POWER_BRAKE_NS]] = violation, cap, brake
    found = _first(raw, Raw.POWER_VIOLATION_NS, (Raw.SW_POWER_CAP_NS, Raw.POWER_BRAKE_NS))
    assert found[0] == pytest.approx(expected, nan_ok=True)
