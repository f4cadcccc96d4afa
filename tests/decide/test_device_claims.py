"""Ranked places as a device claim: the order of the solver, a claim a pod, nothing where nothing is free."""

from __future__ import annotations

import pytest

from mfu.decide.fleet.capacity import HOST_LABEL, DeviceKind, Domain, Share
from mfu.decide.fleet.device_claims import MOST_CHOICES, claim_template
from mfu.decide.fleet.fitting import Grant, Quality
from mfu.decide.fleet.standing import Need

ASK = Need(8, piece=4)


def grant(product: str, profile: str = "") -> Grant:
    kind = DeviceKind(profile, product)
    return Grant(kind, Quality.ONE_DOMAIN, (Share("n", 8),), (Domain(HOST_LABEL, "n"),))


def test_products_in_the_order_of_the_solver_with_the_devices_of_one_pod() -> None:
    made = claim_template("train", ASK, [grant("NVIDIA-H200"), grant("NVIDIA-A100-SXM4-80GB"), grant("NVIDIA-H200")])
    (request,) = made["spec"]["spec"]["devices"]["requests"]
    assert [each["count"] for each in request["firstAvailable"]] == [4, 4]
    assert [each["selectors"][0]["cel"]["expression"] for each in request["firstAvailable"]] == [
        'device.attributes["gpu.nvidia.com"].productName.replace(" ", "-") == "NVIDIA-H200"',
        'device.attributes["gpu.nvidia.com"].productName.replace(" ", "-") == "NVIDIA-A100-SXM4-80GB"',
    ]


def test_a_slice_is_asked_of_its_own_class_by_its_profile() -> None:
    made = claim_template("serve", Need(1, profile="1g.10gb"), [grant("NVIDIA-H100-80GB-HBM3", "1g.10gb")])
    (choice,) = made["spec"]["spec"]["devices"]["requests"][0]["firstAvailable"]
    assert choice["deviceClassName"] == "mig.nvidia.com"
    assert choice["selectors"][1]["cel"]["expression"].endswith('.profile == "1g.10gb"')


def test_no_more_choices_than_the_api_takes_and_none_is_an_error() -> None:
    many = [grant(f"product-{number}") for number in range(MOST_CHOICES + 2)]
    made = claim_template("train", ASK, many)
    assert len(made["spec"]["spec"]["devices"]["requests"][0]["firstAvailable"]) == MOST_CHOICES
    with pytest.raises(ValueError, match="no product has room"):
        claim_template("train", ASK, [])
