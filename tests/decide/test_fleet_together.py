"""Decisions that see each other: tables of what each workload is told, and properties that hold for every fleet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.fleet.capacity import Capacity, DeviceKind, Domain, Overdrawn, Share, capacity_of
from mfu.decide.fleet.fitting import Grant, Quality, fit
from mfu.decide.fleet.order import METHODS, Reserved, decide_together
from mfu.decide.fleet.placement import product_selector, required, sayable
from mfu.decide.fleet.standing import Need, Standing
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, NodeView, Outcome
from tests.builders.cases import node
from tests.builders.fleets import (
    A100,
    H100,
    STEADY,
    decided,
    fleets,
    nodes_of,
    queues,
    standing_of_outcome,
    taken,
    told,
    waits,
)


def test_three_wait_for_one_free_node() -> None:
    """One is told its place, two are told who stands ahead."""
    queue = [waits("c", since=3.0), waits("a", since=1.0), waits("b", since=2.0)]
    together = decided(queue, nodes_of(8, 0))
    assert told(together, "a").message == f"8 free {H100} together on node n0"
    for name in ("b", "c"):
        decision = told(together, name)
        assert (decision.outcome, decision.reason) == (Outcome.NONE, "OthersAhead")
        assert decision.message == f"8 GPUs wanted together, 0 free on {H100}; ahead: team/a (8 GPUs, priority 0)"


ORDER: dict[str, tuple[Standing, Standing]] = {
    "priority": (waits("z", priority=2, since=9.0), waits("a", priority=1)),
    "then age": (waits("z", since=1.0), waits("a", since=2.0)),
    "then gain": (replace(waits("z"), gain=0.5), replace(waits("a"), gain=0.4)),
    "then name": (waits("a"), waits("z")),
    "pods before mere declarations": (waits("z"), replace(waits("a", priority=9), pending=False)),
}


@pytest.mark.parametrize("why", ORDER)
def test_who_goes_first(why: str) -> None:
    first, second = ORDER[why]
    together = decided([second, first], nodes_of(8))
    assert set(together.grants) == {first.key}


@dataclass(frozen=True)
class Row:
    """One workload on a fleet: the reason it is told, and words of the message."""

    waiting: Standing
    nodes: tuple[NodeView, ...]
    reason: str
    words: str


def other(name: str, gpus: int, product: str = H100) -> Standing:
    return Standing(f"team/{name}", holds={DeviceKind("", product): gpus})


ROWS = {
    "the tightest node": Row(waits("w", 2), nodes_of(8, 3, 0), "FitsOneDomain", f"2 free {H100} together on node n1"),
    "the first by name of equals": Row(waits("w", 2), nodes_of(3, 3), "FitsOneDomain", "on node n0"),
    "a domain over nodes is one": Row(
        waits("w"), nodes_of(4, 4, domain="c.1"), "FitsOneDomain", f"8 free {H100} together on NVLink domain c.1"
    ),
    "no domain is large enough": Row(
        waits("w", 16, piece=8, tensor=8),
        nodes_of(8, 7, 8),
        "SpansDomains",
        f"no NVLink domain has 16 free {H100}: over 2 of them (node n0, node n2), tensor groups of 8 whole",
    ),
    "more domains than are named": Row(waits("w", 40), nodes_of(8, 8, 8, 8, 8), "SpansDomains", "and 1 more)"),
    "a tensor group is split only where none is whole": Row(
        waits("w", 8, tensor=8),
        nodes_of(4, 4),
        "SplitsTensorGroups",
        f"no NVLink domain has 8 free {H100}: tensor groups of 8 are split over 2 of them",
    ),
    "a pod takes its GPUs from one node": Row(
        waits("w", 8, piece=8),
        nodes_of(4, 4),
        "Fragmented",
        f"8 GPUs wanted together, 8 free on {H100}; 8 are held without a ModelWorkload",
    ),
    "pods are told of their size": Row(
        waits("w", 16, piece=8), nodes_of(8, 7, 7), "Fragmented", "16 GPUs wanted together, 8 to a pod, 22 free"
    ),
    "no other product": Row(
        waits("w", products=frozenset({"a100-sxm4-80gb"})),
        nodes_of(8),
        "NeverFits",
        f"8 GPUs wanted together, and no node has such GPUs: there are {H100}",
    ),
    "nothing at all": Row(waits("w"), (), "NeverFits", "there are none at all"),
    "no memory on the product": Row(
        waits("w", unfit=frozenset({"h100-sxm5-80gb"})),
        nodes_of(8),
        "NeverFits",
        f"the model does not fit into the memory of {H100}, and no other product is there",
    ),
    "more than there will ever be": Row(
        waits("w", 32), nodes_of(8, 8), "NeverFits", f"more than the cluster could ever give: {H100} has 16 at most"
    ),
    "a cordoned node takes nothing": Row(waits("w"), nodes_of(8, schedulable=False), "NeverFits", "0 at most"),
    "an unready node takes nothing": Row(waits("w"), nodes_of(8, ready=False), "NeverFits", "0 at most"),
    "held without a declaration": Row(
        waits("w"), nodes_of(2), "NoCapacity", f"2 free on {H100}; 6 are held without a ModelWorkload"
    ),
    "another vendor's GPUs are counted": Row(
        waits("w"),
        (replace(node("n0", product="AMD-Instinct-MI300X-OAM"), used={"amd.com/gpu": 8}),),
        "NoCapacity",
        "0 free on AMD-Instinct-MI300X-OAM; 8 are held",
    ),
    "no memory on either product": Row(
        waits("w", unfit=frozenset({"h100-sxm5-80gb", "a100-sxm4-80gb"})),
        (*nodes_of(8), node("m0", product=A100)),
        "NeverFits",
        f"into the memory of {A100}, {H100}, and no other",
    ),
    "neither product is allowed": Row(
        waits("w", products=frozenset({"h200-sxm-141gb"})),
        (*nodes_of(8), node("m0", product=A100)),
        "NeverFits",
        f"no node has such GPUs: there are {A100}, {H100}",
    ),
    "the larger of two products is the most that there could be": Row(
        waits("w", 32),
        (*nodes_of(8, 8), node("m0", product=A100)),
        "NeverFits",
        f"more than the cluster could ever give: {A100}, {H100} has 16 at most",
    ),
    "a pair of GPUs to a pod": Row(
        waits("w", 8, piece=2), nodes_of(7, 0), "NoCapacity", "8 GPUs wanted together, 2 to a pod, 7 free"
    ),
    "all GPUs of a job in one pod": Row(waits("w", 8, piece=8), nodes_of(7), "NoCapacity", "wanted together, 7 free"),
    "one GPU is held by nobody": Row(waits("w"), nodes_of(7), "NoCapacity", "; 1 are held without a ModelWorkload"),
    "a slice": Row(
        waits("w", 1, profile="1g.10gb"),
        (node("n0", used=8, mig={"1g.10gb": 2}),),
        "FitsOneDomain",
        f"1 free {H100} together on node n0",
    ),
    "slices are taken": Row(
        waits("w", 3, profile="1g.10gb"),
        (replace(node("n0", mig={"1g.10gb": 3}), used={"nvidia.com/mig-1g.10gb": 1}),),
        "NoCapacity",
        f"3 slices 1g.10gb wanted together, 2 free on {H100} 1g.10gb",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_one_is_told(name: str) -> None:
    row = ROWS[name]
    decision = told(decided([row.waiting], row.nodes), "w")
    assert decision.reason == row.reason
    assert row.words in decision.message
    assert (decision.hint is None) == (decision.outcome is Outcome.NONE)


@pytest.mark.parametrize("nodes", [(), nodes_of(8)])
def test_a_message_ends_where_there_is_no_more_to_say(nodes: tuple[NodeView, ...]) -> None:
    end = {0: "there are none at all", 1: f"{H100} has 8 at most"}[len(nodes)]
    assert told(decided([waits("w", 9)], nodes), "w").message.endswith(end)


def test_scraps_of_nodes_are_not_counted_as_what_there_could_be() -> None:
    """Nodes of one GPU each hold no pod of two."""
    nodes = (*(node(f"n{index}", gpus=1) for index in range(4)), node("n9", gpus=2))
    message = told(decided([waits("w", 4, piece=2)], nodes), "w").message
    assert message == f"4 GPUs wanted together, 2 to a pod, more than the cluster could ever give: {H100} has 2 at most"


def test_what_is_promised_is_not_held_as_well() -> None:
    """Six of eight are held by pods of nobody; the other two go to the first."""
    message = told(decided([waits("first", 2, priority=7), waits("w", 8)], nodes_of(2)), "w").message
    assert message.endswith("; ahead: team/first (2 GPUs, priority 7); 6 are held without a ModelWorkload")


@pytest.mark.parametrize("holders", [1, 2, 3])
def test_all_of_few_holders_are_named(holders: int) -> None:
    """The largest first, then by name; whose order of declaration does not matter."""
    held = [other(name, gpus) for name, gpus in (("b", 2), ("a", 2), ("c", 3))[:holders]]
    message = told(decided([waits("w"), *held], nodes_of(0)), "w").message
    assert message.endswith(
        ("; held by team/b (2)", "; held by team/a (2), team/b (2)", "; held by team/c (3), team/a (2), team/b (2)")[
            holders - 1
        ]
    )


def test_holders_are_named_the_largest_first() -> None:
    queue = [waits("w"), other("x", 2), other("y", 4), other("z", 1), other("v", 1), other("a100", 8, A100)]
    message = told(decided(queue, nodes_of(0)), "w").message
    assert message.endswith("; held by team/y (4), team/x (2), team/v (1) and 1 more")


def test_who_is_ahead_and_who_holds_are_both_said_where_both_matter() -> None:
    queue = [waits("w", 8), waits("first", 2, priority=7), other("x", 6)]
    message = told(decided(queue, nodes_of(2)), "w").message
    assert message == (
        f"8 GPUs wanted together, 0 free on {H100}; ahead: team/first (2 GPUs, priority 7); held by team/x (6)"
    )


def test_those_ahead_on_another_product_are_not_named() -> None:
    nodes = (*nodes_of(0), node("m0", product=A100))
    queue = [
        waits("first", priority=1, products=frozenset({"a100-sxm4-80gb"})),
        waits("w", products=frozenset({"h100-sxm5-80gb"})),
    ]
    assert "ahead" not in told(decided(queue, nodes), "w").message


def test_a_small_one_may_pass_a_large_one_that_cannot_start() -> None:
    queue = [waits("large", 16, priority=5), waits("small", 8)]
    assert set(decided(queue, nodes_of(8, 0)).grants) == {"team/small"}


def test_replicas_find_places_one_by_one() -> None:
    together = decided([waits("w", 4, copies=3)], nodes_of(8, 0))
    decision = told(together, "w")
    assert decision.message == f"2 of 3 replicas have a place, each 4 free {H100} together on node n0"
    assert [grant.gpus for grant in together.grants["team/w"]] == [4, 4]


def test_the_worst_of_several_places_is_the_one_that_is_told() -> None:
    """One replica lies on a node, the other is split over two: both are not promised one node."""
    together = decided([waits("w", 8, copies=2, tensor=8)], nodes_of(8, 4, 4))
    decision = told(together, "w")
    assert decision.reason == "SplitsTensorGroups"
    assert decision.message.startswith("2 of 2 replicas have a place, each no NVLink domain has 8 free")


def test_as_many_domains_as_are_named_need_no_more() -> None:
    message = told(decided([waits("w", 32)], nodes_of(8, 8, 8, 8)), "w").message
    assert "(node n0, node n1, node n2, node n3), tensor" in message


def test_the_affinity_is_ready_to_paste() -> None:
    hint = told(decided([waits("w", 16)], nodes_of(8, 0, 8)), "w").hint
    assert hint is not None
    (term,) = hint["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["weight"] == 100
    assert term["preference"]["matchExpressions"] == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": [H100]},
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["n0", "n2"]},
    ]


def test_the_affinity_names_a_clique_by_its_label() -> None:
    hint = told(decided([waits("w", 16)], nodes_of(8, 8, domain="c.1")), "w").hint
    assert hint is not None
    (term,) = hint["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["preference"]["matchExpressions"][1] == {
        "key": "nvidia.com/gpu.clique",
        "operator": "In",
        "values": ["c.1"],
    }


@pytest.mark.parametrize(("domains", "terms"), [(64, 2), (65, 1)])
def test_an_affinity_over_many_domains_names_only_the_product(domains: int, terms: int) -> None:
    nodes = tuple(node(f"n{index:02}", used=7) for index in range(domains))
    hint = told(decided([waits("w", domains)], nodes), "w").hint
    assert hint is not None
    (term,) = hint["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert len(term["preference"]["matchExpressions"]) == terms


@pytest.mark.parametrize("domains", [1, 70])
def test_a_product_whose_label_is_not_known_by_its_name_is_not_named(domains: int) -> None:
    """AMD's nodes say theirs under one of three labels: by a wrong one no node at all would be admitted."""
    kind = DeviceKind("", "AMD-Instinct-MI300X-OAM")
    names = tuple(f"n{index:02}" for index in range(domains))
    held = tuple(Domain("kubernetes.io/hostname", name) for name in names)
    grants = [Grant(kind, Quality.ONE_DOMAIN, tuple(Share(name, 8) for name in names), held)]
    assert required(grants)["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(names)}]}
        ]
    }
    assert product_selector(grants) == {}
    mixed = [replace(grants[0], domains=(*held, Domain("nvidia.com/gpu.clique", "c.1")))]
    assert not sayable(mixed), "neither product nor place"


