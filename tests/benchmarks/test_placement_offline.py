"""The bench without a cluster says of one seed what the run with a cluster said; and how far it could go at all."""

from __future__ import annotations

import json

import pytest

from benchmarks.bench_placement import RESULT
from benchmarks.placement.fleet import FleetNode
from benchmarks.placement.offline import Chooser, Fleet, ceiling, knowing, kueue_order, ours, played
from benchmarks.placement.work import Work
from benchmarks.placement_truth import HARDWARE, KINDS, Truth

pytestmark = pytest.mark.slow


def measured(contender: str) -> float:
    runs = json.loads(RESULT.read_text())["runs"]
    found = next(each for each in runs if (each["contender"], each["seed"]) == (contender, 1))
    return 1000.0 * float(found["cost_per_useful_pflop"])


@pytest.mark.parametrize(("name", "choose"), [("kueue", kueue_order), ("ours", ours(1))])
def test_it_says_what_was_measured(name: str, choose: Chooser) -> None:
    assert played(1, choose).cost_per_exaflop == pytest.approx(measured(name), rel=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_cheaper_than_the_ceiling(seed: int) -> None:
    least = ceiling(seed)
    for choose in (kueue_order, knowing(Truth(seed)), ours(seed)):
        assert played(seed, choose).cost_per_exaflop > least


def test_the_goal_is_beyond_the_ceiling_of_one_seed() -> None:
    assert played(2, kueue_order).cost_per_exaflop / ceiling(2) - 1.0 < 0.15


def test_tensor_groups_stay_whole_in_the_order_of_kueue() -> None:
    hardware = HARDWARE["NVIDIA-A100-80GB-PCIe"]
    nodes = {name: FleetNode(name, hardware, 8, "leaf") for name in ("a", "b", "c")}
    job = Work("job", KINDS["9b-tp4"], 0.0, 1.0)
    assert kueue_order(job, Fleet(nodes, {"a": 6, "b": 6, "c": 3})) == ["a", "a", "b", "b"]
