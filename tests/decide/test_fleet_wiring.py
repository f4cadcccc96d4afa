"""Nodes that are not what their product is built for: less NVLink, GPUs that have failed, slower than their peers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.fleet.capacity import WHOLE_DOMAIN, DeviceKind, capacity_of
from mfu.decide.fleet.fitting import Quality, fit
from mfu.decide.fleet.standing import Need
from mfu.decide.types import NodeView, Outcome
from tests.builders.cases import node
from tests.builders.fleets import H100, decided, told, waits
from tests.decide.test_fleet_solver import placed, worths

L40S = "NVIDIA-L40S"


def nodes_on(choice: object) -> list[str]:
    return sorted(choice.grant.nodes)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("product", "linked", "joined"),
    [
        (H100, None, WHOLE_DOMAIN),
        (H100, 8, WHOLE_DOMAIN),
        (H100, 4, 4),
        (H100, 1, 1),
        # Built without NVLink: a server of them is one domain, as ever.
        (L40S, 1, WHOLE_DOMAIN),
        # Built in pairs.
        ("NVIDIA-H100-PCIe", 2, WHOLE_DOMAIN),
        ("NVIDIA-H100-PCIe", 1, 1),
    ],
)
def test_what_a_node_joins(product: str, linked: int | None, joined: int) -> None:
    pool = capacity_of([node("n0", product=product, linked=linked)]).pools[DeviceKind("", product)]
    assert pool.joined.tolist() == [joined]


def test_a_clique_joins_what_its_weakest_node_does() -> None:
    pools = capacity_of([node("n0", domain="c"), node("n1", domain="c", linked=4)]).pools
    assert pools[DeviceKind("", H100)].joined.tolist() == [4]


@pytest.mark.parametrize("tensor", [1, 2, 8])
def test_a_job_goes_where_nvlink_joins_all_of_it(tensor: int) -> None:
    """The broken node comes first by name and is as free: with its eight GPUs in two fours it is worth less."""
    broken = node("a0", linked=4)
    assert nodes_on(placed(Need(8, tensor=tensor, worths=worths()), (broken, node("b0")))) == ["b0"]


def test_one_that_fits_into_what_is_joined_may_go_there() -> None:
    """And leaves the sound node whole for others: four and four are free on either, and the broken one has no more."""
    found = placed(Need(4, tensor=4, worths=worths()), (node("a0", linked=4, used=4), node("b0")))
    assert nodes_on(found) == ["a0"]
    assert found.grant.quality is Quality.ONE_DOMAIN


def test_a_group_that_nothing_joins_is_told_so() -> None:
    """Better than no place, last of all, and in words."""
    nodes = (node("a0", linked=4),)
    choice = placed(Need(8, tensor=8, worths=worths()), nodes)
    assert choice.grant.quality is Quality.SPLIT_GROUPS
    decision = told(decided([replace(waits("w"), ask=Need(8, tensor=8, worths=worths()))], nodes), "w")
    assert (decision.outcome, decision.reason) == (Outcome.PLACE, "SplitsTensorGroups")
    assert decision.message == (
        f"8 free {H100} on node a0 only, where NVLink does not join the 8 of a tensor group; "
        "lower parallelism.tensor, or wait"
    )


def test_replicas_in_stages_take_sound_nodes_first() -> None:
    """Sixteen as two tensor groups of eight: two sound nodes, however the third is named."""
    nodes = (node("a0", linked=2), node("b0"), node("c0"))
    assert nodes_on(placed(Need(16, piece=8, tensor=8, worths=worths()), nodes)) == ["b0", "c0"]


@pytest.mark.parametrize(
    ("fields", "free"),
    [
        ({"failed": 1}, 7),
        ({"failed": 1, "used": 3}, 4),
        # The device plugin has withdrawn it already: seven are offered, and all of them work.
        ({"failed": 1, "gpus": 7, "ill": {"nvidia.com/gpu": 1}}, 7),
        ({"failed": 9}, 0),
    ],
)
def test_failed_gpus_are_not_free(fields: dict[str, Any], free: int) -> None:
    pool = capacity_of([node("n0", **fields)]).pools[DeviceKind("", H100)]
    assert (pool.free_gpus, int(pool.emptied.free.sum()) >= free) == (free, True)


def test_eight_do_not_go_where_one_of_eight_has_failed() -> None:
    def where(*nodes: NodeView) -> list[str] | None:
        found = fit(Need(8), capacity_of(nodes))
        return None if found is None else nodes_on(found)

    assert where(node("a0", failed=1), node("b0")) == ["b0"]
    assert where(node("a0", failed=1)) is None


# Marked slow.


def slow(name: str, **fields: Any) -> NodeView:
    return node(name, slow_until=0, **fields)


def test_a_node_that_is_marked_slow_comes_last() -> None:
    """The scheduler keeps off it where it can, and what we name would bind it there: one decision sees the other."""
    assert nodes_on(placed(Need(8, worths=worths()), (slow("a0"), node("b0")))) == ["b0"]
    assert nodes_on(placed(Need(8), (slow("a0"), node("b0")))) == ["b0"]
    pair = placed(Need(16, piece=8, worths=worths()), (slow("a0"), node("b0"), node("c0"), slow("d0")))
    assert nodes_on(pair) == ["b0", "c0"]
    clique = tuple(replace(each, domain="c") for each in (slow("a0"), node("b0"), node("c0")))
    assert nodes_on(placed(Need(16, piece=8, tensor=8, worths=worths()), clique)) == ["b0", "c0"]


def test_it_is_taken_where_nothing_else_is_and_named() -> None:
    nodes = (slow("a0"), node("b0", used=8))
    decision = told(decided([replace(waits("w"), ask=Need(8, worths=worths()))], nodes), "w")
    assert decision.outcome is Outcome.PLACE
    assert decision.message == f"8 free {H100} together on node a0; marked slow: a0"


@pytest.mark.parametrize(("scattered", "chosen"), [(0.95, ["b0", "c0"]), (0.5, ["a0"])])
def test_it_is_taken_where_the_rest_is_worth_less_than_what_it_loses(scattered: float, chosen: list[str]) -> None:
    nodes = (slow("a0"), node("b0", used=4), node("c0", used=4))
    assert nodes_on(placed(Need(8, worths=worths(spread=scattered)), nodes)) == chosen


def test_a_whole_tensor_group_on_a_slow_node_comes_before_a_split_one() -> None:
    nodes = (slow("a0"), node("b0", used=4), node("c0", used=4))
    assert nodes_on(placed(Need(8, tensor=8, worths=worths(spread=1.0)), nodes)) == ["a0"]


def test_a_place_that_no_slow_node_has_loses_nothing_by_others_that_are_slow() -> None:
    """Four are free on n1 and just taken; n0, which is whole, would leave four behind."""
    tight = placed(Need(4), (node("n0"), node("n1", used=4))).grant
    beside = placed(Need(4), (slow("n0"), node("n1", used=4))).grant
    assert (beside.nodes, beside.slow, beside.score) == ({"n1"}, (), tight.score)


def test_a_slow_node_costs_a_tenth() -> None:
    assert placed(Need(8), (node("n0"),)).grant.score == 1.0
    assert placed(Need(8), (slow("n0"),)).grant.score == pytest.approx(0.9)


def test_what_fits_nowhere_fits_nowhere_beside_slow_nodes() -> None:
    assert fit(Need(9, tensor=9), capacity_of([slow("n0")])) is None


def test_scores_where_nothing_is_known_of_worth() -> None:
    """Two of eight stay: a hundredth of a quarter. Of a product of which nothing is known nothing is made."""
    assert placed(Need(6), (node("n0"),)).grant.score == pytest.approx(1.0 - 0.01 * 2 / 8)
    known = Need(8, worths=tuple(each for each in worths() if "h100" in each.product))
    assert known.worths and placed(known, (node("n0", product=L40S),)).grant.score == 0.0


def test_what_just_holds_all_of_it_need_not_hold_whole_groups() -> None:
    grant = placed(Need(6, tensor=4), (node("n0", used=2),)).grant
    assert (grant.quality, grant.gpus) == (Quality.ONE_DOMAIN, 6)


def test_of_the_last_node_only_what_is_left_to_take_is_taken() -> None:
    grant = placed(Need(12), (node("n0", domain="c"), node("n1", domain="c"))).grant
    assert [(each.node, each.gpus) for each in grant.shares] == [("n0", 8), ("n1", 4)]
