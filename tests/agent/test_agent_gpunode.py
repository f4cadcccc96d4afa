"""Status of a GPUNode as the API has it, and how often it is written."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from mfu.agent.gpunode import dated, status, timestamp
from mfu.agent.node import Node
from mfu.agent.publish import HEARTBEAT_SECONDS, LEAST_SECONDS, Publisher
from mfu.api.gpunode import GPUNode
from mfu.cluster.plain import PlainError
from mfu.cluster.resources import NODES, ResourcePath
from tests.agent.conftest import FakeNVML


def described(nvml: FakeNVML) -> dict[str, Any]:
    node = Node(agent_version="0.1.0")
    for second in range(30):
        node.step(float(second))
    told = status(node.found(30.0))
    node.close()
    return told


def test_status_is_what_the_api_declares(nvml: FakeNVML) -> None:
    nvml.reset(2)
    for gpu in range(2):
        nvml.set(gpu, gpu_util=99, numa=gpu, gen=5)
        for link in range(18):
            nvml.link(gpu, link, remote=-1)
    nvml.slice(1, 0, 9)
    told = described(nvml)
    read = GPUNode.model_validate({"metadata": {"name": "n"}, "status": dated(told, 0.0)}).status
    assert read is not None
    assert read.to_api() == dated(told, 0.0)
    assert (read.product, read.summary, str(read.health)) == ("H100-SXM5", "2/2", "Healthy")
    assert read.nvlink is not None
    assert read.nvlink.matrix == ((0, 18), (18, 0))
    whole, sliced = read.gpus
    assert (whole.numa_node, whole.default_power_limit_watts, whole.memory) == (0, 700, "81559Mi")
    assert whole.pcie is not None
    assert (whole.pcie.address, whole.pcie.max_generation, whole.pcie.width) == ("0000:10:00.0", 5, 16)
    assert [(each.profile, each.gpu_instance, each.placement_start) for each in sliced.mig_instances] == [
        ("1g.10gb", 9, 0)
    ]


def test_a_link_that_stays_down_is_named_with_its_speed(nvml: FakeNVML) -> None:
    nvml.reset(1)
    nvml.set(0, gpu_util=99, gen=3)
    gpu = described(nvml)["gpus"][0]
    assert (gpu["health"], gpu["healthReasons"]) == ("Degraded", ["LinkDowngraded"])
    assert (gpu["pcie"]["generation"], gpu["pcie"]["maxGeneration"]) == (3, 5)


def test_load_alone_changes_nothing(nvml: FakeNVML) -> None:
    nvml.reset(1)
    quiet = described(nvml)
    nvml.set(0, gpu_util=100, power=690_000, clock=1500, used=60 * 2**30, temperature=70, events=4, gen=5)
    assert described(nvml) == quiet


def test_mixed_products_have_no_product(nvml: FakeNVML) -> None:
    nvml.reset(2)
    nvml.name(1, "NVIDIA L40S")
    assert described(nvml)["product"] == ""


def test_transition_times_move_with_the_status_only() -> None:
    told = {"conditions": [{"type": "Ready", "status": "True", "reason": "Reading", "message": "a"}]}
    first = dated(told, 0.0)
    later = dated(told, 60.0, first["conditions"])
    assert later["conditions"][0]["lastTransitionTime"] == timestamp(0.0) == "1970-01-01T00:00:00Z"
    failed = {"conditions": [{**told["conditions"][0], "status": "False"}]}
    assert dated(failed, 60.0, first["conditions"])["conditions"][0]["lastTransitionTime"] == timestamp(60.0)


class Api:
    """An API server's behaviour as far as the publisher meets it."""

    def __init__(self) -> None:
        self.uid, self.up = "node-uid-1", True
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes: list[str | None] = []

    def get(self, resource: ResourcePath, name: str) -> dict[str, Any]:
        assert resource is NODES
        if not self.up:
            raise PlainError("GET", "refused")
        return {"metadata": {"name": name, "uid": self.uid}}

    def apply(
        self, resource: ResourcePath, body: Mapping[str, Any], *, manager: str, subresource: str | None = None
    ) -> dict[str, Any]:
        assert manager == "mfu-agent"
        if not self.up:
            raise PlainError("PATCH", "refused")
        name = body["metadata"]["name"]
        if subresource == "status" and name not in self.objects:
            raise PlainError("PATCH", "not found", 404)
        self.writes.append(subresource)
        self.objects[name] = {**self.objects.get(name, {}), **body}
        return self.objects[name]


TOLD: dict[str, Any] = {"summary": "8/8", "conditions": [{"type": "Ready", "status": "True"}]}
WORSE: dict[str, Any] = {"summary": "7/8", "conditions": [{"type": "Ready", "status": "False"}]}


@pytest.fixture
def api() -> Api:
    return Api()


def test_the_object_is_made_with_its_node_as_owner_and_then_told(api: Api) -> None:
    assert Publisher(api, "node-1").offer(TOLD, 0.0)
    made = api.objects["node-1"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "node-uid-1"}
    assert api.writes == [None, "status"]
    assert made["status"]["summary"] == "8/8"
    assert Publisher(api, "node-2").offer(TOLD, 0.0)
    assert made["apiVersion"] == "mfu.gpuaas.io/v1alpha1"
    assert owner["uid"] == api.uid


def test_nothing_new_is_written_only_as_a_sign_of_life(api: Api) -> None:
    publisher = Publisher(api, "node-1")
    written = [second for second in range(3600) if publisher.offer(TOLD, float(second))]
    assert written == [i * int(HEARTBEAT_SECONDS) for i in range(15)]
    assert publisher.writes == 15


def test_changes_are_written_at_once_but_not_more_often_than_allowed(api: Api) -> None:
    publisher = Publisher(api, "node-1")
    written = [second for second in range(61) if publisher.offer((TOLD, WORSE)[second % 2], float(second))]
    assert written[0] == 0
    assert all(later - earlier >= LEAST_SECONDS for earlier, later in pairwise(written))
    assert len(written) >= 5


def test_an_api_server_that_is_away_is_tried_again_and_never_raises(api: Api) -> None:
    publisher = Publisher(api, "node-1")
    api.up = False
    assert not publisher.offer(TOLD, 0.0)
    assert publisher.last_error is not None
    api.up = True
    assert not publisher.offer(TOLD, 1.0)
    assert publisher.offer(TOLD, LEAST_SECONDS)
    assert publisher.last_error is None


def test_a_node_that_was_made_again_gets_its_object_again(api: Api) -> None:
    publisher = Publisher(api, "node-1")
    publisher.offer(TOLD, 0.0)
    del api.objects["node-1"]
    api.uid = "node-uid-2"
    assert publisher.offer(WORSE, 20.0)
    assert api.objects["node-1"]["status"]["summary"] == "7/8"
    assert api.writes == [None, "status", None, "status"]