def test_the_policy_sets_the_mode() -> None:
    policy = EffectivePolicy(modes={DecisionType.PLACEMENT: Mode.OBSERVE})
    queue = [replace(waits("w"), policy=policy), replace(waits("x"), policy=policy)]
    together = decided(queue, nodes_of(8))
    assert {told(together, name).mode for name in "wx"} == {Mode.OBSERVE}


GROWTH = Decision(DecisionType.SCALING, Outcome.SCALE, "LoadAboveCapacity", "4 replicas", hint={"replicas": 4})


def grows(copies: int, gpus: int = 4) -> Standing:
    return Standing("team/serve", growth=GROWTH, replica=Need(gpus, copies=copies))


def test_growth_takes_what_nobody_waits_for() -> None:
    together = decided([grows(2), waits("w", 8)], nodes_of(8, 4))
    (decision,) = together.decisions["team/serve"]
    assert (decision.outcome, decision.hint) == (Outcome.SCALE, GROWTH.hint)
    assert decision.message.startswith("4 replicas; free GPUs for 1 of 2 more: 4 GPUs wanted together, 0 free")


def test_growth_with_room_for_all_says_no_more_than_that() -> None:
    (decision,) = decided([grows(2)], nodes_of(8)).decisions["team/serve"]
    assert decision.message == "4 replicas; free GPUs for 2 of 2 more"


