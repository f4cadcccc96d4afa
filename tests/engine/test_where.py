"""Where a workload runs or may run: tables of pods on nodes, and what no order of them changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import Basis
from mfu.decide.types import NodeView
from mfu.engine.holdings.workload import Candidate, Held, candidates, device_of, held, products_of
from mfu.engine.views import PodView
from mfu.hardware.problem import Problem
from tests.builders.cases import TRAINING, gpu, node
from tests.builders.scenes import STEADY, pod

H100, H200, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-A100-SXM4-80GB"
SLICE = {"nvidia.com/mig-1g.10gb": 1}


def nodes(**products: str | None) -> dict[str, NodeView]:
    """Nodes by name; None is a product that the catalog does not know."""
    made = {name: node(name, product=product or H100) for name, product in products.items()}
    return {
        name: each if products[name] else replace(each, device=None, product_label="NVIDIA-X900")
        for name, each in made.items()
    }


HOLDINGS: dict[str, tuple[list[PodView], Mapping[str, NodeView], dict[str, Any]]] = {
    "nothing": ([], nodes(n0=H100), {"pods": 0, "gpus": 0, "devices": [], "gpus_per_node": 0}),
    "one whole node": ([pod()], nodes(n0=H100), {"pods": 1, "gpus": 8, "devices": ["H100-SXM5"], "gpus_per_node": 8}),
    "two pods of a node": (
        [pod("a", gpus=4), pod("b", gpus=2)],
        nodes(n0=H100),
        {"pods": 2, "gpus": 6, "nodes": ("n0",), "gpus_per_node": 6},
    ),
    "waiting pods hold nothing": ([pod(node=None, phase="Pending")], nodes(n0=H100), {"pods": 0, "gpus": 0}),
    "finished pods hold nothing": ([pod(phase="Succeeded")], nodes(n0=H100), {"pods": 0, "gpus": 0}),
    "the slowest product first": (
        [pod("a", node="n0"), pod("b", node="n1")],
        nodes(n0=H100, n1=A100),
        {"gpus": 16, "devices": ["A100-SXM4-80GB", "H100-SXM5"], "nodes": ("n0", "n1"), "gpus_per_node": 8},
    ),
    "a slice": ([pod(gpus=SLICE)], nodes(n0=H100), {"gpus": 1, "devices": ["H100-SXM5-MIG-1g.10gb"]}),
    "a slice is slower than the whole": (
        [pod("a", gpus=1), pod("b", gpus=SLICE)],
        nodes(n0=H100),
        {"gpus": 2, "devices": ["H100-SXM5-MIG-1g.10gb", "H100-SXM5"]},
    ),
    "the larger slice after the smaller": (
        [pod("a", gpus={"nvidia.com/mig-3g.40gb": 1}), pod("b", gpus=SLICE)],
        nodes(n0=H100),
        {"devices": ["H100-SXM5-MIG-1g.10gb", "H100-SXM5-MIG-3g.40gb"]},
    ),
    "a node that is not known yet": (
        [pod(node="gone")],
        nodes(n0=H100),
        {"pods": 1, "gpus": 8, "devices": [], "unknown_products": ()},
    ),
    "an unknown product": ([pod()], nodes(n0=None), {"gpus": 8, "devices": [], "unknown_products": ("NVIDIA-X900",)}),
    "a known and an unknown product": (
        [pod("a"), pod("b", node="n1")],
        nodes(n0=H100, n1=None),
        {"devices": ["H100-SXM5"], "unknown_products": ("NVIDIA-X900",)},
    ),
    "a slice that the product does not have": (
        [pod(gpus={"nvidia.com/mig-9g.90gb": 1})],
        nodes(n0=H100),
        {"devices": [], "unknown_products": (f"nvidia.com/mig-9g.90gb of {H100}",)},
    ),
    "a node without a product label": (
        [pod()],
        {"n0": replace(node("n0"), device=None, product_label=None)},
        {"devices": [], "unknown_products": ("a GPU without product label on node n0",)},
    ),
}


@pytest.mark.parametrize("name", HOLDINGS)
def test_what_pods_hold(name: str) -> None:
    pods, fleet, want = HOLDINGS[name]
    found = held(pods, fleet)
    seen = {**{key: getattr(found, key) for key in want}, "devices": [each.label for each in found.devices]}
    assert {key: seen[key] for key in want} == want


def test_time_sliced_gpus_are_shared() -> None:
    fleet = {"n0": node("n0", product=f"{H100}-SHARED")}
    assert held([pod()], fleet).shared
    assert not held([pod()], nodes(n0=H100)).shared


bound = st.lists(
    st.builds(
        pod,
        st.sampled_from("abcdef"),
        gpus=st.sampled_from([1, 2, 8, SLICE]),
        node=st.sampled_from(["n0", "n1", "n2", "gone", None]),
    ),
    unique_by=lambda each: each.name,
)


@STEADY
@given(bound, st.randoms(use_true_random=False))
def test_the_order_of_pods_is_nothing(pods: list[PodView], random: Any) -> None:
    fleet = {name: replace(each, gpus=64) for name, each in nodes(n0=H100, n1=A100, n2=None).items()}
    shuffled = random.sample(pods, len(pods))
    one, other = held(pods, fleet), held(shuffled, fleet)
    assert replace(one, unknown_products=()) == replace(other, unknown_products=())
    assert set(one.unknown_products) == set(other.unknown_products)
    assert one.gpus == sum(sum(each.gpus.values()) for each in pods if each.bound)


def test_one_unit_of_a_resource() -> None:
    slices = node("n0", product=f"{H100}-MIG-1g.10gb")
    assert [device_of(each, "nvidia.com/gpu") for each in (None, nodes(n0=None)["n0"])] == [None, None]
    whole, slice_ = device_of(node("n0"), "nvidia.com/gpu"), device_of(node("n0"), "nvidia.com/mig-1g.10gb")
    assert (whole.label if whole else "", slice_.label if slice_ else "") == ("H100-SXM5", "H100-SXM5-MIG-1g.10gb")
    labelled = device_of(slices, "nvidia.com/gpu")
    assert labelled is not None
    assert labelled.label == "H100-SXM5-MIG-1g.10gb"


def spec(**accelerators: Any) -> WorkloadSpec:
    return WorkloadSpec.model_validate({**TRAINING, "accelerators": {"count": 8, **accelerators}})


def answers(given: tuple[Candidate, ...] | Problem) -> tuple[Candidate, ...]:
    assert isinstance(given, tuple)
    return given


def found(each: WorkloadSpec, holding: Held, *present: str) -> list[tuple[str, str]]:
    answered = candidates(each, holding, [gpu(p) for p in present])
    assert isinstance(answered, tuple)
    return [(one.basis.value, one.placement.device.label) for one in answered]


def test_assigned_comes_first_and_is_said_once() -> None:
    holding = held([pod()], nodes(n0=H200))
    assert found(spec(products=["H100-SXM5", "H200-SXM"]), holding) == [
        ("Assigned", "H200-SXM"),
        ("Declared", "H100-SXM5"),
    ]


def test_mixed_products_are_judged_on_the_slowest() -> None:
    holding = held([pod("a"), pod("b", node="n1")], nodes(n0=H200, n1=A100))
    assert found(spec(), holding)[0] == ("Assigned", "A100-SXM4-80GB")


def test_without_a_declared_product_those_that_are_there_count() -> None:
    assert found(spec(), Held(), "A100-SXM4-80GB", "H200-SXM") == [
        ("Declared", "A100-SXM4-80GB"),
        ("Declared", "H200-SXM"),
    ]
    assert found(spec(), Held()) == []


def test_products_without_the_profile_are_no_candidates() -> None:
    assert found(spec(migProfile="1g.10gb", count=1), Held(), "H100-SXM5", "L40S") == [
        ("Declared", "H100-SXM5-MIG-1g.10gb")
    ]


@pytest.mark.parametrize(
    ("accelerators", "words"),
    [
        ({"products": ["H100-SXM5", "H100-SXM6"]}, ("accelerators.products[1]", "'H100-SXM6'", "H100-SXM5")),
        ({"products": ["H100-SXM5"], "migProfile": "9g.99gb"}, ("accelerators.migProfile", "9g.99gb", "1g.10gb")),
    ],
)
def test_a_name_that_does_not_exist_says_which_field_and_what_is_near(
    accelerators: dict[str, Any], words: tuple[str, ...]
) -> None:
    problem = candidates(spec(**accelerators), Held(), ())
    assert isinstance(problem, Problem)
    for word in words:
        assert word in problem.message


@pytest.mark.parametrize(
    ("count", "held_per_node", "want"),
    [(8, 8, 8), (16, 8, 8), (16, 4, 4), (4, 8, 4), (16, 0, 8), (2, 0, 2)],
)
def test_gpus_of_one_node(count: int, held_per_node: int, want: int) -> None:
    """Of those that are held, as many as are of this workload; else the usual server's eight."""
    holding = replace(held([pod()], nodes(n0=H100)), gpus_per_node=held_per_node)
    (first,) = answers(candidates(spec(count=count, products=["H100-SXM5"]), holding, ()))
    assert (first.basis, first.placement.gpus, first.placement.gpus_per_node) == (Basis.ASSIGNED, count, want)


