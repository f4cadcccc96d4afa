"""Simulated nodes: products by name, MIG layouts, stable identities."""

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.sim.exposition import Exporters
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import ImpossibleNode, from_documents, parse_nodes, slots
from mfu.sim.manifests import labels, node_manifest, node_status


def test_a_flag_becomes_named_nodes() -> None:
    nodes = parse_nodes("H100-SXM5=2, H100-SXM5:1g.10gb=1,H200-SXM=1")

    assert [node.name for node in nodes] == ["h100-sxm5-00", "h100-sxm5-01", "h100-sxm5-mig-00", "h200-sxm-00"]
    assert [len(list(slots(node))) for node in nodes] == [8, 8, 56, 8]


@pytest.mark.parametrize("flag", ["H100-SXM5", "H100-SXM5=x", "=3"])
def test_a_malformed_flag_says_the_form(flag) -> None:
    with pytest.raises(ValueError, match="PRODUCT"):
        parse_nodes(flag)


@pytest.mark.parametrize(("flag", "hint"), [("H100-SXM=1", "H100-SXM5"), ("H100-SXM5:9g.10gb=1", "1g.10gb")])
def test_an_unknown_product_names_the_nearest(flag, hint) -> None:
    with pytest.raises(ImpossibleNode, match=hint):
        parse_nodes(flag)


def test_uuids_are_stable_and_unique() -> None:
    first, second = (
        [(slot.uuid, slot.instance) for node in parse_nodes("H100-SXM5=3,H100-SXM5:3g.40gb=1") for slot in slots(node)]
        for _ in range(2)
    )

    assert first == second
    assert len(set(first)) == len(first)


def test_a_mig_instance_keeps_its_parents_uuid() -> None:
    (node,) = parse_nodes("H100-SXM5:1g.10gb=1")
    instances = [slot for slot in slots(node) if slot.index == 0]

    assert len({slot.uuid for slot in instances}) == 1
    assert [slot.instance for slot in instances] == list(range(7, 14))
    assert instances[0].resource == "nvidia.com/mig-1g.10gb"


def test_the_product_label_resolves_to_the_product() -> None:
    named = [gpu for gpu in load().gpus.values() if isinstance(load().resolve(gpu.name), Device)]
    assert len(named) > 30
    for gpu in named:
        (node,) = from_documents([{"product": gpu.key}])
        resolved = load().resolve(node.product_label)
        assert isinstance(resolved, Device)
        assert resolved.gpu == gpu


def test_a_plan_file_may_name_nodes_and_places() -> None:
    (node,) = from_documents([{"product": "H200-SXM", "gpus": 4, "name": "big-1", "zone": "z", "rack": "r"}])

    assert (node.name, node.gpus, node.zone, node.rack) == ("big-1", 4, "z", "r")


def test_manifests_are_what_discovery_and_device_plugin_leave() -> None:
    whole, mig = parse_nodes("H100-SXM5=1,H100-SXM5:1g.10gb=1")

    assert node_manifest(whole)["metadata"]["annotations"] == {"kwok.x-k8s.io/node": "fake"}
    assert labels(whole)["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert node_status(whole)["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert node_status(mig)["status"]["allocatable"]["nvidia.com/mig-1g.10gb"] == "56"
    assert "nvidia.com/gpu" not in node_status(mig)["status"]["allocatable"]


def test_a_node_may_show_a_product_that_nobody_knows() -> None:
    (node,) = from_documents([{"product": "H100-SXM5", "shownAs": "NVIDIA X900 Prototype"}])
    text = Exporters(SimFleet([node])).text(node.name, 10.0)

    assert labels(node)["nvidia.com/gpu.product"] == "NVIDIA-X900-Prototype"
    assert 'modelName="NVIDIA X900 Prototype"' in text
    assert "H100" not in text
