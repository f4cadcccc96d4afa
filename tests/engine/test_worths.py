"""What an objective is worth on each product: throughput, cost, latency, and what happens where a number is missing."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.api.mfupolicy import PolicySpec
from mfu.decide.fleet.standing import Need
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import PolicyView, Snapshot
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.fleets import A100, H100
from tests.builders.scenes import NOW, pod, workload
from tests.engine.test_fleet_stage import places

BOTH = {"count": 8, "products": ["H100-SXM5", "A100-SXM4-80GB"]}
H, A = "h100-sxm5-80gb", "a100-sxm4-80gb"


def waiting(document: dict[str, Any], policies: tuple[PolicyView, ...] = ()) -> Plan:
    view = workload("w", document)
    gpus = view.spec.accelerators.count if view.spec else 0
    pods = (pod("w-0", "w", gpus=gpus, node=None, phase="Pending"),)
    nodes = (node("a0", product=A100), node("h0"))
    return evaluate(Snapshot((view,), pods, nodes, policies, {"team-a": {}}), NOW)


def ask_of(plan: Plan) -> Need:
    standing = plan.workloads[0].standing
    assert standing is not None
    assert standing.ask is not None
    return standing.ask


def priced(**prices: str) -> PolicyView:
    entries = [{"product": name.replace("_", "-"), "perGPUHour": price} for name, price in prices.items()]
    return PolicyView("p", "uid-p", 1, PolicySpec.model_validate({"prices": entries, "currency": "€"}))


def test_throughput_takes_the_faster_product_and_says_what_the_other_is_worth() -> None:
    plan = waiting({**TRAINING, "accelerators": BOTH})
    ask = ask_of(plan)
    fast, slow = ask.worth(H, 8), ask.worth(A, 8)
    assert ask.unit == "tokens/s"
    assert fast is not None
    assert slow is not None
    assert fast > slow > 0
    assert places(plan)["w"][1].endswith(f"next best {A100} on node a0, {slow / fast:.0%} of its tokens/s per GPU")
    expected = plan.workloads[0].expected
    assert expected is not None
    assert fast == pytest.approx(expected.tokens_per_s_per_gpu)


def test_a_place_on_bridged_cards_counts_on_no_bridge() -> None:
    """Which two of the cards of a node a pod gets is nobody's choice here."""
    pair = {**TRAINING["training"], "parallelism": {"tensor": 2}, "sharding": "DDP"}
    accelerators = {"count": 2, "products": ["A100-PCIe-80GB", "A100-SXM4-80GB"]}
    view = workload(
        "w", {**TRAINING, "model": {"preset": "llama-3.2-1b"}, "accelerators": accelerators, "training": pair}
    )
    pods = (pod("w-0", "w", gpus=2, node=None, phase="Pending"),)
    nodes = (node("a0", product=A100), node("p0", product="NVIDIA-A100-80GB-PCIe"))
    plan = evaluate(Snapshot((view,), pods, nodes, (), {"team-a": {}}), NOW)
    over_pcie, over_nvlink = ask_of(plan).worth("a100-pcie-80gb", 2), ask_of(plan).worth(A, 2)
    assert over_pcie is not None
    assert over_nvlink is not None
    assert over_pcie < 0.8 * over_nvlink


def test_scattered_groups_are_predicted_as_such() -> None:
    """Tensor groups of two on nodes of their own talk over the network in the data-parallel step."""
    view = {**TRAINING, "accelerators": BOTH}
    standing = (
        evaluate(Snapshot((workload("w", view),), (), (node("h0"),), (), {"team-a": {}}), NOW).workloads[0].standing
    )
    assert standing is not None
    assert standing.ask is not None
    (worth,) = [each for each in standing.ask.worths if each.product == H]
    points = dict(worth.points)
    assert sorted(points) == [1, 2, 8]
    assert points[1] < points[2] < points[8]


def test_cost_weighs_the_price() -> None:
    document = {**TRAINING, "accelerators": BOTH, "objective": "Cost"}
    cheap = waiting(document, (priced(H100_SXM5="10", A100_SXM4_80GB="1"),))
    assert ask_of(cheap).unit == "tokens per €"
    assert f"8 free {A100}" in places(cheap)["w"][1]
    dear = waiting(document, (priced(H100_SXM5="1", A100_SXM4_80GB="1"),))
    assert f"8 free {H100}" in places(dear)["w"][1]


def test_cost_without_a_price_falls_back_and_says_so() -> None:
    document = {**TRAINING, "accelerators": BOTH, "objective": "Cost"}
    plan = waiting(document, (priced(H100_SXM5="10"),))
    assert ask_of(plan).unit == "tokens/s (not every product has a price)"
    assert f"8 free {H100}" in places(plan)["w"][1]


def test_latency_weighs_the_slo() -> None:
    inference = {**SERVING["inference"], "slo": {"ttftMilliseconds": 500, "tpotMilliseconds": 30}}
    accelerators = {"count": 1, "products": BOTH["products"]}
    document = {**SERVING, "accelerators": accelerators, "inference": inference, "objective": "Latency"}
    plan = waiting(document)
    ask, expected = ask_of(plan), plan.workloads[0].expected
    assert ask.unit == "SLO margin"
    assert expected is not None
    assert expected.ttft_seconds is not None
    assert expected.tpot_seconds is not None
    tightest = min(0.5 / expected.ttft_seconds, 0.03 / expected.tpot_seconds)
    assert ask.worth(H, 1) == pytest.approx(tightest)


def test_latency_without_an_slo_is_throughput() -> None:
    assert ask_of(waiting({**TRAINING, "accelerators": BOTH, "objective": "Latency"})).unit == "tokens/s"
