"""GPUNodes, as their agents write them, into what placement asks of a node."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.cluster.wiring import Wiring, joined, wired, wiring
from tests.builders.cases import node


def switched(*links: int) -> list[list[int]]:
    """By what each GPU has left to the switch, as the agent writes it: a pair has what both have."""
    return [[0 if a == b else min(left, right) for b, right in enumerate(links)] for a, left in enumerate(links)]


def of(**status: Any) -> dict[str, Any]:
    gpus = [{"index": each, "uuid": f"GPU-{each}", "health": "Healthy"} for each in range(8)]
    return {"metadata": {"name": "n0"}, "status": {"gpus": gpus, **status}}


@pytest.mark.parametrize(
    ("matrix", "most"),
    [
        (switched(*[18] * 8), 8),
        # One GPU has lost its links, or more than half of them; a single lost link is none to split a group for.
        (switched(*[18] * 7, 0), 7),
        (switched(*[18] * 7, 8), 7),
        (switched(*[18] * 7, 17), 8),
        # Pairs by bridges, and a ring of four: reached peer by peer.
        ([[0, 4, 0, 0], [4, 0, 0, 0], [0, 0, 0, 4], [0, 0, 4, 0]], 2),
        ([[0, 2, 0, 2], [2, 0, 2, 0], [0, 2, 0, 2], [2, 0, 2, 0]], 4),
        ([[0, 0], [0, 0]], None),
        ([], None),
    ],
)
def test_what_links_join(matrix: list[list[int]], most: int | None) -> None:
    assert joined(matrix) == most


def test_what_placement_hears_of_a_node() -> None:
    assert wiring(of(nvlink={"matrix": switched(*[18] * 7, 0), "switched": True})) == Wiring(7, 0)
    ill = of()
    ill["status"]["gpus"][3] |= {"health": "Failed", "healthReasons": ["XID79"]}
    ill["status"]["gpus"][4] |= {"health": "Degraded"}
    assert wiring(ill) == Wiring(None, 1)
    found = wired(node("n0"), Wiring(7, 1))
    assert (found.linked, found.failed) == (7, 1)


def limited(*watts: tuple[int | None, int | None]) -> dict[str, Any]:
    """By the limit in force and the one that each GPU was shipped with."""
    gpus = [
        {"index": each, "uuid": f"GPU-{each}", "powerLimitWatts": now, "defaultPowerLimitWatts": shipped}
        for each, (now, shipped) in enumerate(watts)
    ]
    return {"metadata": {"name": "n0"}, "status": {"gpus": gpus}}


@pytest.mark.parametrize(
    ("watts", "lowest"),
    [
        ([(700, 700)] * 8, None),
        ([(700, 700)] * 7 + [(500, 700)], 500.0),
        ([(600, 700), (500, 700)], 500.0),
        ([(None, 700), (500, None), (0, 700)], None),
        ([(750, 700)], None),
    ],
)
def test_the_lowest_power_limit_that_somebody_lowered(
    watts: list[tuple[int | None, int | None]], lowest: float | None
) -> None:
    found = wiring(limited(*watts))
    assert (found.power_limit_watts if found else None) == lowest
    assert wired(node("n0"), found).power_limit_watts == lowest


@pytest.mark.parametrize(
    "item",
    [
        {"metadata": {"name": "n0"}},
        of(),
        # A matrix of other GPUs than those that are listed, one without links, and what is no status at all.
        of(nvlink={"matrix": switched(18, 18)}),
        of(nvlink={"matrix": switched(*[0] * 8)}),
        of(nvlink={"matrix": "none"}),
        {"metadata": {"name": "n0"}, "status": {"gpus": 7}},
    ],
    ids=["empty", "no NVLink", "other GPUs", "no links", "no matrix", "no status"],
)
def test_what_says_nothing_changes_nothing(item: dict[str, Any]) -> None:
    assert wiring(item) is None
    assert wired(node("n0"), None) == node("n0")


def test_a_ragged_matrix_is_no_matrix() -> None:
    assert wiring(of(nvlink={"matrix": [[0, 1]] * 8})) is None
