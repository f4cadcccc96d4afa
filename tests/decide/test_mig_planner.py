"""MIG layouts against NVIDIA's placement table and against everything that could be done instead."""

from __future__ import annotations

import csv
from itertools import combinations_with_replacement, product
from pathlib import Path
from random import Random
from statistics import mean

import pytest

from mfu.decide.fleet.mig.layouts import Counts, counts_of, full_layouts, layouts_of, profiles_of
from mfu.decide.fleet.mig.planner import MOST_ORDERS, LayoutPlan, SlicedNode, Wanted, _orders, plan_layouts, valid
from mfu.hardware.catalog import load

H100, A30 = "h100-sxm5-80gb", "a30"
TABLE = Path(__file__).parents[3] / "shared" / "data" / "mig.csv"
SLICED = sorted(key for key, gpu in load().gpus.items() if gpu.mig_max_instances)


def test_every_product_with_instances_has_profiles_and_a_whole_one() -> None:
    for key in SLICED:
        names = [profile.name for profile in profiles_of(key)]
        assert names, f"{key} claims {load().gpus[key].mig_max_instances} instances"
        assert any(sum(counts) == load().gpus[key].mig_max_instances for counts in layouts_of(key)), key
        assert all(counts_of(key, places) == counts for counts, places in layouts_of(key).items())


def test_a_product_without_mig_has_no_layout() -> None:
    assert not layouts_of("l40s")
    assert not layouts_of("nothing-of-that-name")


@pytest.mark.parametrize("key", SLICED)
def test_no_layout_contradicts_the_placement_table(key: str) -> None:
    """Read from the table itself, slice by slice: nothing overlaps, starts are allowed, no profile too often."""
    profiles = {each.name: each for each in profiles_of(key)}
    for places in layouts_of(key).values():
        taken: list[int] = []
        for name, start in places:
            assert start in profiles[name].placement_starts
            taken += range(start, start + profiles[name].placement_size)
        assert len(taken) == len(set(taken)), places
        assert sum(profiles[name].compute_slices for name, _ in places) <= load().gpus[key].mig_max_instances
        for name, profile in profiles.items():
            assert sum(each == name for each, _ in places) <= profile.max_instances


def test_the_catalog_says_what_the_table_says() -> None:
    with TABLE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    profiles = {(profile.gpu_key, profile.name): profile for key in SLICED for profile in profiles_of(key)}
    checked = 0
    for row in rows:
        profile = profiles.get((row["gpu_key"], row["profile"]))
        if profile is not None and row["placement_starts"]:
            starts = tuple(int(each) for each in row["placement_starts"].replace(",", " ").replace(";", " ").split())
            assert starts == profile.placement_starts
            checked += 1
    assert checked > 50


def test_worked_layouts() -> None:
    names = [profile.name for profile in profiles_of(H100)]

    def counts(**wanted: int) -> Counts:
        return tuple(wanted.get(name.replace(".", "_"), 0) for name in names)

    known = layouts_of(H100)
    assert counts(**{"3g_40gb": 2}) in known
    assert counts(**{"4g_40gb": 1, "3g_40gb": 1}) in known
    assert counts(**{"4g_40gb": 2}) not in known, "it starts at slice 0 only"
    assert counts(**{"7g_80gb": 1, "1g_10gb": 1}) not in known
    assert counts(**{"1g_10gb": 7}) in full_layouts(H100)
    assert counts(**{"1g_10gb": 6}) not in full_layouts(H100)


def node(name: str, key: str, chance: Random, gpus: int) -> SlicedNode:
    """Some layout on each GPU, some of its instances held."""
    layouts = tuple(chance.choice(sorted(layouts_of(key))) for _ in range(gpus))
    used = tuple(tuple(chance.randint(0, count) if chance.random() < 0.4 else 0 for count in each) for each in layouts)
    cost = sum(map(sum, used)) * chance.choice((0.0, 0.2, 1.0))
    return SlicedNode(name, key, layouts, used, cost)


