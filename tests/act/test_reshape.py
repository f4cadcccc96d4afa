"""The label protocol against a stand-in of mig-manager: success, failure, time-out, rollback, killed at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.act.reshape import (
    FORSAKEN_SECONDS,
    NodeOrder,
    NodeShown,
    NodeVerb,
    Reshape,
    ReshapePhase,
    ReshapeTerms,
    begun,
    forsaken,
    proceeded,
    read_back,
    written,
)

SEVEN, HALVES = {"nvidia.com/mig-1g.10gb": 7}, {"nvidia.com/mig-3g.40gb": 2}
LAYOUTS: Mapping[str, Mapping[str, int]] = {"all-1g.10gb": SEVEN, "all-3g.40gb": HALVES}
STEP = 30.0


@dataclass
class Node:
    """A node and its mig-manager, which takes `takes` steps for a layout and fails those that it is told to fail.

    As the real one: a new label is seen a step later and after the layout that is being made, the state is pending
    meanwhile, and the device plugin goes away before and comes back a step after success.
    """

    pods: int = 3
    leaves: bool = True
    takes: int = 2
    fails: frozenset[str] = frozenset()
    hangs: frozenset[str] = frozenset()
    offers_nothing: bool = False
    schedulable: bool = True
    config: str = "all-1g.10gb"
    state: str = "success"
    allocatable: Mapping[str, int] = field(default_factory=lambda: SEVEN)
    _made: str = "all-1g.10gb"
    _left: int = 0
    _back: int = 0

    def obey(self, order: NodeOrder | None) -> None:
        if order is None:
            return
        if order.verb is NodeVerb.LABEL:
            assert self.pods == 0, "whoever runs there would be killed"
            assert not self.schedulable, "new pods would come"
            self.config = order.config
        elif order.verb is NodeVerb.EVICT:
            self.pods -= 1 if self.leaves and self.pods else 0
        else:
            self.schedulable = order.verb is NodeVerb.UNCORDON

    def tick(self) -> None:
        if self._back:
            self._back -= 1
            if not self._back and not self.offers_nothing:
                self.allocatable = LAYOUTS[self._made]
        if self.state in ("success", "failed") and self.config != self._made and self._left == 0:
            self.state, self._left = "pending", self.takes
            self._made, self.allocatable = self.config, {}
        elif self._left:
            self._left -= self.config not in self.hangs
            if not self._left:
                self.state = "failed" if self.config in self.fails else "success"
                self._back = 0 if self.state == "failed" else 2

    def show(self) -> NodeShown:
        return NodeShown(self.schedulable, self.pods, self.config, self.state, self.allocatable)


def start(node: Node) -> Reshape:
    going = begun(node.show(), node="n", config="all-3g.40gb", wanted=HALVES, now=0.0)
    assert isinstance(going, Reshape)
    return going


def whole(node: Node, *, steps: int = 200, killed_at: int | None = None) -> Reshape:
    """Until it is done. `killed_at`: at that step the operator dies between deciding and writing, and is back later."""
    going = start(node)
    for step in range(steps):
        going, order = proceeded(going, node.show(), step * STEP)
        if step == killed_at:
            again = read_back(written(going))
            assert again == going
            order, going = None, again
        node.obey(order)
        node.tick()
        if going.phase is ReshapePhase.DONE:
            return going
    raise AssertionError(f"still {going.phase} after {steps} steps")


def test_a_layout_is_made_and_the_node_given_back() -> None:
    node = Node()
    assert whole(node).outcome == "all-3g.40gb is made"
    assert (node.schedulable, node.config, node.allocatable) == (True, "all-3g.40gb", HALVES)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (Node(leaves=False), "3 pods did not leave within 900 s; nothing was changed"),
        (Node(fails=frozenset({"all-3g.40gb"})), "failed to make all-3g.40gb; all-1g.10gb is made again"),
        (Node(hangs=frozenset({"all-3g.40gb"})), "not made within 900 s; all-1g.10gb is made again"),
        (Node(offers_nothing=True), "all-3g.40gb were not offered in time; all-1g.10gb could not be made again either"),
        (
            Node(fails=frozenset({"all-3g.40gb", "all-1g.10gb"})),
            "failed to make all-3g.40gb; all-1g.10gb could not be made again either",
        ),
    ],
)
def test_what_goes_wrong_is_said_and_the_node_given_back(node: Node, words: str) -> None:
    assert whole(node).outcome.endswith(words)
    assert node.schedulable


def test_nothing_was_changed_where_pods_did_not_leave() -> None:
    node = Node(leaves=False)
    whole(node)
    assert (node.pods, node.config, node.allocatable) == (3, "all-1g.10gb", SEVEN)


def test_an_old_success_is_not_taken_for_a_new_one() -> None:
    """Between the label and mig-manager's answer the state still says success, of the layout before."""
    going = replace(start(Node()), phase=ReshapePhase.LABEL)
    stale = NodeShown(False, 0, "all-3g.40gb", "success", SEVEN)
    going, order = proceeded(going, stale, 10.0)
    assert (going.phase, order) == (ReshapePhase.CONFIGURE, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedulable": False}, "by somebody else"),
        ({"state": "pending"}, "mig.config.state pending"),
        ({"state": ""}, "of nothing"),
        ({"config": "all-3g.40gb"}, "already"),
    ],
)
def test_what_is_not_begun(change: dict[str, object], words: str) -> None:
    shown = replace(Node().show(), **change)  # type: ignore[arg-type]
    why = begun(shown, node="n", config="all-3g.40gb", wanted=HALVES, now=0.0)
    assert isinstance(why, str)
    assert words in why


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 5),
    st.booleans(),
    st.integers(1, 6),
    st.sets(st.sampled_from(sorted(LAYOUTS))),
    st.sets(st.sampled_from(sorted(LAYOUTS))),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 30)),
)
def test_whatever_happens_a_node_is_never_left_cordoned(
    pods: int, leaves: bool, takes: int, fails: set[str], hangs: set[str], nothing: bool, killed_at: int | None
) -> None:
    node = Node(pods, leaves, takes, frozenset(fails), frozenset(hangs), nothing)
    going = whole(node, killed_at=killed_at)
    assert node.schedulable
    assert going.outcome
    made = going.outcome == "all-3g.40gb is made"
    assert made is (node.allocatable == HALVES)
    if going.outcome.endswith("is made again"):
        assert node.allocatable == SEVEN