def test_growth_of_one_is_ahead_of_the_growth_of_another() -> None:
    growing = [grows(2), replace(grows(1), key="team/web")]
    (decision,) = decided(growing, nodes_of(8)).decisions["team/web"]
    assert decision.message.endswith("; ahead: team/serve (8 GPUs, more replicas)")


def test_growth_without_a_shape_says_nothing() -> None:
    assert decided([replace(grows(1), replica=None)], nodes_of(8)).decisions == {}
    assert decided([replace(grows(1), growth=None)], nodes_of(8)).decisions == {}


def granted(gpus: int, node_name: str = "n0") -> Grant:
    return Grant(DeviceKind("", H100), Quality.ONE_DOMAIN, (Share(node_name, gpus),), ())


def test_what_is_on_its_way_comes_before_any_priority() -> None:
    together = decide_together(
        [waits("w", priority=9), waits("sent")], capacity_of(nodes_of(8)), [Reserved("team/sent", (granted(8),))]
    )
    assert told(together, "sent").outcome is Outcome.PLACE
    assert "ahead: team/sent (8 GPUs, on its way)" in told(together, "w").message


def test_a_promise_holds_no_more_than_what_is_still_free() -> None:
    """Its pods may have arrived already, its node may be gone."""
    together = decide_together(
        [waits("w", 2)],
        capacity_of(nodes_of(6)),
        [Reserved("team/sent", (granted(8), granted(4, "gone"))), Reserved("team/more", (granted(1),))],
    )
    assert told(together, "w").outcome is Outcome.NONE
    assert taken(together) == {(DeviceKind("", H100), "n0"): 6}
    other_kind = Grant(DeviceKind("1g.10gb", H100), Quality.ONE_DOMAIN, (Share("n0", 1),), ())
    kept = decide_together([waits("w", 2)], capacity_of(nodes_of(6)), [Reserved("team/sent", (other_kind,))])
    assert told(kept, "w").outcome is Outcome.PLACE


