"""What the operator and the keeper may do to a slow Node, on a real API server: one soft taint, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.waiting import wait_until
from tests.chart.installed import installed, wait_fenced
from tests.chart.test_chart_layouts import refused

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-slow"
OPERATOR = f"system:serviceaccount:{SPACE}:slow-mfu-operator"
KEEPER = f"{OPERATOR}-keeper"
Operation = dict[str, Any]


def add(path: str, value: Any) -> Operation:
    return {"op": "add", "path": path, "value": value}


def taint(key: str = "mfu.gpuaas.io/slow", effect: str = "PreferNoSchedule") -> Operation:
    return add("/spec/taints/-", {"key": key, "effect": effect})


LABEL = add("/metadata/labels/mfu.gpuaas.io~1slow", "1800000000")
WORDS = add("/metadata/annotations/mfu.gpuaas.io~1decision-placement", "why")
ON = [taint(), LABEL, WORDS]


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    flags = ("--set", "config.actions={PreferNoSchedule}", "--set", "keeper.enabled=true")
    with installed(control_plane, "slow", *flags, space=SPACE, progress=cluster_progress):
        control_plane.apply(node("probe"))
        for who in (OPERATOR, KEEPER):
            other = [add("/metadata/labels/other", "x")]
            wait_fenced(control_plane, "node", "probe", patch=other, who=who)
        yield control_plane
        control_plane.kubectl("delete", "nodes", "probe", "slow", "--ignore-not-found")


def node(name: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"own": "kept", "nvidia.com/mig.config": "a"}, "annotations": {"own": "kept"}}
    taints = [{"key": "own", "value": "x", "effect": "NoSchedule"}]
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": taints}}


def place(server: ControlPlane, name: str) -> int:
    taints = server.get("node", name)["spec"]["taints"]
    return next(index for index, each in enumerate(taints) if each["key"] == "mfu.gpuaas.io/slow")


def off(server: ControlPlane, name: str) -> list[Operation]:
    paths = (f"/spec/taints/{place(server, name)}", LABEL["path"], WORDS["path"])
    return [{"op": "remove", "path": path} for path in paths]


def fenced(server: ControlPlane, name: str, operations: list[Operation], who: str = OPERATOR) -> bool:
    return "ValidatingAdmissionPolicy" in (refused(server, name, operations, who) or "taken")


def test_its_own_rights_put_the_taint_on_renew_it_and_take_it_off(server: ControlPlane) -> None:
    server.apply(node("slow"))
    assert refused(server, "slow", ON, OPERATOR) is None
    assert refused(server, "slow", [{**LABEL, "value": "1800001800"}], OPERATOR) is None
    assert refused(server, "slow", off(server, "slow"), OPERATOR) is None
    for verb in ("create", "delete", "update"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, "nodes", f"--as={OPERATOR}")
    with pytest.raises(KubectlFailed):
        server.kubectl("auth", "can-i", "create", "pods", "--subresource=eviction", "-A", f"--as={OPERATOR}")


FORBIDDEN: dict[str, list[Operation]] = {
    "a taint that keeps pods away": [taint(effect="NoSchedule"), LABEL, WORDS],
    "a taint that ends pods": [*ON, taint(effect="NoExecute")],
    "another taint": [*ON, taint("other")],
    "the taint of somebody else taken off": [{"op": "remove", "path": "/spec/taints/0"}],
    "a taint without its end": [taint(), WORDS],
    "an end without its taint": [LABEL],
    "cordoning": [*ON, add("/spec/unschedulable", True)],
    "a MIG layout": [*ON, add("/metadata/labels/nvidia.com~1mig.config", "b")],
    "another label": [*ON, add("/metadata/labels/own", "x")],
    "another annotation": [*ON, add("/metadata/annotations/own", "x")],
    "a finalizer": [*ON, add("/metadata/finalizers", ["a.example/b"])],
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_nothing_else_of_a_node_is_the_operators(server: ControlPlane, name: str) -> None:
    assert fenced(server, "probe", FORBIDDEN[name])


@pytest.fixture
def kept(server: ControlPlane) -> Iterator[None]:
    """A node of the test's own: the node controller's taints would stand in the way of applying it again."""
    server.apply(node("kept"))
    yield
    server.kubectl("delete", "node", "kept", "--ignore-not-found")


@pytest.mark.usefixtures("kept")
def test_the_keeper_takes_it_off_and_does_nothing_else(server: ControlPlane) -> None:
    for operations in (ON, [LABEL], [WORDS], [add("/spec/unschedulable", True)]):
        assert fenced(server, "kept", operations, KEEPER)
    assert refused(server, "kept", ON, OPERATOR) is None
    for more in (
        {"op": "remove", "path": "/spec/taints/0"},
        add("/metadata/labels/own", "x"),
        add("/metadata/annotations/own", "x"),
        add("/spec/unschedulable", True),
        taint("other"),
    ):
        # Looked up anew: the node controller's own taints come and go before it.
        assert fenced(server, "kept", [*off(server, "kept"), more], KEEPER)
    assert fenced(server, "kept", off(server, "kept")[:1], KEEPER), "the taint goes with its label"
    wait_until(
        lambda: refused(server, "kept", off(server, "kept"), KEEPER) is None, what="the keeper's leave to take it off"
    )
    assert [each["key"] for each in server.get("node", "kept")["spec"]["taints"] if each["key"] == "own"] == ["own"]
