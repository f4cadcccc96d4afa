"""Devices behind sliced resources: the labels of real nodes, contradictions, and numbers that nobody can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.hardware.slices import MOST_DEVICES, MOST_UNITS, Slices, base_resource, quantity, share_of, slices_of

GPU = "nvidia.com/gpu"


def labels(**values: object) -> dict[str, str]:
    return {f"{GPU}.{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("resource", "units", "told", "marked", "expected"),
    [
        pytest.param(GPU, 8, labels(count=8, replicas=1), False, Slices(8, 1), id="whole"),
        pytest.param(GPU, 7, labels(count=8, replicas=1), False, Slices(7, 1), id="one is ill"),
        pytest.param(GPU, 80, labels(count=8, replicas=10), True, Slices(8, 10), id="ten slices of eight"),
        pytest.param(GPU, 12, labels(count=1, replicas=12), True, Slices(1, 12), id="gpu-operator issue 684"),
        pytest.param(GPU, 70, labels(count=8, replicas=10), True, Slices(7, 10), id="one of the sliced is ill"),
        pytest.param(f"{GPU}.shared", 64, labels(count=8, replicas=8), False, Slices(8, 8), id="renamed"),
        pytest.param(f"{GPU}.shared", 64, labels(count=8), False, Slices(8, 8), id="renamed, without replicas"),
        pytest.param(GPU, 80, labels(count=8), False, Slices(8, 10), id="more than are there"),
        pytest.param(GPU, 80, labels(count=8, replicas=2), True, Slices(8, 10), id="labels from before"),
        pytest.param(GPU, 8, labels(count=8, replicas=10), True, Slices(8, 1), id="labels before the plugin"),
        pytest.param(GPU, 8, labels(count=8), True, Slices(8, None), id="shared, nobody says how often"),
        pytest.param(f"{GPU}.shared", 40, {}, False, Slices(40, None), id="nothing is told"),
        pytest.param(GPU, 80, labels(count="1k", replicas="10"), True, Slices(8, 10), id="absurd count"),
    ],
)
def test_devices_behind_units(resource: str, units: int, told: dict[str, str], marked: bool, expected: Slices) -> None:
    assert slices_of(resource, units, told, shared=marked) == expected


def test_slices_of_mig_instances() -> None:
    told = {"nvidia.com/mig-1g.10gb.count": "7", "nvidia.com/mig-1g.10gb.replicas": "4"}
    assert slices_of("nvidia.com/mig-1g.10gb.shared", 28, told) == Slices(7, 4)
    assert base_resource("nvidia.com/mig-1g.10gb.shared") == "nvidia.com/mig-1g.10gb"


@given(units=st.integers(1, MOST_UNITS), count=st.integers(0, 10**9), replicas=st.integers(0, 10**9))
def test_never_more_devices_than_units_or_count(units: int, count: int, replicas: int) -> None:
    found = slices_of(GPU, units, labels(count=count, replicas=replicas))
    assert 0 < found.devices <= min(units, MOST_DEVICES)
    assert not count or found.devices <= count
    share = share_of(found.replicas)
    assert share is None or found.devices == pytest.approx(units * share)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8", 8),
        (8, 8),
        ("1k", 1000),
        ("2Ki", 2048),
        ("1500m", 1),
        ("9007199254740993", MOST_UNITS),
        ("9e15", MOST_UNITS),
        ("1E", MOST_UNITS),
        ("-4", 0),
        ("nan", 0),
        ("1_0", 0),
        ("½", 0),
        ("", 0),
        (None, 0),
        ("eight", 0),
        ("1" * 400, 0),
    ],
)
def test_quantities(text: object, expected: int) -> None:
    assert quantity(text) == expected
