"""Which slice to claim where a driver cuts on allocation: what holds and serves it, the most for the money first."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.api.modelworkload import WorkloadSpec
from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.device_claims import MOST_CHOICES, claim_template
from mfu.decide.fleet.partitions import PartitionedNode, cut_for
from mfu.decide.fleet.standing import Need
from mfu.hardware.catalog import load
from mfu.hardware.price import price_per_hour
from mfu.hardware.types import Device
from mfu.predict import predict
from mfu.predict.declared import from_spec
from mfu.predict.types import Inference, Placement, Prediction
from tests.builders.cases import SERVING, gpu
from tests.decide.test_device_claims import grant

H100, H200, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-A100-SXM4-80GB"
PRICES = {"H100-SXM5": 3.0, "H200-SXM": 4.0, "A100-SXM4-80GB": 1.5}
ANY: frozenset[str] = frozenset()


def node(label: str = H100, name: str = "n0") -> PartitionedNode:
    found = load().resolve(label)
    assert isinstance(found, Device)
    return PartitionedNode(name, label, tuple(each.name for each in load().mig_profiles(found.gpu.key)))


def serving(**slo: int) -> Inference:
    document: dict[str, Any] = {**SERVING, "inference": {**SERVING["inference"], "slo": slo}} if slo else SERVING
    setup = from_spec(WorkloadSpec.model_validate(document))
    assert isinstance(setup, Inference)
    return setup


def per_price(setup: Inference, profile: str) -> float:
    found = load().mig_profile(gpu().key, profile)
    device = Device(gpu(), found)
    answer = predict(setup, Placement(device, 1, 1))
    price = price_per_hour(PRICES, device, 1)
    assert isinstance(answer, Prediction)
    assert price
    return answer.tokens_per_s_per_gpu / price


def test_slices_by_what_they_bring_for_the_money_and_the_whole_gpu_last() -> None:
    found = cut_for(serving(), [node()], PRICES, ANY)
    slices = [each.profile for each in found[:-1]]
    assert found[-1] == DeviceKind("", H100)
    assert set(slices) == {"1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb"}
    worths = [per_price(serving(), each) for each in slices]
    assert worths == sorted(worths, reverse=True)
    assert worths[0] > worths[-1]


def test_without_prices_a_slice_costs_its_share_of_the_gpu() -> None:
    assert cut_for(serving(), [node()], {}, ANY) == cut_for(serving(), [node()], PRICES, ANY)


def test_a_latency_that_small_slices_miss_is_asked_of_larger_ones() -> None:
    found = cut_for(serving(tpotMilliseconds=5), [node()], PRICES, ANY)
    assert {each.profile for each in found} == {"3g.40gb", "4g.40gb", ""}


def test_what_no_slice_keeps_is_no_claim_of_slices() -> None:
    assert cut_for(serving(tpotMilliseconds=3), [node()], PRICES, ANY) == ()


@pytest.mark.parametrize("nodes", [[], [PartitionedNode("n0", "NVIDIA-Unheard-Of", ("1g.10gb",))]])
def test_nothing_where_nothing_that_is_known_is_cut(nodes: list[PartitionedNode]) -> None:
    assert cut_for(serving(), nodes, PRICES, ANY) == ()


def test_only_profiles_that_the_driver_offers() -> None:
    found = cut_for(serving(), [PartitionedNode("n0", H100, ("2g.20gb", "1g.10gb+me"))], PRICES, ANY)
    assert [each.profile for each in found] == ["2g.20gb", ""]


def test_products_that_the_spec_does_not_allow_are_left_out() -> None:
    both = [node(), node(A100, "n1")]
    assert {each.product_label for each in cut_for(serving(), both, PRICES, ANY)} == {H100, A100}
    assert {each.product_label for each in cut_for(serving(), both, PRICES, frozenset({gpu().key}))} == {H100}


def test_the_order_of_the_nodes_does_not_matter() -> None:
    nodes = [node(), node(A100, "n1"), node(H200, "n2")]
    assert cut_for(serving(), nodes, PRICES, ANY) == cut_for(serving(), nodes[::-1], PRICES, ANY)


def test_the_claim_lists_slices_then_whole_gpus_then_what_else_has_room() -> None:
    cut = cut_for(serving(), [node()], PRICES, ANY)
    (request,) = claim_template("w", Need(1), [grant("NVIDIA-L40S")], cut)["spec"]["spec"]["devices"]["requests"]
    classes = [each["deviceClassName"] for each in request["firstAvailable"]]
    assert classes == ["mig.nvidia.com"] * 5 + ["gpu.nvidia.com"] * 2
    assert all(each["count"] == 1 for each in request["firstAvailable"])
    assert "NVIDIA-L40S" in request["firstAvailable"][-1]["selectors"][0]["cel"]["expression"]


def test_however_many_slices_there_are_the_whole_gpus_stay_in_the_claim() -> None:
    cut = cut_for(serving(), [node(), node(A100, "n1"), node(H200, "n2")], PRICES, ANY)
    assert len(cut) > MOST_CHOICES
    (request,) = claim_template("w", Need(1), [], cut)["spec"]["spec"]["devices"]["requests"]
    classes = [each["deviceClassName"] for each in request["firstAvailable"]]
    assert classes == ["mig.nvidia.com"] * 5 + ["gpu.nvidia.com"] * 3


def test_prices_count_only_where_all_of_them_are_known() -> None:
    """With a price for one of two alone, each costs its share of a GPU; with both, the cheaper one comes first."""
    both = [node(), node(A100, "n1")]
    alone = cut_for(serving(), both, {}, ANY)
    assert cut_for(serving(), both, {"H100-SXM5": 100.0}, ANY) == alone
    dear = cut_for(serving(), both, {"H100-SXM5": 100.0, "A100-SXM4-80GB": 1.0}, ANY)
    labels = [each.product_label for each in dear if each.profile]
    assert labels == sorted(labels), "all slices of an A100 before those of a dear H100"
    assert labels != [each.product_label for each in alone if each.profile]
    assert [each.product_label for each in dear[-2:]] == [A100, H100]


def test_what_costs_nothing_has_no_worth_for_the_money() -> None:
    both = [node(), node(A100, "n1")]
    found = cut_for(serving(), both, {"H100-SXM5": 0.0, "A100-SXM4-80GB": 1.0}, ANY)
    assert {each.product_label for each in found} == {A100}


def test_profiles_of_all_nodes_of_a_product_are_offered() -> None:
    nodes = [PartitionedNode("n0", H100, ("1g.20gb",)), PartitionedNode("n1", H100, ("2g.20gb",))]
    assert {each.profile for each in cut_for(serving(), nodes, PRICES, ANY)} == {"1g.20gb", "2g.20gb", ""}


def test_a_whole_gpu_on_which_it_is_too_large_is_left_out() -> None:
    """What a slice of one product holds, a smaller product does not: it is named with neither."""
    small = PartitionedNode("n1", "NVIDIA-A30", ("1g.6gb", "2g.12gb", "4g.24gb"))
    large = {**SERVING, "model": {"preset": "llama-3.1-8b"}}
    setup = from_spec(WorkloadSpec.model_validate(large))
    assert isinstance(setup, Inference)
    found = cut_for(setup, [node(H200, "n0"), small], {}, ANY)
    answer = predict(setup, Placement(Device(gpu("A30")), 1, 1))
    assert isinstance(answer, Prediction)
    assert any(each.profile for each in found)
    assert (DeviceKind("", "NVIDIA-A30") in found) is answer.memory.fits