def test_repeating_a_step_asks_for_the_same() -> None:
    node = Node()
    going = start(node)
    for step in range(40):
        going, order = proceeded(going, node.show(), step * STEP)
        assert proceeded(going, node.show(), step * STEP) == (going, order)
        node.obey(order)
        node.tick()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"phase": "Nap", "wanted": {}}', "7"])
def test_what_was_not_written_by_us_is_not_read_back(text: str) -> None:
    assert read_back(text) is None


@pytest.mark.parametrize(
    ("since", "waited", "due"),
    [
        (0.0, 0.0, True),
        (9_000.0, 0.0, False),
        (20_000.0, 0.0, False),
        (20_000.0, 1_800.0, True),
        (None, 1_799.0, False),
    ],
    ids=["old", "young", "written by a clock ahead of ours", "seen to stand still", "nothing to be read"],
)
def test_nobody_takes_it_further(since: float | None, waited: float, due: bool) -> None:
    going = None if since is None else Reshape("n", "b", "a", {}, {}, since=since)
    assert forsaken(going, 10_000.0, waited) is due


def test_no_part_of_a_way_takes_half_as_long_as_it_takes_to_be_forsaken() -> None:
    terms = ReshapeTerms()
    assert max(terms.drain_seconds, terms.configure_seconds, terms.allocatable_seconds) <= FORSAKEN_SECONDS / 2
