"""A place that a pod's own words refuse is never hinted at: selector, affinity and taints, as schedulers read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.fleet.capacity import capacity_of
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.fleet.fitting import fit
from mfu.decide.fleet.standing import Need
from mfu.decide.types import NodeView
from tests.builders.cases import node
from tests.builders.fleets import decided, told, waits

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TAINT = ("team", "a", "NoSchedule")


def labelled(name: str, *taints: tuple[str, str, str], used: int = 0, **labels: str) -> NodeView:
    return replace(node(name, used=used, labels={"kubernetes.io/hostname": name, **labels}), taints=taints)


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


def says(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


NODES = (
    labelled("a", pool="train", size="80"),
    labelled("b", TAINT, pool="train", size="40"),
    labelled("c", pool="serve"),
)
ADMITS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "no word": ({}, {"a", "c"}),
    "a selector": ({"nodeSelector": {"pool": "train"}}, {"a"}),
    "a toleration by value": ({"tolerations": [{"key": "team", "value": "a"}]}, {"a", "b", "c"}),
    "another value": ({"tolerations": [{"key": "team", "value": "b"}]}, {"a", "c"}),
    "a toleration of everything": ({"tolerations": [{"operator": "Exists"}]}, {"a", "b", "c"}),
    "a toleration of another effect": (
        {"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]},
        {"a", "c"},
    ),
    "either of two terms": (affinity(says("pool", "In", "serve"), says("size", "Gt", "60")), {"a", "c"}),
    "less": ({**affinity(says("size", "Lt", "60")), "tolerations": [{"operator": "Exists"}]}, {"b"}),
    "no more than itself": (affinity(says("size", "Gt", "80")), set()),
    "no less than itself": (affinity(says("size", "Lt", "80"), says("size", "Lt", "_9")), set()),
    "what is no number": (affinity(says("pool", "Gt", "1"), says("pool", "Lt", "1")), set()),
    "one of two fields": (
        affinity(
            says("pool", "In", "nothing"),
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]},
        ),
        {"a"},
    ),
    "absence": (affinity(says("size", "DoesNotExist")), {"c"}),
    "presence": (affinity(says("size", "Exists")), {"a"}),
    "not in": (affinity(says("pool", "NotIn", "train")), {"c"}),
    "a node by name": (
        affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}),
        {"c"},
    ),
    "an empty term": (affinity({}), set()),
    "what nobody keeps of nodes": ({"nodeSelector": {"feature.node.kubernetes.io/x": "y"}}, {"a", "c"}),
}


@pytest.mark.parametrize("name", ADMITS)
def test_what_a_pod_says_of_nodes(name: str) -> None:
    spec, expected = ADMITS[name]
    mine = Constraints.read(spec)
    assert {each.name for each in NODES if mine.admit(each, unsure=True)} == expected
    assert Constraints.read(mine.document) == mine
    ((_, pool),) = capacity_of(NODES).pools.items()
    there = pool.admitting((mine,))
    assert {node for node, free in zip(there.nodes, there.free.tolist(), strict=True) if free} == expected


def test_what_can_not_be_told_is_no_certainty() -> None:
    mine = Constraints.read({"nodeSelector": {"feature.node.kubernetes.io/x": "y"}})
    assert not any(mine.admit(each, unsure=False) for each in NODES)


def test_the_better_place_is_left_where_the_pods_can_not_go() -> None:
    """A whole node is free and tainted: they go where they may, though scraps are left there."""
    nodes = (labelled("whole", TAINT), labelled("worn", used=2))
    free = Need(4, constraints=(Constraints(),))
    chosen = fit(free, capacity_of(nodes))
    assert chosen is not None
    assert chosen.grant.nodes == {"worn"}
    tolerant = Constraints.read({"tolerations": [{"operator": "Exists"}]})
    anywhere = fit(replace(free, gpus=8, constraints=(tolerant,)), capacity_of(nodes))
    assert anywhere is not None
    assert anywhere.grant.nodes == {"whole"}


def test_all_pods_of_a_job_have_a_say() -> None:
    two = tuple(Constraints.read({"nodeSelector": {"pool": pool}}) for pool in ("train", "serve"))
    assert fit(Need(2, constraints=two), capacity_of(NODES)) is None
    assert fit(Need(2, constraints=two[:1]), capacity_of(NODES)) is not None


def test_who_can_go_nowhere_is_told_why() -> None:
    mine = (Constraints.read({"nodeSelector": {"pool": "nowhere"}}),)
    decision = told(decided([waits("w", 4, constraints=mine)], NODES), "w")
    assert decision.reason == "NeverFits"
    assert "own nodeSelector, affinity and tolerations admit there are none" in decision.message


@pytest.mark.parametrize(
    ("pool", "gpus", "words"),
    [
        ("serve", 9, "admit there are 8: NVIDIA-H100-80GB-HBM3, NVIDIA-L40S has more elsewhere"),
        ("serve", 24, "admit there are 8: NVIDIA-H100-80GB-HBM3, NVIDIA-L40S has more elsewhere"),
        ("serve", 25, "more than the cluster could ever give: NVIDIA-H100-80GB-HBM3, NVIDIA-L40S has 8 at most"),
        ("nowhere", 24, "admit there are none: NVIDIA-H100-80GB-HBM3, NVIDIA-L40S has more elsewhere"),
    ],
)
def test_whether_more_is_elsewhere_is_told_from_whether_there_is_more(pool: str, gpus: int, words: str) -> None:
    """24 of the one product in all, of which eight are admitted, and eight of another, of which none is."""
    other = replace(node("l", product="NVIDIA-L40S"), labels={"pool": "other"})
    mine = (Constraints.read({"nodeSelector": {"pool": pool}}),)
    message = told(decided([waits("w", gpus, constraints=mine)], (*NODES, other)), "w").message
    assert message.startswith(f"{gpus} GPUs wanted together, ")
    assert message.endswith(words)


def test_who_waits_for_the_few_that_are_admitted_is_told_of_those() -> None:
    busy = (labelled("a", used=6, pool="train"), labelled("c", pool="serve"))
    mine = (Constraints.read({"nodeSelector": {"pool": "train"}}),)
    decision = told(decided([waits("w", 4, constraints=mine)], busy), "w")
    assert decision.reason == "NoCapacity"
    assert "2 free" in decision.message


pools = st.sampled_from(["train", "serve", ""])
nodes_drawn = st.lists(st.tuples(pools, st.booleans(), st.integers(0, 8)), min_size=1, max_size=5)


@given(nodes_drawn, st.lists(pools, max_size=2), st.booleans(), st.integers(1, 12))
def test_no_hint_at_a_node_that_a_pod_can_not_take(
    drawn: list[tuple[str, bool, int]], wanted: list[str], tolerant: bool, gpus: int
) -> None:
    nodes = tuple(
        labelled(f"n{row}", *((TAINT,) if tainted else ()), used=used, **({"pool": pool} if pool else {}))
        for row, (pool, tainted, used) in enumerate(drawn)
    )
    spec: dict[str, Any] = affinity(says("pool", "In", *filter(None, wanted))) if any(wanted) else {}
    if tolerant:
        spec["tolerations"] = [{"operator": "Exists"}]
    mine = Constraints.read(spec)
    open_to = {each.name for each in nodes if mine.admit(each, unsure=False)}
    found = fit(Need(gpus, constraints=(mine,)), capacity_of(nodes))
    free = sum(each.gpus - sum(each.used.values()) for each in nodes if each.name in open_to)
    assert (found is not None) == (free >= gpus)
    assert found is None or found.grant.nodes <= open_to
