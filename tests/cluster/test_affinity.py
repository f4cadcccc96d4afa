"""A hint merged into a pod's own words: only added, and binding only where it can surely be met."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.api.names import PLACEMENT_GATE
from mfu.cluster.affinity import PREFERRED, REQUIRED, hinted
from mfu.cluster.constraints import surely_admits
from mfu.decide.types import NodeView

HOST = "kubernetes.io/hostname"
NOT_KEPT = "feature.node.kubernetes.io/pool"
TAINT = ("nvidia.com/gpu", "present", "NoSchedule")


def node(name: str, *taints: tuple[str, str, str], **labels: str) -> NodeView:
    kept = {HOST: name, **{f"nvidia.com/{key}": value for key, value in labels.items()}}
    return NodeView(name, None, None, 8, labels=kept, taints=taints)


def term(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def binding(*nodes: str) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(HOST, *nodes)]}}}


def preferring(*nodes: str) -> dict[str, Any]:
    return {"nodeAffinity": {PREFERRED: [{"weight": 100, "preference": term(HOST, *nodes)}]}}


def test_a_pod_without_words_of_its_own_gets_the_hint() -> None:
    made = hinted({}, binding("n0"), [node("n0")])
    assert (made.affinity, made.weakened) == (binding("n0"), False)
    assert hinted({}, preferring("n0"), []).affinity == preferring("n0")


def test_terms_of_its_own_are_each_added_to_and_nothing_is_dropped() -> None:
    own = {
        "podAffinity": {"x": 1},
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [term(HOST, "n0", "n1"), term(HOST, "n2")]},
            PREFERRED: [{"weight": 1, "preference": term(HOST, "n1")}],
        },
    }
    made = hinted({"affinity": own}, binding("n0"), [node("n0")]).affinity
    assert made["podAffinity"] == {"x": 1}
    first, second = made["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert first["matchExpressions"] == [
        *term(HOST, "n0", "n1")["matchExpressions"],
        *term(HOST, "n0")["matchExpressions"],
    ]
    assert second["matchExpressions"] == [*term(HOST, "n2")["matchExpressions"], *term(HOST, "n0")["matchExpressions"]]
    assert made["nodeAffinity"][PREFERRED] == own["nodeAffinity"][PREFERRED]  # type: ignore[index]
    weaker = hinted({"affinity": own}, preferring("n0"), []).affinity["nodeAffinity"][PREFERRED]
    assert [each["weight"] for each in weaker] == [1, 100]


ADMITTED: dict[str, tuple[dict[str, Any], NodeView]] = {
    "nothing asked": ({}, node("n0")),
    "its selector": ({"nodeSelector": {HOST: "n0"}}, node("n0")),
    "a tolerated taint": ({"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}, node("n0", TAINT)),
    "everything tolerated": ({"tolerations": [{"operator": "Exists"}]}, node("n0", TAINT)),
    "the taint's value": (
        {"tolerations": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        node("n0", TAINT),
    ),
    "a label that it must not have": (
        {
            "affinity": {
                "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term("nvidia.com/mig", operator="DoesNotExist")]}}
            }
        },
        node("n0"),
    ),
    "more memory": (
        {
            "affinity": {
                "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term("nvidia.com/memory", "40", operator="Gt")]}}
            }
        },
        node("n0", memory="80"),
    ),
    "by name": (
        {
            "affinity": {
                "nodeAffinity": {
                    REQUIRED: {
                        "nodeSelectorTerms": [
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n0"]}]}
                        ]
                    }
                }
            }
        },
        node("n0"),
    ),
}
REFUSED: dict[str, tuple[dict[str, Any], NodeView]] = {
    "another node": ({"nodeSelector": {HOST: "n1"}}, node("n0")),
    "a label that is not kept of nodes": ({"nodeSelector": {NOT_KEPT: "train"}}, node("n0")),
    "a label not kept that must be absent": (
        {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(NOT_KEPT, operator="DoesNotExist")]}}}},
        node("n0"),
    ),
    "a taint": ({}, node("n0", TAINT)),
    "another taint tolerated": ({"tolerations": [{"key": "other", "operator": "Exists"}]}, node("n0", TAINT)),
    "another effect tolerated": (
        {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}]},
        node("n0", TAINT),
    ),
    "an empty term": ({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{}]}}}}, node("n0")),
    "less memory": (
        {
            "affinity": {
                "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term("nvidia.com/memory", "80", operator="Gt")]}}
            }
        },
        node("n0", memory="80"),
    ),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_a_node_that_surely_admits_the_pod_may_bind(name: str) -> None:
    spec, there = ADMITTED[name]
    assert surely_admits(spec, there)
    assert not hinted(spec, binding("n0"), [there]).weakened


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_surely_be_met_is_only_preferred(name: str) -> None:
    spec, there = REFUSED[name]
    assert not surely_admits(spec, there)
    made = hinted(spec, binding("n0"), [there])
    assert made.weakened
    own = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    assert made.affinity["nodeAffinity"].get(REQUIRED) == own, "what binds is the pod's own, as it was"
    assert made.affinity["nodeAffinity"][PREFERRED] == preferring("n0")["nodeAffinity"][PREFERRED]


HELD_BY_OTHERS: dict[str, dict[str, Any]] = {
    "pods that must not share a node": {
        "affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOST, "labelSelector": {}}]}}
    },
    "a pod that must be near another": {
        "affinity": {"podAffinity": {REQUIRED: [{"topologyKey": HOST, "labelSelector": {}}]}}
    },
    "pods that must be spread": {"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]},
    "a gate of somebody else": {"schedulingGates": [{"name": "kueue.x-k8s.io/topology"}, {"name": PLACEMENT_GATE}]},
}


@pytest.mark.parametrize("name", HELD_BY_OTHERS)
def test_where_others_have_a_say_nothing_of_ours_binds(name: str) -> None:
    spec = HELD_BY_OTHERS[name]
    assert surely_admits(spec, node("n0"))
    made = hinted(spec, binding("n0"), [node("n0")])
    assert made.weakened
    assert REQUIRED not in made.affinity["nodeAffinity"]


def test_what_others_only_wish_for_does_not_count() -> None:
    spec = {
        "affinity": {"podAntiAffinity": {PREFERRED: [{"weight": 1}]}},
        "topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}],
        "schedulingGates": [{"name": PLACEMENT_GATE}],
    }
    assert not hinted(spec, binding("n0"), [node("n0")]).weakened


names = st.sampled_from(["n0", "n1", "n2", "n3"])
terms = st.lists(st.builds(lambda values: term(HOST, *values), st.lists(names, min_size=1)), max_size=3)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(terms, st.lists(names, min_size=1, unique=True), st.lists(names, unique=True))
def test_a_pod_that_some_node_admitted_is_admitted_by_one_after(
    own: list[dict[str, Any]], wanted: list[str], there: list[str]
) -> None:
    """The promise: no word of ours makes a pod unschedulable that its own words would not."""
    nodes = [node(name) for name in there]
    spec: dict[str, Any] = {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": own}}}} if own else {}
    after = {"affinity": hinted(spec, binding(*wanted), nodes).affinity}
    before = {each.name for each in nodes if surely_admits(spec, each)}
    now = {each.name for each in nodes if surely_admits(after, each)}
    assert now <= before
    assert bool(now) is bool(before)