def mix(key: str, chance: Random) -> Wanted:
    names = [profile.name for profile in profiles_of(key)]
    weights = [profile.sm_fraction for profile in profiles_of(key)]
    return {
        name: [weight * chance.choice((0.5, 1.0, 1.0, 2.0)) for _ in range(chance.choice((0, 0, 1, 2, 4, 7)))]
        for name, weight in zip(names, weights, strict=True)
    }


def best(nodes: list[SlicedNode], wanted: Wanted) -> float:
    """The value of the best of all: each node as it is, or with any full layout on each of its GPUs."""
    answers = []
    for each in nodes:
        layouts = combinations_with_replacement(full_layouts(each.gpu_key), len(each.layouts))
        shaped = {tuple(map(sum, zip(*chosen, strict=True))) for chosen in layouts}
        spare = {tuple(a - b for a, b in zip(total, each.held, strict=True)) for total in shaped}
        answers.append([(each.free, 0.0), *((left, each.drain_cost) for left in spare if min(left) >= 0)])
    values = [sorted(wanted.get(profile.name, ()), reverse=True) for profile in profiles_of(nodes[0].gpu_key)]
    sums = [[sum(each[:count]) for count in range(60)] for each in values]
    found = 0.0
    for choice in product(*answers):
        offered = map(sum, zip(*(counts for counts, _ in choice), strict=True))
        worth = sum(column[count] for column, count in zip(sums, offered, strict=True))
        found = max(found, worth - sum(cost for _, cost in choice))
    return found


def planned(nodes: list[SlicedNode], wanted: Wanted) -> LayoutPlan:
    found = plan_layouts(nodes, wanted)
    assert found == plan_layouts(nodes[::-1], wanted), "the order of nodes is nothing"
    for each in nodes:
        if each.name in found.changes:
            assert valid(each, found.changes[each.name])
    return found


@pytest.mark.parametrize(
    ("key", "shape", "mixes"), [(A30, (2, 2), 30), (H100, (1, 1), 30), (H100, (2,), 25), (H100, (1,), 60)]
)
def test_plans_reach_the_best_of_all_on_random_mixes(key: str, shape: tuple[int, ...], mixes: int) -> None:
    chance = Random(f"{key} {shape}")
    shares = []
    for _ in range(mixes):
        nodes = [node(f"n{row}", key, chance, gpus) for row, gpus in enumerate(shape)]
        wanted = mix(key, chance)
        most = best(nodes, wanted)
        found = planned(nodes, wanted).value
        assert found <= most + 1e-9
        if most > 0:
            shares.append(found / most)
    assert mean(shares) >= 0.98
    assert min(shares) >= 0.95


def test_a_node_is_left_alone_where_reshaping_costs_more_than_it_brings() -> None:
    empty = next(counts for counts in layouts_of(H100) if sum(counts) == 1 and counts[0] == 1)
    wanted = {"1g.10gb": [0.1] * 7}
    cheap = SlicedNode("n", H100, (empty,), (empty,), drain_cost=0.0)
    assert not plan_layouts([cheap], wanted).changes, "what runs there needs the whole GPU"
    idle = SlicedNode("n", H100, (empty,), ((0,) * len(empty),), drain_cost=0.5)
    assert plan_layouts([idle], wanted).served == {"1g.10gb": 7}
    dear = SlicedNode("n", H100, (empty,), ((0,) * len(empty),), drain_cost=0.8)
    assert not plan_layouts([dear], wanted).changes


def test_free_slices_come_before_reshaping() -> None:
    names = [profile.name for profile in profiles_of(H100)]
    seven = tuple(7 if name == "1g.10gb" else 0 for name in names)
    none = (0,) * len(names)
    plan = plan_layouts(
        [SlicedNode("a", H100, (seven,), (none,)), SlicedNode("b", H100, (seven,), (none,))], {"1g.10gb": [1.0] * 9}
    )
    assert not plan.changes
    assert plan.served == {"1g.10gb": 9}


NAMES = [profile.name for profile in profiles_of(H100)]


