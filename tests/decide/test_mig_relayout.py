"""Which node gets another MIG layout, of those that mig-manager looks after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.mig.configs import named_layouts
from mfu.decide.fleet.mig.layouts import layouts_of, profiles_of
from mfu.decide.fleet.mig.relayout import Relayout, relayout, relayouts, sliced_words
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.types import NodeView
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from tests.builders.cases import gpu

LABELS = {
    "nvidia.com/mig.config": "all-1g.10gb",
    "nvidia.com/mig.config.state": "success",
    "nvidia.com/mig.strategy": "mixed",
    "nvidia.com/gpu.count": "2",
}


def sliced(name: str = "n0", *, used: dict[str, int] | None = None, labels: dict[str, str] | None = None) -> NodeView:
    held = {f"nvidia.com/mig-{profile}": count for profile, count in (used or {}).items()}
    return NodeView(name, "H100", Device(gpu()), 0, mig={"1g.10gb": 14}, used=held, labels={**LABELS, **(labels or {})})


def waits(name: str, profile: str = "3g.40gb", *, copies: int = 1, **fields: Any) -> Standing:
    return replace(Standing(f"team/{name}", pending=True, ask=Need(1, copies=copies, profile=profile)), **fields)


def test_a_node_is_given_the_layout_that_those_who_wait_need() -> None:
    found = relayout([sliced()], [waits("a"), waits("b", waiting_since=5.0), waits("c", "", waiting_since=9.0)])
    assert found is not None
    assert (found.node, found.config, found.moved) == ("n0", "all-3g.40gb", 0)
    assert found.wanted == {"nvidia.com/mig-3g.40gb": 4}
    assert found.serves == ("team/a", "team/b")
    assert found.words == "give node n0 the MIG layout all-3g.40gb (4 of 3g.40gb)"


NOTHING: dict[str, tuple[NodeView, Standing]] = {
    "what is wanted is free": (sliced(), waits("a", "1g.10gb")),
    "only declared": (sliced(), waits("a", pending=False)),
    "whole GPUs": (sliced(), waits("a", "")),
    "nobody gave it to MIG": (sliced(labels={"nvidia.com/mig.config": "all-disabled"}), waits("a")),
    "a layout of the admin's own": (sliced(labels={"nvidia.com/mig.config": "ours"}), waits("a")),
    "mig-manager is at work": (sliced(labels={"nvidia.com/mig.config.state": "pending"}), waits("a")),
    "it failed before": (sliced(labels={"nvidia.com/mig.config.state": "failed"}), waits("a")),
    "slices are called GPUs": (sliced(labels={"nvidia.com/mig.strategy": "single"}), waits("a")),
    "cordoned": (replace(sliced(), schedulable=False), waits("a")),
    "not ready": (replace(sliced(), ready=False), waits("a")),
    "its slices are shared": (replace(sliced(), replicas={"nvidia.com/mig-1g.10gb": 4}), waits("a")),
    "what runs would not fit any more": (sliced(used={"1g.10gb": 9}), waits("a")),
    "it would move more than it serves": (sliced(used={"1g.10gb": 2}), waits("a", "2g.20gb")),
    "how many GPUs is not known": (sliced(labels={"nvidia.com/gpu.count": "many"}), waits("a")),
}


@pytest.mark.parametrize("name", NOTHING)
def test_left_as_it_is(name: str) -> None:
    node, standing = NOTHING[name]
    assert relayout([node], [standing]) is None


def test_what_runs_keeps_its_slices_and_costs_what_it_moves() -> None:
    """Balanced holds two of the smallest a GPU beside one of two and one of three."""
    node = sliced(used={"1g.10gb": 1})
    found = relayout([node], [waits("a", "2g.20gb", copies=2)])
    assert found is not None
    assert (found.config, found.moved) == ("all-balanced", 1)
    assert found.wanted["nvidia.com/mig-1g.10gb"] >= 1
    assert found.words.endswith("after its 1 held slices are left within their budgets")


def test_the_emptier_node_is_taken_and_spared_ones_are_not() -> None:
    nodes = [sliced("n0", used={"1g.10gb": 1}), sliced("n1")]
    wanting = [waits("a", "2g.20gb", copies=2)]
    chosen = relayout(nodes, wanting)
    assert chosen is not None
    assert chosen.node == "n1"
    other = relayout(nodes, wanting, spared={"n1"})
    assert other is not None
    assert other.node == "n0"


@pytest.mark.parametrize("key", sorted(each.key for each in load().gpus.values() if isinstance(each, GPU)))
def test_every_named_layout_can_stand(key: str) -> None:
    for counts in named_layouts(key).values():
        assert counts in layouts_of(key)


def test_names_as_mig_parted_has_them() -> None:
    profiles = [each.name for each in profiles_of("h100-sxm5-80gb")]
    found = {
        name: {profile: count for profile, count in zip(profiles, counts, strict=True) if count}
        for name, counts in named_layouts("h100-sxm5-80gb").items()
    }
    assert found["all-1g.10gb"] == {"1g.10gb": 7}
    assert found["all-3g.40gb"] == {"3g.40gb": 2}
    assert found["all-7g.80gb"] == {"7g.80gb": 1}
    assert found["all-balanced"] == {"1g.10gb": 2, "2g.20gb": 1, "3g.40gb": 1}
    assert not any("+" in name for name in found)


def test_holds_are_not_needed_to_tell_who_waits() -> None:
    held = waits("a", holds={DeviceKind("1g.10gb", "H100"): 1})
    assert relayout([sliced()], [held]) is not None


def test_slices_in_words() -> None:
    wanted = {"nvidia.com/mig-1g.10gb": 2, "nvidia.com/mig-3g.40gb": 1}
    assert sliced_words(wanted) == "2 of 1g.10gb, 1 of 3g.40gb"
    change = Relayout("n0", "all-balanced", wanted, ("team/a",), 3)
    held = ", after its 3 held slices are left within their budgets"
    assert change.words == f"give node n0 the MIG layout all-balanced (2 of 1g.10gb, 1 of 3g.40gb){held}"


def test_the_change_that_serves_most_comes_first_then_what_moves_least_then_by_name() -> None:
    """A product of which two wait for slices, one of which one does; and of alike nodes the first by name."""
    a30 = Device(gpu("A30"))
    other = replace(sliced("a30"), device=a30, labels={**LABELS, "nvidia.com/mig.config": "all-1g.6gb"})
    wanting = [waits("x", "2g.12gb"), waits("y", copies=4), waits("z", copies=4)]
    found = relayouts([other, sliced("n1"), sliced("n0")], wanting)
    assert [(each.node, each.serves) for each in found] == [
        ("n0", ("team/y", "team/z")),
        ("n1", ("team/y", "team/z")),
        ("a30", ("team/x",)),
    ]
    busy = [sliced("n0", used={"1g.10gb": 1}), sliced("n1")]
    moved = relayouts(busy, [waits("a", "2g.20gb", copies=8)])
    assert [(each.node, each.moved) for each in moved] == [("n1", 0), ("n0", 1)]


def test_as_many_slices_are_wanted_as_all_copies_take() -> None:
    """Four on one node for two copies of two each."""
    many = replace(waits("a"), ask=Need(2, copies=2, profile="3g.40gb"))
    assert [each.node for each in relayouts([sliced("n0"), sliced("n1")], [many])] == ["n0"]
    more = replace(waits("a"), ask=Need(2, copies=3, profile="3g.40gb"))
    assert [each.node for each in relayouts([sliced("n0"), sliced("n1")], [more])] == ["n0", "n1"]


def test_moving_one_costs_as_much_as_serving_one_brings() -> None:
    node = sliced(used={"1g.10gb": 1})
    assert relayout([node], [waits("a", "2g.20gb")]) is None
    assert relayout([node], [waits("a", "2g.20gb"), waits("b", "2g.20gb")]) is not None


def test_only_who_gets_a_slice_more_is_served() -> None:
    """Whoever waits for what the node offers already, or for what the new layout has none of, gets nothing by it."""
    wanting = [waits("a", copies=4), waits("b", "1g.10gb"), waits("c", "7g.80gb"), waits("d", "2g.20gb")]
    found = relayout([sliced()], wanting)
    assert found is not None
    assert (found.config, found.serves) == ("all-3g.40gb", ("team/a",))


def test_without_a_device_a_share_or_a_gpu_it_is_not_looked_at() -> None:
    for node in (
        replace(sliced(), device=None),
        replace(sliced(), sharing="HAMi"),
        sliced(labels={"nvidia.com/gpu.count": "0"}),
        sliced(labels={"nvidia.com/gpu.count": "²"}),
        sliced(labels={"nvidia.com/gpu.count": ""}),
        sliced(labels={"nvidia.com/mig.config": ""}),
    ):
        assert relayouts([node], [waits("a")]) == ()
    unlabelled = {key: value for key, value in LABELS.items() if key != "nvidia.com/gpu.count"}
    assert relayouts([replace(sliced(), labels=unlabelled)], [waits("a")]) == ()
    one = sliced(labels={"nvidia.com/gpu.count": "1"})
    assert [each.wanted for each in relayouts([one], [waits("a")])] == [{"nvidia.com/mig-3g.40gb": 2}]


def test_who_asks_for_nothing_is_not_waited_for() -> None:
    nobody = replace(waits("a"), ask=None)
    assert relayouts([sliced()], [nobody]) == ()
    assert [each.serves for each in relayouts([sliced()], [nobody, waits("b")])] == [("team/b",)]


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("a30", ["all-1g.6gb", "all-2g.12gb", "all-4g.24gb"]),
        ("l40s", []),
        ("a100-sxm4-40gb", ["all-1g.5gb", "all-2g.10gb", "all-3g.20gb", "all-4g.20gb", "all-7g.40gb", "all-balanced"]),
    ],
)
def test_the_layouts_that_are_known_by_name(key: str, names: list[str]) -> None:
    assert [each for each in sorted(named_layouts(key)) if "+" not in each] == sorted(named_layouts(key))
    assert set(names) <= set(named_layouts(key))
