"""MIG layouts that are planned, on a real API server: the report names them, and no node is touched."""

from __future__ import annotations

import json

import pytest

from mfu.api.names import FLEET_REPORT_NAME, GROUP
from mfu.cluster.resources import FLEETREPORTS, NODES
from tests.builders.cases import SERVING
from tests.controller.test_policy_server import Stage, stage

__all__ = ["stage"]
pytestmark = pytest.mark.integration
NODE = "mig0"
LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/mig.config": "all-1g.10gb",
    "nvidia.com/mig.config.state": "success",
    "nvidia.com/mig.strategy": "mixed",
    "kubernetes.io/hostname": NODE,
}


def sliced(stage: Stage) -> None:
    """A node whose two GPUs are cut into seven slices each, all of them free."""
    offered = {"nvidia.com/mig-1g.10gb": "14", "pods": "20"}
    ready = [{"type": "Ready", "status": "True", "reason": "Test"}]
    status = {"status": {"allocatable": offered, "capacity": offered, "conditions": ready}}
    stage.server.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": LABELS}})
    stage.server.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def waits(stage: Stage) -> None:
    """A service that asks for larger slices than any node offers."""
    accelerators = {"count": 1, "products": ["H100-SXM5"], "migProfile": "3g.40gb"}
    spec = {**SERVING, "accelerators": accelerators, "targetRef": {"apiVersion": "v1", "kind": "Pod", "name": "s-0"}}
    declared = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": "s"}, "spec": spec}
    limits = {"resources": {"limits": {"nvidia.com/mig-3g.40gb": "1"}}}
    containers = [{"name": "serve", "image": "none", **limits}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "s-0"}, "spec": {"containers": containers}}
    stage.server.apply(declared, pod, namespace=stage.space)


async def test_the_report_names_a_planned_layout_and_the_node_stays_as_it_is(stage: Stage) -> None:
    sliced(stage)
    try:
        before = await stage.client.get(NODES, NODE)
        waits(stage)
        await stage.knows("s-0", NODE)
        stage.policy("slices", modes={"mig": "Recommend"})
        await stage.cycle()
        (row,) = (await stage.client.get(FLEETREPORTS, FLEET_REPORT_NAME))["status"]["layouts"]
        assert row == {
            **{"node": NODE, "layout": "all-3g.40gb", "slices": "4 of 3g.40gb"},
            **{"waiting": 1, "moved": 0, "state": "Planned"},
        }
        after = await stage.client.get(NODES, NODE)
        assert after["metadata"]["labels"] == before["metadata"]["labels"]
        assert not after["spec"].get("unschedulable")
    finally:
        stage.server.kubectl("delete", "node", NODE)
        stage.server.kubectl("delete", "fleetreport", FLEET_REPORT_NAME, "--ignore-not-found")
