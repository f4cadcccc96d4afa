"""What the operator may do to a Node, on a real API server: take it through a MIG layout, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from tests.chart.installed import installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-layouts"
OPERATOR = f"system:serviceaccount:{SPACE}:layouts-mfu-operator"
KEEPER = f"{OPERATOR}-keeper"
GOING: dict[str, Any] = {"op": "add", "path": "/metadata/labels/mfu.gpuaas.io~1reshape", "value": "going"}
CORDON: dict[str, Any] = {"op": "add", "path": "/spec/unschedulable", "value": True}
LAYOUT: dict[str, Any] = {"op": "add", "path": "/metadata/labels/nvidia.com~1mig.config", "value": "all-3g.40gb"}
SAID: dict[str, Any] = {"op": "add", "path": "/metadata/annotations/mfu.gpuaas.io~1decision-mig", "value": "why"}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    flags = ("--set", "config.actions={MIGLayout}", "--set", "keeper.enabled=true")
    with installed(control_plane, "layouts", *flags, space=SPACE, progress=cluster_progress):
        control_plane.apply(node("probe"))
        other = [{"op": "add", "path": "/metadata/labels/other", "value": "x"}]
        for who in (OPERATOR, KEEPER):
            wait_fenced(control_plane, "node", "probe", patch=other, who=who)
        yield control_plane
        control_plane.kubectl("delete", "nodes", "probe", "fenced", "kept", "--ignore-not-found")


def node(name: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"nvidia.com/mig.config": "all-1g.10gb"}, "annotations": {"own": "kept"}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def refused(server: ControlPlane, name: str, operations: list[dict[str, Any]], who: str = OPERATOR) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, "node", name, patch=operations, who=who)


def test_its_own_rights_take_a_node_through_a_layout(server: ControlPlane) -> None:
    server.apply(node("fenced"))
    for operations in ([GOING, CORDON, SAID], [LAYOUT]):
        assert refused(server, "fenced", operations) is None
    back: list[dict[str, Any]] = [{"op": "remove", "path": GOING["path"]}, {**CORDON, "value": False}]
    assert refused(server, "fenced", back) is None
    assert server.get("node", "fenced")["metadata"]["labels"] == {"nvidia.com/mig.config": "all-3g.40gb"}
    server.kubectl("auth", "can-i", "create", "pods", "--subresource=eviction", "-A", f"--as={OPERATOR}")
    for verb in ("create", "delete", "update"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, "nodes", f"--as={OPERATOR}")
    with pytest.raises(KubectlFailed):
        server.kubectl("auth", "can-i", "delete", "pods", "-A", f"--as={OPERATOR}")


FORBIDDEN: dict[str, list[dict[str, Any]]] = {
    "cordoning another node": [CORDON],
    "a layout while pods may come": [GOING, LAYOUT],
    "a layout of a node that is not on its way": [CORDON, LAYOUT],
    "another label": [GOING, CORDON, {"op": "add", "path": "/metadata/labels/other", "value": "x"}],
    "the layout's label taken away": [GOING, CORDON, {"op": "remove", "path": LAYOUT["path"]}],
    "a taint": [GOING, CORDON, {"op": "add", "path": "/spec/taints", "value": [{"key": "a", "effect": "NoExecute"}]}],
    "a finalizer": [GOING, CORDON, {"op": "add", "path": "/metadata/finalizers", "value": ["a.example/b"]}],
    "another annotation": [GOING, {"op": "add", "path": "/metadata/annotations/own", "value": "x"}],
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_else_of_a_node_is_the_operators(server: ControlPlane, name: str) -> None:
    assert "ValidatingAdmissionPolicy" in (refused(server, "probe", FORBIDDEN[name]) or "taken")


BACK: list[dict[str, Any]] = [{"op": "remove", "path": GOING["path"]}, {**CORDON, "value": False}, SAID]


def test_the_keeper_gives_back_what_is_on_its_way_and_does_nothing_else(server: ControlPlane) -> None:
    server.apply(node("kept"))
    for operations in ([CORDON], [GOING], [LAYOUT], [SAID]):
        assert "ValidatingAdmissionPolicy" in (refused(server, "kept", operations, KEEPER) or "taken")
    assert refused(server, "kept", [GOING, CORDON]) is None
    for more in (LAYOUT, {**SAID, "path": "/metadata/annotations/own"}, {**CORDON, "value": True}):
        assert "ValidatingAdmissionPolicy" in (refused(server, "kept", [*BACK, more], KEEPER) or "taken")
    assert refused(server, "kept", BACK, KEEPER) is None
    assert not server.get("node", "kept")["spec"].get("unschedulable")
