"""Telemetry that lies: sentinels, NaN, duplicates, cuts, stuck counters. Nothing becomes a wrong number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfu.observe.readings import Metric, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet, read_once
from mfu.telemetry.rounds.blanks import is_blank
from tests.telemetry.expose import UUID, line, page

POD = {"namespace": "team-a", "pod": "llama-0", "container": "trainer"}


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775792", "9223372036854775793", "9223372036854775794", "9223372036854775795",
        "9.223372036854776e+18", "9223372036854775808", "2147483632", "2147483633", "2147483635",
        "140737488355328.000000", "140737488355329.0", "1.40737488355331e+14", "NaN", "+Inf", "-Inf", "Inf",
    ],
)  # fmt: skip
def test_blanks_are_unknown_in_every_spelling(text: str) -> None:
    found = read_once(page({"DEV_POWER_USAGE": text, "PROF_PCIE_RX_BYTES": text, "DEV_GPU_TEMP": 40}), 0.0)
    assert np.isnan(found.values[0, [Metric.POWER, Metric.PCIE_RX]]).all()
    assert found.values[0, Metric.TEMPERATURE] == 40


@pytest.mark.parametrize("value", [1.4e14, 140737488355327.0, 2147483631.0, 2147483636.0, 9.2e18, 1e15])
def test_large_numbers_that_are_no_sentinels_pass(value: float) -> None:
    assert not is_blank(value)


def test_a_large_energy_counter_is_no_blank() -> None:
    found = read_once(page({"DEV_TOTAL_ENERGY_CONSUMPTION": 2_000_000_000_000_000, "DEV_GPU_TEMP": 4}), 0.0)
    assert found.values[0, Metric.ENERGY] == 2e12


@pytest.mark.parametrize(
    ("name", "value", "metric"),
    [
        ("PROF_PIPE_TENSOR_ACTIVE", 43.1, Metric.TENSOR_ACTIVE),
        ("PROF_DRAM_ACTIVE", -0.1, Metric.DRAM_ACTIVE),
        ("DEV_POWER_USAGE", 652318, Metric.POWER),
        ("DEV_GPU_TEMP", 400, Metric.TEMPERATURE),
        ("PROF_PCIE_RX_BYTES", 9e15, Metric.PCIE_RX),
        ("DEV_SM_CLOCK", 9999, Metric.SM_CLOCK),
    ],
)
def test_what_no_gpu_can_do_is_dropped_and_counted(name: str, value: float, metric: Metric) -> None:
    found = read_once(page({name: value, "DEV_PCIE_LINK_GEN": 5}), 0.0)
    assert math.isnan(found.values[0, metric])
    assert "1 impossible values dropped" in found.message


@pytest.mark.parametrize(
    "bad",
    [
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}" 40\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}"}} forty\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}"}} 4_0\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}"}}\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}",UUID="GPU-2"}} 40\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}",x}} 40\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}"}} 40 1 2\n',
        f'DCGM_FI_DEV_GPU_TEMP{{UUID="{UUID}"}} 0x28\n',
    ],
)
def test_malformed_lines_are_counted_and_the_rest_is_read(bad: str) -> None:
    found = read_once(bad.encode() + page({"DEV_POWER_USAGE": "300.5"}), 0.0)
    assert found.values[:, Metric.POWER].tolist() == [300.5]
    assert np.isnan(found.values[:, Metric.TEMPERATURE]).all()
    assert "lines skipped" in found.message


def test_labels_that_are_not_utf8_are_malformed() -> None:
    text = page({"DEV_GPU_TEMP": 40}).replace(b"node-a", b"node-\xff")
    assert read_once(text, 0.0).state is SourceState.INVALID


def test_a_cut_body_loses_its_last_line_not_its_last_digits() -> None:
    text = page({"DEV_GPU_TEMP": 40, "DEV_POWER_USAGE": "652.318000"})
    found = read_once(text[: text.rindex(b"2.318")], 0.0)
    assert math.isnan(found.values[0, Metric.POWER])
    assert "1 lines skipped" in found.message


def test_a_series_given_twice_with_two_values_is_unknown() -> None:
    text = page({"DEV_POWER_USAGE": "300.0", "DEV_GPU_TEMP": 40}) + page(
        {"DEV_POWER_USAGE": "500.0", "DEV_GPU_TEMP": 40}
    )
    found = read_once(text, 0.0)
    assert math.isnan(found.values[0, Metric.POWER])
    assert found.values[0, Metric.TEMPERATURE] == 40


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"<html>502 Bad Gateway</html>\n", b"\x00\xff\xfe\n" * 50, b"{}\n", b"}{\n"]
)
def test_a_foreign_body_is_a_state(body: bytes) -> None:
    found = read_once(body, 0.0)
    assert (found.state, found.devices, found.values.shape[0]) == (SourceState.INVALID, (), 0)


def test_no_answer_is_a_state() -> None:
    found = DCGMFleet().round({"a": None, "b": None}, 0.0)
    assert found.state is SourceState.UNREACHABLE
    assert DCGMFleet().round({}, 0.0).state is SourceState.UNREACHABLE


def test_a_target_among_many_that_is_silent_is_named() -> None:
    fleet = DCGMFleet()
    found = fleet.round({"a": page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}), "b": None}, 0.0)
    assert found.state is SourceState.OK
    assert found.message == "1 of 2 targets did not answer: b"
    assert fleet.states == {"a": SourceState.OK, "b": SourceState.UNREACHABLE}


def test_a_missing_profiling_module_is_a_state() -> None:
    fleet = DCGMFleet()
    found = fleet.round({"a": page({"DEV_GPU_TEMP": 40, "DEV_POWER_USAGE": "300.0"})}, 0.0)
    assert (found.state, fleet.states["a"]) == (SourceState.PROFILING_MISSING,) * 2
    assert found.values[0, Metric.POWER] == 300.0


STUCK = {"PROF_PIPE_TENSOR_ACTIVE": "0.000000", "PROF_SM_ACTIVE": "0.000000", "PROF_GR_ENGINE_ACTIVE": "0.000000"}


@pytest.mark.parametrize(
    ("values", "stuck"),
    [
        pytest.param({**STUCK, "DEV_POWER_USAGE": "500.0"}, True, id="power above half the 700 W TDP"),
        pytest.param({**STUCK, "DEV_POWER_USAGE": "80.0"}, False, id="idle"),
        pytest.param({**STUCK, "DEV_POWER_USAGE": "80.0", "DEV_GPU_UTIL": 100}, True, id="NVML sees it busy"),
        pytest.param({**STUCK, "PROF_SM_ACTIVE": "0.400000", "DEV_POWER_USAGE": "500.0"}, False, id="no tensor work"),
        pytest.param(
            {"PROF_PIPE_TENSOR_ACTIVE": 0, "PROF_GR_ENGINE_ACTIVE": 0, "DEV_POWER_USAGE": 500}, True, id="no SM"
        ),
        pytest.param(
            {"PROF_PIPE_TENSOR_ACTIVE": 0, "PROF_GR_ENGINE_ACTIVE": 1, "DEV_POWER_USAGE": 500}, False, id="GR"
        ),
        pytest.param({**STUCK, "PROF_DRAM_ACTIVE": "0.7", "DEV_POWER_USAGE": "500.0"}, False, id="memory moves"),
    ],
)
def test_zeros_under_load_are_a_telemetry_fault(values: dict[str, object], stuck: bool) -> None:
    found = read_once(page(values, **POD), 0.0)
    assert math.isnan(found.values[0, Metric.TENSOR_ACTIVE]) == stuck
    assert math.isnan(found.values[0, Metric.GR_ENGINE_ACTIVE]) == stuck
    assert ("stuck at zero" in found.message) == stuck
    assert found.values[0, Metric.POWER] == float(str(values["DEV_POWER_USAGE"]))


def test_an_unknown_product_is_judged_by_its_power_limit() -> None:
    values = {**STUCK, "DEV_POWER_USAGE": "200.0", "DEV_ENFORCED_POWER_LIMIT": "300.0"}
    assert math.isnan(read_once(page(values, modelName="Unheard Of"), 0.0).values[0, Metric.TENSOR_ACTIVE])
    assert read_once(page({**STUCK, "DEV_POWER_USAGE": "200.0"}, modelName="Unheard Of"), 0.0).values[0, 0] == 0


def test_an_idle_slice_beside_a_busy_one_is_idle() -> None:
    busy = {"PROF_PIPE_TENSOR_ACTIVE": 0.5, "PROF_SM_ACTIVE": 0.9, "DEV_POWER_USAGE": 500}
    idle = {**STUCK, "DEV_POWER_USAGE": 500}
    found = read_once(page(busy, GPU_I_ID="1") + page(idle, GPU_I_ID="2"), 0.0)
    assert found.values[:, Metric.TENSOR_ACTIVE].tolist() == [0.5, 0.0]
    assert np.isnan(read_once(page(idle, GPU_I_ID="1") + page(idle, GPU_I_ID="2"), 0.0).values[:, 0]).all()


def test_lines_in_another_order_read_the_same() -> None:
    fleet = DCGMFleet()
    lines = [line("DCGM_FI_DEV_POWER_USAGE", f"{100 + gpu}.5", UUID=f"GPU-{gpu}", gpu=str(gpu)) for gpu in range(4)] + [
        line("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", f"0.{gpu}", UUID=f"GPU-{gpu}", gpu=str(gpu)) for gpu in range(4)
    ]
    want = fleet.round({"a": "".join(lines).encode()}, 0.0)
    for shuffled in (lines[::-1], lines[3:] + lines[:3], [lines[0], lines[4], *lines[5:], *lines[1:4]]):
        found = fleet.round({"a": "".join(shuffled).encode()}, 15.0)
        by_uuid = {device.key.uuid: row for row, device in enumerate(found.devices)}
        for row, device in enumerate(want.devices):
            assert np.array_equal(found.values[by_uuid[device.key.uuid]], want.values[row], equal_nan=True)


def test_a_pod_that_moved_takes_its_row_along() -> None:
    fleet = DCGMFleet()
    for pod in ("a-0", "b-0", "a-0"):
        found = fleet.round({"t": page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}, namespace="n", pod=pod)}, 0.0)
        assert [device.pod for device in found.devices] == [pod]


def test_an_exporter_that_was_upgraded_in_place_is_read_in_its_new_units() -> None:
    fleet = DCGMFleet()
    old = page({"DEV_GPU_UTIL_RATIO": 1}, Hostname="n", DCGM_FI_DRIVER_VERSION="580")
    new = page({"DEV_GPU_UTIL_RATIO": 1}, Hostname=None, hostname="n", DCGM_FI_SYSTEM_DRIVER_VERSION="580")
    assert fleet.round({"a": old}, 0.0).values[0, Metric.GPU_UTIL] == 0.01
    assert fleet.round({"a": new}, 15.0).values[0, Metric.GPU_UTIL] == 1.0


def test_a_body_of_known_shape_is_read_as_any_other() -> None:
    fleet = DCGMFleet()
    for value in ("0.1", "0.25", "NaN", "0.3_1", "x", "0.5 1700000000000", "0.75"):
        text = page({"PROF_PIPE_TENSOR_ACTIVE": value, "DEV_GPU_TEMP": 40, "NOT_READ": value})
        want = read_once(text, 0.0)
        found = fleet.round({"target": text}, 0.0)
        assert np.array_equal(
            found.values[:, [0, Metric.TEMPERATURE]], want.values[:, [0, Metric.TEMPERATURE]], equal_nan=True
        )
        assert found.message == want.message