def test_a_rack_counts_as_one_node() -> None:
    (first,) = answers(candidates(spec(count=64, products=["GB200"]), Held(), ()))
    assert first.placement.gpus_per_node == 64


def test_known_products_of_a_fleet_come_once_and_in_order() -> None:
    fleet = nodes(n0=H200, n1=H100, n2=None, n3=H200)
    keys = [each.key for each in products_of(fleet.values())]
    assert keys == sorted(set(keys))
    assert len(keys) == 2


def test_what_is_expected_where_it_runs_follows_the_lowest_power_limit_there() -> None:
    fleet = {
        "n0": node("n0"),
        "n1": node("n1", power_limit_watts=500.0),
        "n2": node("n2", power_limit_watts=600.0),
        "n3": node("n3", power_limit_watts=200.0),
    }
    holding = held([pod("a", node="n0"), pod("b", node="n1"), pod("c", node="n2")], fleet)
    assert holding.power_limit_watts == 500.0
    assert held([pod("a", node="n0")], fleet).power_limit_watts is None
    where = candidates(WorkloadSpec.model_validate(TRAINING), holding, ())
    assert not isinstance(where, Problem)
    assert [(each.basis, each.placement.power_limit_watts) for each in where] == [(Basis.ASSIGNED, 500.0)]
    declared = candidates(WorkloadSpec.model_validate(TRAINING), Held(), ())
    assert not isinstance(declared, Problem)
    assert [each.placement.power_limit_watts for each in declared] == [None]


def test_a_limit_of_the_faster_product_holds_nobody_back() -> None:
    fleet = {"n0": node("n0", product=A100), "n1": node("n1", power_limit_watts=500.0)}
    assert held([pod("a", node="n0"), pod("b", node="n1")], fleet).power_limit_watts is None
