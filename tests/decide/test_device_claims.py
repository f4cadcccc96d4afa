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
    with pytest.raises(ValueError, match=r"^no product has room for it now$"):
        claim_template("train", ASK, [])


def test_the_whole_document_as_its_owner_pastes_it() -> None:
    whole = 'device.attributes["gpu.nvidia.com"].productName.replace(" ", "-") == "NVIDIA-H200"'
    profile = 'device.attributes["gpu.nvidia.com"].profile == "1g.18gb"'
    kinds = [DeviceKind("1g.18gb", "NVIDIA-H200"), DeviceKind("", "NVIDIA-H200")]
    assert claim_template("serve", Need(1, piece=4), [], kinds) == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "serve"},
        "spec": {
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "gpus",
                            "firstAvailable": [
                                {
                                    "name": "choice-0",
                                    "deviceClassName": "mig.nvidia.com",
                                    "count": 1,
                                    "selectors": [{"cel": {"expression": each}} for each in (whole, profile)],
                                },
                                {
                                    "name": "choice-1",
                                    "deviceClassName": "gpu.nvidia.com",
                                    "count": 1,
                                    "selectors": [{"cel": {"expression": whole}}],
                                },
                            ],
                        }
                    ]
                }
            }
        },
    }


@pytest.mark.parametrize(("whole", "slices"), [(0, 8), (3, 5), (7, 1), (8, 1), (10, 1)])
def test_of_slices_only_so_many_that_the_whole_gpus_behind_them_stay(whole: int, slices: int) -> None:
    cut = [DeviceKind("1g.10gb", f"cut-{each}") for each in range(9)]
    cut += [DeviceKind("", f"whole-{each}") for each in range(whole)]
    (request,) = claim_template("serve", Need(1), [grant("ranked")], cut)["spec"]["spec"]["devices"]["requests"]
    classes = [each["deviceClassName"] for each in request["firstAvailable"]]
    assert classes[:slices] == ["mig.nvidia.com"] * slices
    assert classes[slices:] == ["gpu.nvidia.com"] * (min(MOST_CHOICES, slices + whole + 1) - slices)
