"""The agent against a real API server: who owns its GPUNode, what is kept of it, and what it may not do."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.testbed.cluster.plane import ControlPlane
from mfu.agent.gpunode import dated, status
from mfu.agent.node import Node
from mfu.agent.publish import Publisher
from mfu.api.gpunode import GPUNode
from mfu.cluster.connection import connect
from mfu.cluster.plain import PlainClient, PlainError
from mfu.cluster.resources import GPUNODES, NODES
from tests.agent.conftest import FakeNVML
from tests.agent.kubelet import serve
from tests.builders.program import running

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    return api_server_only


@pytest.fixture
def node(server: ControlPlane) -> str:
    name = f"gpu-{secrets.token_hex(4)}"
    server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    return name


@pytest.fixture
def client(server: ControlPlane) -> PlainClient:
    return PlainClient(connect(server.kubeconfig))


def told(nvml: FakeNVML, passes: int = 2) -> dict[str, Any]:
    agent = Node(agent_version="0.1.0")
    for second in range(passes):
        agent.step(float(second))
    found = status(agent.found(float(passes)))
    agent.close()
    return found


def test_everything_that_is_told_is_kept(nvml: FakeNVML, client: PlainClient, node: str) -> None:
    for gpu in range(4):
        for link in range(18):
            nvml.link(gpu, link, remote=-1)
    nvml.slice(3, 0, 9)
    full = told(nvml)
    assert Publisher(client, node).offer(full, 1000.0)
    kept = client.get(GPUNODES, node)
    assert kept["status"] == dated(full, 1000.0)
    assert GPUNode.model_validate(kept).status is not None
    owner = kept["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Node", client.get(NODES, node)["metadata"]["uid"])
    assert {each["manager"] for each in kept["metadata"]["managedFields"]} == {"mfu-agent"}


def test_what_is_gone_is_taken_back(nvml: FakeNVML, client: PlainClient, node: str) -> None:
    nvml.slice(0, 0, 9)
    publisher = Publisher(client, node)
    publisher.offer(told(nvml), 0.0)
    nvml.unslice(0)
    nvml.set(0, mig=0)
    publisher.offer(told(nvml), 20.0)
    kept = client.get(GPUNODES, node)["status"]["gpus"][0]
    assert (kept["migMode"], kept.get("migInstances", [])) == (False, [])


def test_a_deleted_gpunode_is_made_again(nvml: FakeNVML, server: ControlPlane, client: PlainClient, node: str) -> None:
    publisher = Publisher(client, node)
    publisher.offer(told(nvml), 0.0)
    server.kubectl("delete", "gpunode", node)
    assert publisher.offer({**told(nvml), "summary": "0/4"}, 20.0)
    assert client.get(GPUNODES, node)["status"]["summary"] == "0/4"


def test_a_node_that_does_not_exist_is_an_error_that_is_told_and_nothing_else(
    nvml: FakeNVML, client: PlainClient
) -> None:
    publisher = Publisher(client, "no-such-node")
    assert not publisher.offer(told(nvml), 0.0)
    assert "404" in (publisher.last_error or "")


def test_an_api_server_that_is_not_there_is_an_error_of_ours() -> None:
    from mfu.cluster.connection import Connection

    class Nobody(Connection):
        def headers(self) -> dict[str, str]:
            return {}

    with pytest.raises(PlainError) as refused:
        PlainClient(Nobody("http://127.0.0.1:9", None, None)).get(NODES, "n")
    assert refused.value.status is None


def eventually(check: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_the_command_by_itself_writes_its_gpunode(
    fake_library: Path, server: ControlPlane, client: PlainClient, node: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "mfu", "agent", "--node", node, "--kubeconfig", str(server.kubeconfig)]
    command += ["--port", "0", "--pod-resources", str(tmp_path / "kubelet.sock")]
    environment = os.environ | {"LD_LIBRARY_PATH": str(fake_library.parent), "FAKE_NVML_GPUS": "8"}

    def written() -> bool:
        try:
            return bool(client.get(GPUNODES, node).get("status", {}).get("summary") == "8/8")
        except PlainError:
            return False

    with (
        serve(tmp_path / "kubelet.sock", []),
        running(command, env=environment | {"PYTHONPATH": str(ROOT / "operator")}) as process,
    ):
        eventually(written)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