def of(**wanted: int) -> Counts:
    """`of(p3g_40gb=2)`."""
    return tuple(wanted.get(f"p{name.replace('.', '_')}", 0) for name in NAMES)


NONE, SEVEN, TWO, WHOLE = of(), of(p1g_10gb=7), of(p3g_40gb=2), of(p7g_80gb=1)


def test_what_is_free_is_what_is_there_less_what_is_held() -> None:
    made = SlicedNode("n", H100, (SEVEN, TWO), (of(p1g_10gb=3), NONE))
    assert made.held == of(p1g_10gb=3)
    assert made.free == of(p1g_10gb=4, p3g_40gb=2)


@pytest.mark.parametrize(
    ("layouts", "used", "stands"),
    [
        ((SEVEN, TWO), (NONE, NONE), True),
        ((SEVEN, TWO), (of(p1g_10gb=7), of(p3g_40gb=2)), True),
        ((SEVEN, SEVEN), (of(p1g_10gb=7), of(p3g_40gb=1)), False),
        ((TWO, TWO), (of(p1g_10gb=1), of(p3g_40gb=2)), False),
        ((SEVEN,), (NONE, NONE), False),
        ((SEVEN, of(p4g_40gb=2)), (NONE, NONE), False),
        ((of(p4g_40gb=2), of(p4g_40gb=2)), (NONE, NONE), False),
    ],
)
def test_what_a_node_can_be(layouts: tuple[Counts, ...], used: tuple[Counts, ...], stands: bool) -> None:
    assert valid(SlicedNode("n", H100, (SEVEN, TWO), used), layouts) is stands


def test_few_nodes_choose_in_every_order_and_of_many_each_begins_once() -> None:
    assert sorted(_orders(1)) == [(0,)]
    assert len(set(_orders(4))) == 24
    assert list(_orders(5)) == [
        (0, 1, 2, 3, 4),
        (1, 2, 3, 4, 0),
        (2, 3, 4, 0, 1),
        (3, 4, 0, 1, 2),
        (4, 0, 1, 2, 3),
    ]
    many = list(_orders(12))
    assert MOST_ORDERS == 8
    assert [each[0] for each in many] == list(range(8))
    assert all(sorted(each) == list(range(12)) for each in many)


def test_the_value_is_what_is_served_less_what_it_costs() -> None:
    """Two want a slice that one node gives for 0.25; a third, worth less, wants one that nobody offers then."""
    made = SlicedNode("n", H100, (SEVEN,), (NONE,), drain_cost=0.25)
    plan = plan_layouts([made], {"3g.40gb": [1.0, 2.0], "7g.80gb": [0.5]})
    assert plan == LayoutPlan({"n": (TWO,)}, {"3g.40gb": 2, "7g.80gb": 0}, 2.75)


@pytest.mark.parametrize(("cost", "changes"), [(0.99, 1), (1.0, 0), (1.01, 0)])
def test_it_has_to_gain_more_than_it_costs(cost: float, changes: int) -> None:
    made = SlicedNode("n", H100, (SEVEN,), (NONE,), drain_cost=cost)
    assert len(plan_layouts([made], {"7g.80gb": [1.0]}).changes) == changes


def test_what_is_served_as_it_is_counts_for_it() -> None:
    """Seven small ones wait, of which seven are served; one large one is worth five of them."""
    made = SlicedNode("n", H100, (SEVEN,), (NONE,))
    assert plan_layouts([made], {"1g.10gb": [1.0] * 7, "7g.80gb": [5.0]}) == LayoutPlan(
        {}, {"1g.10gb": 7, "7g.80gb": 0}, 7.0
    )
    assert plan_layouts([made], {"1g.10gb": [1.0] * 4, "7g.80gb": [5.0]}).changes == {"n": (WHOLE,)}


def test_the_most_valuable_are_served_first() -> None:
    made = SlicedNode("n", H100, (TWO,), (NONE,))
    assert plan_layouts([made], {"3g.40gb": [1.0, 9.0, 4.0]}).value == 13.0


