"""Readings of one pass: units, MIG, boards before Hopper, and what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pynvml
import pytest

from mfu.agent.inventory import scan
from mfu.agent.nvml import open_library
from mfu.agent.sample import SLOW_EVERY, DeviceReading, Sampler
from mfu.observe.readings import Metric
from tests.agent.conftest import FakeNVML


def readings(passes: int = 2) -> list[DeviceReading]:
    """Of the last pass, pipe activity included."""
    open_library()
    sampler = Sampler(scan(), window_seconds=0.5)
    found: list[DeviceReading] = []
    for at in range(passes):
        found = sampler.read(float(at))
    found = [replace(each, values={**each.values, **(sampler.pipes(each.key) or {})}) for each in found]
    sampler.close()
    return found


UNITS = [
    (Metric.TENSOR_ACTIVE, 0.55),
    (Metric.HMMA_ACTIVE, 0.5),
    (Metric.PCIE_RX, 2 * 2**20),
    (Metric.NVLINK_TX, 3 * 2**20),
    (Metric.SM_CLOCK, 1.755e9),
    (Metric.POWER, 650.0),
    (Metric.POWER_LIMIT, 700.0),
    (Metric.FB_TOTAL, 81559 * 2**20),
    (Metric.FB_USED, 7 * 2**30),
    (Metric.GPU_UTIL, 0.99),
    (Metric.MEM_UTIL, 0.41),
    (Metric.CLOCK_EVENTS, 4.0),
    (Metric.TEMPERATURE, 61.0),
    (Metric.PCIE_LINK_GEN, 5.0),
    (Metric.PCIE_LINK_WIDTH, 16.0),
    (Metric.ECC_UNCORRECTED, 2.0),
]


@pytest.fixture
def busy(nvml: FakeNVML) -> FakeNVML:
    nvml.reset(1)
    for number, value in ((5, 55.0), (7, 50.0), (21, 2.0), (61, 3.0)):
        nvml.metric(0, number, value)
    nvml.set(0, clock=1755, power=650_000, used=7 * 2**30, gpu_util=99, mem_util=41, energy=12_500, events=4)
    nvml.set(0, temperature=61, ecc=2)
    return nvml


@pytest.mark.parametrize(("metric", "expected"), UNITS)
def test_every_number_has_the_unit_of_its_column(busy: FakeNVML, metric: Metric, expected: float) -> None:
    assert readings()[0].values[metric] == pytest.approx(expected)


def test_first_pass_has_no_pipe_activity_yet(busy: FakeNVML) -> None:
    assert Metric.TENSOR_ACTIVE not in readings(passes=1)[0].values


def test_violation_shares_are_of_the_time_between_passes(nvml: FakeNVML) -> None:
    nvml.reset(1)
    open_library()
    sampler = Sampler(scan())
    nvml.set(0, power_ns=5_000_000_000)
    sampler.read(10.0)
    nvml.set(0, power_ns=5_500_000_000, thermal_ns=100_000_000)
    for _ in range(SLOW_EVERY):
        values = sampler.read(12.0)[0].values
    assert values[Metric.POWER_VIOLATION_RATIO] == pytest.approx(0.25)
    assert values[Metric.THERMAL_VIOLATION_RATIO] == pytest.approx(0.05)


def test_a_metric_that_fails_or_is_nan_is_absent_and_the_others_stay(busy: FakeNVML) -> None:
    busy.metric(0, 2, float("nan"))
    busy.metric(0, 10, -1.0)
    values = readings()[0].values
    assert Metric.SM_ACTIVE not in values
    assert Metric.DRAM_ACTIVE not in values
    assert values[Metric.TENSOR_ACTIVE] == pytest.approx(0.55)


def test_before_hopper_only_nvml_answers(busy: FakeNVML) -> None:
    busy.set(0, major=8, gpm=0)
    busy.name(0, "NVIDIA A100-SXM4-80GB")
    reading = readings()[0]
    assert not reading.gpu.gpm
    assert Metric.TENSOR_ACTIVE not in reading.values
    assert reading.values[Metric.GPU_UTIL] == pytest.approx(0.99)


def test_mig_slices_are_read_apart_from_their_gpu(nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.slice(0, 0, 9)
    nvml.slice(0, 3, 2, profile="3g.40gb", slices=3, mib=40_000)
    nvml.metric(0, 5, 80.0, slot=0)
    nvml.metric(0, 5, 20.0, slot=3)
    found = {reading.key[1]: reading for reading in readings()}
    assert found[9].values[Metric.TENSOR_ACTIVE] == pytest.approx(0.8)
    assert found[2].values[Metric.TENSOR_ACTIVE] == pytest.approx(0.2)
    assert found[2].values[Metric.FB_TOTAL] == 40_000 * 2**20
    assert Metric.TENSOR_ACTIVE not in found[None].values
    assert Metric.PCIE_RX not in found[9].values
    assert found[9].instance is not None
    assert (found[9].instance.profile, found[9].instance.placement_start) == ("1g.10gb", 0)


def test_profile_by_size_where_the_name_does_not_say(nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.slice(0, 0, 1, profile="", slices=2, mib=19_968)
    open_library()
    assert scan()[0].instances[0].profile == "2g.20gb"


def test_a_slice_that_is_destroyed_is_noticed_and_its_buffers_are_freed(nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.slice(0, 0, 9)
    open_library()
    sampler = Sampler(scan())
    sampler.read(0.0)
    assert nvml.samples == 1
    nvml.unslice(0)
    assert [reading.key for reading in sampler.read(1.0)] == [(scan()[0].uuid, None)]
    assert sampler.moved
    assert nvml.samples == 0


def test_products_are_named_by_the_catalog_or_not_at_all(nvml: FakeNVML) -> None:
    nvml.reset(2)
    nvml.name(1, "Graphics Device 9000")
    open_library()
    assert [gpu.product for gpu in scan()] == ["H100-SXM5", ""]
    assert pynvml.NVML_GPM_METRICS_GET_VERSION == 1


def test_averages_cover_the_window_and_buffers_stay_few(nvml: FakeNVML) -> None:
    nvml.reset(1)
    open_library()
    sampler = Sampler(scan(), window_seconds=15.0)
    for second in range(100):
        nvml.tick(second)
        sampler.read(float(second))
        if second > 16:
            spanned = (sampler.pipes((scan()[0].uuid, None)) or {})[Metric.TENSOR_ACTIVE] * 100
            assert 15 <= spanned <= 15 + 7.5 + 1
    assert nvml.samples <= 5
    sampler.close()
    assert nvml.samples == 0


def test_averages_are_worked_out_once_for_each_sample(nvml: FakeNVML) -> None:
    nvml.reset(1)
    open_library()
    sampler = Sampler(scan())
    key = (scan()[0].uuid, None)
    for second in range(3):
        sampler.read(float(second))
    assert sampler.pipes(key) is sampler.pipes(key)
    first = sampler.pipes(key)
    sampler.read(3.0)
    assert sampler.pipes(key) is not first
    sampler.close()
