"""What is read of ResourceSlices: nodes whose driver cuts on allocation, and nothing of any other device."""

from __future__ import annotations

from typing import Any

from mfu.cluster.device_slices import CutSlices, cut_slices, partitioned
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from tests.builders.device_slices import partitionable

H100 = "NVIDIA-H100-80GB-HBM3"


def read(*documents: dict[str, Any]) -> list[CutSlices]:
    return [found for each in documents if (found := cut_slices(each)) is not None]


def test_a_node_that_cuts_all_profiles_of_its_product() -> None:
    device = load().resolve(H100)
    assert isinstance(device, Device)
    (found,) = partitioned(read(*partitionable("n0", H100, gpus=2)))
    assert (found.node, found.product_label) == ("n0", H100)
    assert found.profiles == tuple(sorted(each.name for each in load().mig_profiles(device.gpu.key)))


def test_slices_that_are_laid_out_already_are_not_cut() -> None:
    counters, devices = partitionable("n0", H100)
    for each in devices["spec"]["devices"]:
        del each["consumesCounters"]
    assert read(counters, devices) == []


def test_whole_gpus_of_other_drivers_and_of_no_node_are_not_read() -> None:
    _, devices = partitionable("n0", H100)
    whole = {**devices, "spec": {**devices["spec"], "devices": devices["spec"]["devices"][:1]}}
    other = {**devices, "spec": {**devices["spec"], "driver": "gpu.example.com"}}
    anywhere = {**devices, "spec": {**devices["spec"], "nodeName": None, "allNodes": True}}
    assert read(whole, other, anywhere) == []
    assert len(read(devices)) == 1


def test_attributes_by_their_full_names_are_the_same() -> None:
    _, devices = partitionable("n0", H100)
    for each in devices["spec"]["devices"]:
        each["attributes"] = {f"gpu.nvidia.com/{name}": said for name, said in each["attributes"].items()}
    assert partitioned(read(devices)) == partitioned(read(*partitionable("n0", H100)))


def test_what_an_older_generation_of_the_pool_offered_is_over() -> None:
    old = CutSlices("n0", "n0", 1, H100, frozenset({"1g.10gb"}))
    new = CutSlices("n0", "n0", 2, H100, frozenset({"2g.20gb"}))
    other = CutSlices("n1", "n1", 1, H100, frozenset({"1g.10gb"}))
    assert [(each.node, each.profiles) for each in partitioned([old, new, other])] == [
        ("n0", ("2g.20gb",)),
        ("n1", ("1g.10gb",)),
    ]