def test_the_ledger_knows_no_device_of_an_unknown_product() -> None:
    known, unknown = node("n0"), replace(node("n1"), device=None, doubt="no such product")
    unlabelled = replace(node("n2"), product_label=None)
    assert [pool.nodes for pool in capacity_of((known, unknown, unlabelled)).pools.values()] == [("n0",)]
    assert capacity_of((unknown, unlabelled)).pools == {}


def test_a_pool_of_some_nodes_has_nothing_free_elsewhere() -> None:
    pool = capacity_of(nodes_of(8, 5, 3)).pools[DeviceKind("", H100)].only(frozenset({"n1"}))
    assert [pool.free_on(name) for name in ("n0", "n1", "n2", "gone")] == [0, 5, 0, 0]


def test_of_shares_the_ledger_gives_what_is_free() -> None:
    capacity, wanted = capacity_of(nodes_of(2, 0)), [Share("n0", 4), Share("n1", 1), Share("gone", 1)]
    assert capacity.of(DeviceKind("", H100), wanted) == (Share("n0", 2),)
    assert capacity.of(DeviceKind("", A100), wanted) == ()


def test_the_ledger_refuses_what_is_not_there() -> None:
    capacity = capacity_of(nodes_of(2))
    kind = DeviceKind("", H100)
    for share in (Share("n0", 3), Share("nowhere", 1)):
        with pytest.raises(Overdrawn, match=share.node):
            capacity.drawn(kind, [share])
    assert capacity.drawn(kind, [Share("n0", 2)]).pools[kind].free_gpus == 0
    assert capacity.pools[kind].free_gpus == 2


