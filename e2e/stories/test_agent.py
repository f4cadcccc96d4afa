"""The node agent as the chart's DaemonSet runs it, over a fake NVML in place of a driver."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.stories.programs import NAMESPACE, RELEASE
from e2e.stories.resources import AGENT_NODE, fake_node
from e2e.stories.stage import Stage
from e2e.testbed.cluster import KubectlFailed, wait_until
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.podrunner import LocalPod, NodeStandIn, find_pod
from tests.agent.fake_nvml.build import build

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler for the fake NVML"),
]


@pytest.fixture(scope="module")
def port() -> int:
    (found,) = free_ports(1)
    return found


@pytest.fixture(scope="module")
def agent(shared_stage: Stage, port: int) -> Iterator[LocalPod]:
    plane, folder = shared_stage.cluster, shared_stage.folder
    # The GPU operator makes this class; a pod that names one that is not there is refused.
    runtime = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "x"}
    plane.apply(fake_node(AGENT_NODE, gpus=2, product="NVIDIA-H100-80GB-HBM3"), runtime)
    shared_stage.install({"agent": {"enabled": True, "port": port}})
    pod = find_pod(plane, f"daemonset/{RELEASE}-mfu-operator-agent", namespace=NAMESPACE, bound=True)
    assert pod["spec"]["nodeName"] == AGENT_NODE
    (folder / "pod-resources").mkdir()
    build(folder)
    library = {"LD_LIBRARY_PATH": str(folder), "FAKE_NVML_GPUS": "2", "FAKE_NVML_NAME": "NVIDIA H100 80GB HBM3"}
    node = NodeStandIn({"/var/lib/kubelet/pod-resources": folder / "pod-resources"}, library)
    with LocalPod.run(plane, pod, node=node, log=folder / "agent.log") as running:
        running.wait_ready()
        yield running


def test_it_writes_the_gpus_of_its_node(shared_stage: Stage, agent: LocalPod) -> None:
    def status() -> dict[str, Any] | None:
        items = shared_stage.cluster.get("gpunodes")["items"]
        found: dict[str, Any] | None = next((each.get("status") for each in items), None)
        return found

    found = wait_until(status, what="GPUNode with a status")
    assert found is not None
    assert len(found["gpus"]) == 2
    (node,) = shared_stage.cluster.get("gpunodes")["items"]
    assert node["metadata"]["name"] == AGENT_NODE
    assert [(owner["kind"], owner["name"]) for owner in node["metadata"]["ownerReferences"]] == [("Node", AGENT_NODE)]


def test_its_token_writes_no_other_nodes_gpus(shared_stage: Stage, agent: LocalPod) -> None:
    plane = shared_stage.cluster
    definition = '{"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "GPUNode", "metadata": {"name": "other-node"}}'
    with pytest.raises(KubectlFailed) as refused:
        plane.kubectl(f"--kubeconfig={agent.plan.environment['KUBECONFIG']}", "create", "-f", "-", stdin=definition)
    assert "of its own node only" in refused.value.stderr


def test_it_serves_its_readings(agent: LocalPod, port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    rows = [line for line in text.splitlines() if line.startswith("mfu_gpu_memory_total_bytes{")]
    assert len(rows) == 2
    assert all(f'node="{AGENT_NODE}"' in row for row in rows)


def test_the_gpunode_goes_with_its_node(shared_stage: Stage, agent: LocalPod, tmp_path: Path) -> None:
    plane = shared_stage.cluster
    agent.stop()
    plane.kubectl("delete", "node", AGENT_NODE)
    plane.kubectl("delete", "runtimeclass", "nvidia")
    wait_until(lambda: not plane.get("gpunodes")["items"], what="end of the GPUNode")
