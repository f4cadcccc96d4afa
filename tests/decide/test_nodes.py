"""What a node can give: devices of its own against turns on shared ones, what is taken, and what takes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.types import NodeView
from tests.builders.cases import node

WHOLE, SLICE, OTHER = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "amd.com/gpu"


def using(used: dict[str, int], **fields: Any) -> NodeView:
    return replace(node("n"), used=used, **fields)


FREE: dict[str, tuple[NodeView, str, int, int]] = {
    "nothing taken": (using({}), WHOLE, 8, 8),
    "some taken": (using({WHOLE: 3}), WHOLE, 8, 5),
    "all taken": (using({WHOLE: 8}), WHOLE, 8, 0),
    "more taken than there is": (using({WHOLE: 9}), WHOLE, 8, 0),
    "whole GPUs are one stock whatever they are called": (using({WHOLE: 2, OTHER: 3}), WHOLE, 8, 3),
    "slices take no whole GPU": (using({SLICE: 5}), WHOLE, 8, 8),
    "slices are counted by their profile": (using({SLICE: 5, "nvidia.com/mig-2g.20gb": 1}), SLICE, 7, 2),
    "whole GPUs take no slice": (using({WHOLE: 8}), SLICE, 7, 7),
    "more slices taken than there are": (using({SLICE: 9}), SLICE, 7, 0),
    "a cordoned node": (using({}, schedulable=False), WHOLE, 8, 0),
    "a node that is not ready": (using({}, ready=False), WHOLE, 8, 0),
    "devices that are offered to several are nobody's own": (using({}, replicas={WHOLE: 10}), WHOLE, 8, 0),
    "under another name too": (using({}, replicas={f"{WHOLE}.shared": 10}), WHOLE, 8, 0),
    "other devices that are shared": (using({}, replicas={SLICE: 10}), WHOLE, 8, 8),
}


@pytest.mark.parametrize("name", FREE)
def test_free(name: str) -> None:
    of, resource, allocatable, want = FREE[name]
    assert of.free(resource, allocatable) == want


UNITS: dict[str, tuple[NodeView, str, int]] = {
    "whole GPUs": (using({}), WHOLE, 8),
    "ten turns on each": (using({}, replicas={WHOLE: 10}), WHOLE, 80),
    "a number of turns that nobody knows counts once": (using({}, replicas={WHOLE: None}), WHOLE, 8),
    "slices": (using({}, mig={"1g.10gb": 7}), SLICE, 7),
    "slices of a profile that is not there": (using({}, mig={"2g.20gb": 3}), SLICE, 0),
    "three turns on each slice": (
        using({}, mig={"1g.10gb": 7}, replicas={f"{SLICE}.shared": 3}),
        f"{SLICE}.shared",
        21,
    ),
    "ill ones are held still": (using({}, ill={WHOLE: 2}), WHOLE, 10),
    "ill ones of another kind are not": (using({}, ill={SLICE: 2}), WHOLE, 8),
}


@pytest.mark.parametrize("name", UNITS)
def test_units_that_pods_can_hold_together(name: str) -> None:
    of, resource, want = UNITS[name]
    assert of.units(resource) == want


@pytest.mark.parametrize(
    ("replicas", "share"), [({}, 1.0), ({WHOLE: 1}, 1.0), ({WHOLE: 10}, 0.1), ({WHOLE: None}, None), ({SLICE: 4}, 1.0)]
)
def test_a_pod_pays_for_its_share_of_a_device(replicas: dict[str, int | None], share: float | None) -> None:
    assert using({}, replicas=replicas).share(WHOLE) == share


def test_a_device_is_shared_under_either_name() -> None:
    assert using({}, replicas={f"{WHOLE}.shared": 2}).sliced(WHOLE)
    assert using({}, replicas={WHOLE: 2}).sliced(f"{WHOLE}.shared")
    assert not using({}, replicas={SLICE: 2}).sliced(WHOLE)
    assert not using({}).sliced(WHOLE)