def test_every_method_gives_its_reason() -> None:
    kinds = [DecisionType.PLACEMENT, DecisionType.SCALING, DecisionType.SHARING]
    assert [method.decides for method in METHODS] == kinds
    assert all(len(method.reason) > 20 for method in METHODS)


# Properties over random fleets.


@STEADY
@given(queues(), fleets())
def test_no_gpu_is_promised_twice(queue: list[Standing], capacity: Capacity) -> None:
    together = decide_together(queue, capacity)
    for (kind, name), gpus in taken(together).items():
        assert gpus <= capacity.pools[kind].free_on(name)
        assert together.left.pools[kind].free_on(name) == capacity.pools[kind].free_on(name) - gpus


@STEADY
@given(queues(), fleets(), st.randoms(use_true_random=False))
def test_order_of_input_does_not_matter(queue: list[Standing], capacity: Capacity, chance: object) -> None:
    shuffled = sorted(queue, key=lambda _: chance.random())  # type: ignore[attr-defined]
    once, again = decide_together(queue, capacity), decide_together(shuffled, capacity)
    assert once.decisions == again.decisions
    assert once.grants == again.grants


@STEADY
@given(queues(), fleets())
def test_once_is_enough(queue: list[Standing], capacity: Capacity) -> None:
    assert decide_together(queue, capacity).decisions == decide_together(queue, capacity).decisions


@STEADY
@given(queues(), fleets(), st.integers(0, 6), st.integers(1, 3))
def test_a_higher_priority_is_never_worse(queue: list[Standing], capacity: Capacity, which: int, more: int) -> None:
    if which >= len(queue):
        return
    mine = queue[which]
    raised = [replace(each, priority=each.priority + more) if each is mine else each for each in queue]
    before, after = decide_together(queue, capacity), decide_together(raised, capacity)
    assert standing_of_outcome(after, mine.key) <= standing_of_outcome(before, mine.key)


@STEADY
@given(queues(), fleets())
def test_every_one_that_waits_is_answered(queue: list[Standing], capacity: Capacity) -> None:
    together = decide_together(queue, capacity)
    assert set(together.decisions) == {each.key for each in queue}
    for standing in queue:
        (decision,) = together.decisions[standing.key]
        assert (decision.outcome is Outcome.PLACE) == bool(together.grants.get(standing.key))
        assert decision.message


@STEADY
@given(queues(most=1), fleets())
def test_a_grant_is_what_was_asked(queue: list[Standing], capacity: Capacity) -> None:
    for standing in queue:
        ask = standing.ask
        assert ask is not None
        for grant in decide_together(queue, capacity).grants.get(standing.key, ()):
            pool = capacity.pools[grant.kind]
            assert grant.gpus == ask.gpus
            assert ask.allows(grant.kind, pool.product)
            assert all(share.gpus % ask.piece == 0 for share in grant.shares)
            assert len({share.node for share in grant.shares}) == len(grant.shares)
            assert (grant.quality is Quality.ONE_DOMAIN) == (len(grant.domains) == 1)


@STEADY
@given(queues(most=1), fleets())
def test_a_tensor_group_is_whole_while_a_whole_one_fits(queue: list[Standing], capacity: Capacity) -> None:
    for standing in queue:
        assert standing.ask is not None
        ask = replace(standing.ask, copies=1)
        choice = fit(ask, capacity)
        assert (choice is None) == (best_quality(ask, capacity) is None)
        assert choice is None or choice.grant.quality == best_quality(ask, capacity)


def best_quality(ask: Need, capacity: Capacity) -> Quality | None:
    """By definition: the best over all products, counted domain by domain."""
    found: list[Quality] = []
    for kind, pool in capacity.pools.items():
        if not ask.allows(kind, pool.product):
            continue
        room: dict[int, int] = {}
        for row, free in enumerate(pool.free.tolist()):
            domain = int(pool.domain[row])
            room[domain] = room.get(domain, 0) + free // ask.piece * ask.piece
        if any(each >= ask.gpus for each in room.values()):
            found.append(Quality.ONE_DOMAIN)
        elif sum(each // ask.group * ask.group for each in room.values()) >= ask.gpus:
            found.append(Quality.WHOLE_GROUPS)
        elif sum(room.values()) >= ask.gpus:
            found.append(Quality.SPLIT_GROUPS)
    return min(found, default=None)
