"""Ranks in order: which node each pod takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mfu.act.ranks import RANK_LABELS, RankedPod, kept_to, rank_of, rank_order, seats
from mfu.api.powers import ActionType
from mfu.decide.fleet.capacity import DeviceKind, Share
from mfu.decide.fleet.fitting import Grant, Quality

KIND = DeviceKind("", "NVIDIA-H100-80GB-HBM3")


def grant(*shares: tuple[str, int]) -> Grant:
    return Grant(KIND, Quality.WHOLE_GROUPS, tuple(Share(*each) for each in shares), ())


def pods(count: int, gpus: int = 1) -> list[RankedPod]:
    return [RankedPod(f"u{rank}", rank, gpus) for rank in range(count)]


def test_the_order_of_ranks_names_each_node_once_for_neighbours() -> None:
    pods = [RankedPod(f"u{rank}", rank, 1) for rank in (3, 0, 2, 1)]
    taken = {"u0": Share("a", 1), "u1": Share("a", 1), "u2": Share("b", 1), "u3": Share("a", 1)}
    assert rank_order(pods, taken) == "a=0-1,b=2,a=3"
    assert rank_order(pods, {}) == ""
    many = [RankedPod(str(rank), rank, 1) for rank in range(2000)]
    assert rank_order(many, {each.uid: Share(f"node-{each.uid}", 1) for each in many}) == "", "too long to say"


def test_neighbours_in_rank_are_neighbours_in_place() -> None:
    found = seats(pods(4)[::-1], [grant(("a", 2), ("b", 2))])
    assert {uid: seat.node for uid, seat in found.items()} == {"u0": "a", "u1": "a", "u2": "b", "u3": "b"}
    assert found["u0"].gpus == 1


def test_who_has_no_number_or_the_number_of_another_takes_no_seat() -> None:
    place = [grant(("a", 1), ("b", 1))]
    assert seats([RankedPod("x", None, 1), RankedPod("y", 0, 1)], place) == {}
    assert seats([RankedPod("x", 0, 1), RankedPod("y", 0, 1)], place) == {}


def test_a_place_for_others_gives_no_seats() -> None:
    assert seats(pods(3), [grant(("a", 1), ("b", 1))]) == {}
    assert seats(pods(2), [grant(("a", 2))]) == {}, "one node: the same hint for all"
    assert seats(pods(2), [grant(("a", 1)), grant(("b", 1))]) == {}
    assert seats(pods(2), []) == {}


def test_no_pod_is_on_two_nodes() -> None:
    assert seats([RankedPod("x", 0, 2), RankedPod("y", 1, 2)], [grant(("a", 1), ("b", 3))]) == {}


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.sampled_from([1, 2]))
def test_a_node_gets_what_is_its_share(shares: list[int], piece: int) -> None:
    place = grant(*((f"n{row}", piece * size) for row, size in enumerate(shares)))
    found = seats(pods(sum(shares), piece), [place])
    taken = {share.node: sum(seat.gpus for seat in found.values() if seat.node == share.node) for share in place.shares}
    assert taken == {share.node: share.gpus for share in place.shares}


def test_labels_of_the_controllers() -> None:
    assert rank_of({"batch.kubernetes.io/job-completion-index": "11"}) == 11
    assert rank_of({"apps.kubernetes.io/pod-index": "0", "x": "3"}) == 0
    assert [rank_of({"apps.kubernetes.io/pod-index": value}) for value in ("", "-1", "²", "a")] == [None] * 4
    assert rank_of({}) is None


def test_a_seat_is_one_node_bound_or_preferred_as_the_action_is() -> None:
    place = grant(("a", 2), ("b", 2))
    expressions = [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": [KIND.product_label]},
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]},
    ]
    binds = kept_to(Share("b", 1), place, ActionType.REQUIRED_AFFINITY)["nodeAffinity"]
    assert binds["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] == [
        {"matchExpressions": expressions}
    ]
    wish = kept_to(Share("b", 1), place, ActionType.PREFERRED_AFFINITY)["nodeAffinity"]
    assert list(wish) == ["preferredDuringSchedulingIgnoredDuringExecution"]


def test_the_lowest_rank_takes_the_first_node_whatever_the_order_of_the_pods() -> None:
    found = seats(pods(2)[::-1], [grant(("a", 1), ("b", 1))])
    assert {uid: seat.node for uid, seat in found.items()} == {"u0": "a", "u1": "b"}


def test_a_run_of_ranks_is_said_from_its_first_to_its_last() -> None:
    taken = {f"u{rank}": Share("a" if rank < 3 else "b", 1) for rank in range(6)}
    assert rank_order(pods(6), taken) == "a=0-2,b=3-5"


def test_an_order_is_said_up_to_eight_kibibytes() -> None:
    """`x…=0` of so many letters."""
    for letters, words in ((8190, True), (8191, False)):
        name = "x" * letters
        assert (rank_order(pods(1), {"u0": Share(name, 1)}) == f"{name}=0") is words


def test_only_a_number_is_a_rank() -> None:
    assert [rank_of({RANK_LABELS[0]: each}) for each in ("7", "", "-1", "x", "²")] == [7, None, None, None, None]
    assert rank_of({}) is None
