"""NVLink matrices, switches and domains, as NVML tells them."""

from __future__ import annotations

from mfu.agent import topology
from mfu.agent.inventory import scan
from mfu.agent.nvml import open_library
from mfu.agent.topology import Topology
from tests.agent.conftest import FakeNVML


def read() -> Topology | None:
    open_library()
    return topology.read(scan())


def test_pairs_joined_directly(nvml: FakeNVML) -> None:
    nvml.reset(3)
    for link in range(4):
        nvml.link(0, link, remote=1)
        nvml.link(1, link, remote=0)
    nvml.link(0, 4, remote=2)
    nvml.link(2, 0, remote=0)
    found = read()
    assert found is not None
    assert found.matrix == ((0, 4, 1), (4, 0, 0), (1, 0, 0))
    assert not found.switched


def test_links_that_are_down_do_not_count(nvml: FakeNVML) -> None:
    nvml.reset(2)
    nvml.link(0, 0, remote=1)
    nvml.link(0, 1, remote=1, active=False)
    nvml.link(1, 0, remote=0)
    found = read()
    assert found is not None
    assert found.matrix == ((0, 1), (1, 0))


def test_a_switch_joins_every_pair_with_all_links(nvml: FakeNVML) -> None:
    nvml.reset(4)
    for gpu in range(4):
        for link in range(18):
            nvml.link(gpu, link, remote=-1)
    found = read()
    assert found is not None
    assert found.switched
    assert found.matrix == tuple(tuple(0 if i == j else 18 for j in range(4)) for i in range(4))
    assert found.domain == ""


def test_domain_of_a_completed_fabric_is_as_gfd_labels_it(nvml: FakeNVML) -> None:
    nvml.reset(2)
    for gpu in range(2):
        nvml.link(gpu, 0, remote=-1)
        nvml.set(gpu, clique=32766, fabric_state=3)
        nvml.cluster(gpu, bytes(range(16)))
    found = read()
    assert found is not None
    assert found.domain == "00010203-0405-0607-0809-0a0b0c0d0e0f.32766"


def test_a_fabric_within_the_node_or_not_ready_has_no_domain(nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.link(0, 0, remote=-1)
    nvml.set(0, fabric_state=3)
    found = read()
    assert found is not None
    assert found.domain == ""
    nvml.cluster(0, bytes(range(16)))
    nvml.set(0, fabric_state=2)
    found = read()
    assert found is not None
    assert found.domain == ""


def test_without_nvlink_there_is_no_topology(nvml: FakeNVML) -> None:
    assert read() is None