def test_nobody_waits_and_nothing_changes() -> None:
    made = SlicedNode("n", H100, (SEVEN,), (NONE,))
    assert plan_layouts([made], {}) == LayoutPlan()
    assert plan_layouts([], {"7g.80gb": [1.0]}) == LayoutPlan({}, {"7g.80gb": 0}, 0.0)


CHOICES = tuple((counts, counts) for counts in (SEVEN, TWO, WHOLE))


@pytest.mark.parametrize(
    ("used", "wanted", "chosen"),
    [
        (NONE, {"3g.40gb": [1.0] * 3}, TWO),
        (NONE, {"7g.80gb": [1.0]}, WHOLE),
        (NONE, {"3g.40gb": [1.0], "7g.80gb": [1.0, 1.0]}, WHOLE),
        (of(p3g_40gb=2), {"7g.80gb": [9.0]}, None),
        (of(p1g_10gb=1), {"3g.40gb": [1.0] * 3}, None),
        (NONE, {"2g.20gb": [1.0]}, None),
    ],
    ids=["two", "whole", "worth more", "what runs stays", "nor any smaller", "no choice has it"],
)
def test_of_given_layouts_the_one_that_holds_what_runs_and_serves_most(
    used: Counts, wanted: Wanted, chosen: Counts | None
) -> None:
    made = SlicedNode("n", H100, (SEVEN, SEVEN), (used, NONE), choices=CHOICES)
    changes = {} if chosen is None else {"n": (chosen, chosen)}
    assert plan_layouts([made], wanted).changes == changes


def test_what_runs_is_not_counted_as_free_in_a_new_layout() -> None:
    """Of four slices one is held: three more are served."""
    made = SlicedNode("n", H100, (TWO, SEVEN), (of(p3g_40gb=1), NONE), choices=((TWO, TWO), (SEVEN, SEVEN)))
    assert plan_layouts([made], {"3g.40gb": [1.0] * 9}) == LayoutPlan({"n": (TWO, TWO)}, {"3g.40gb": 3}, 3.0)


def test_nodes_answer_what_the_others_offer() -> None:
    """One of two alike is enough, and the one that is cheaper to drain is taken, whichever comes first by name."""
    dear, cheap = (SlicedNode(name, H100, (SEVEN,), (NONE,), cost) for name, cost in (("a", 0.5), ("b", 0.25)))
    assert plan_layouts([dear, cheap], {"3g.40gb": [1.0, 1.0]}) == LayoutPlan({"b": (TWO,)}, {"3g.40gb": 2}, 1.75)
    both = plan_layouts([dear, cheap], {"3g.40gb": [1.0] * 4})
    assert both == LayoutPlan({"a": (TWO,), "b": (TWO,)}, {"3g.40gb": 4}, 3.25)


def test_eight_gpus_are_filled_with_what_is_worth_most() -> None:
    """Three whole ones, two pairs of halves, and 21 sevenths of three more: all are served."""
    made = SlicedNode("n", H100, (of(p4g_40gb=1),) * 8, (NONE,) * 8)
    wanted = {"7g.80gb": [1.0] * 3, "3g.40gb": [0.5] * 4, "1g.10gb": [0.125] * 21}
    plan = plan_layouts([made], wanted)
    assert plan.served == {"7g.80gb": 3, "3g.40gb": 4, "1g.10gb": 21}
    assert plan.value == 3.0 + 2.0 + 21 * 0.125
    assert valid(made, plan.changes["n"])


def test_of_given_layouts_what_runs_is_taken_off_before_they_are_compared() -> None:
    """One 3g runs. Two of them a GPU leave three, worth 3; balanced leaves one beside two 2g, worth 1 + 1.8."""
    balanced = of(p1g_10gb=2, p2g_20gb=1, p3g_40gb=1)
    choices = ((balanced, balanced), (TWO, TWO))
    made = SlicedNode("n", H100, (TWO, SEVEN), (of(p3g_40gb=1), NONE), choices=choices)
    assert plan_layouts([made], {"3g.40gb": [1.0] * 4, "2g.20gb": [0.9] * 2}).changes == {"n": (TWO, TWO)}
