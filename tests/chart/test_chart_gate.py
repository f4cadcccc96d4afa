"""The gate as the chart installs it, on a real API server: who is stamped, what the fences refuse, what fails open."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress
from mfu.api.names import GATE_LABEL, PLACEMENT_GATE, WORKLOAD_LABEL, decision_annotation
from tests.builders.gated_pods import CONTAINER, gated, gates_of
from tests.chart.installed import every_right, installed

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE, NAME = "mfu-gate", "gate-mfu-operator"
OPERATOR = f"system:serviceaccount:{SPACE}:{NAME}"
KEEPER = f"{OPERATOR}-keeper"
SAID = decision_annotation("Placement")
OPEN = [
    {"op": "test", "path": "/spec/schedulingGates/0/name", "value": PLACEMENT_GATE},
    {"op": "remove", "path": "/spec/schedulingGates/0"},
]
AFFINITY = {
    "op": "add",
    "path": "/spec/affinity",
    "value": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n0"]}]}
                ]
            }
        }
    },
}
WORDS = {"op": "add", "path": "/metadata/annotations", "value": {SAID: "keep the pods to node n0"}}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    values = "config.actions={RequiredAffinity},gating.enabled=true,keeper.enabled=true,agent.enabled=true"
    with (
        installed(control_plane, "gate", "--set", values, space=SPACE, progress=cluster_progress),
        every_right(control_plane, "gate-fenced", OPERATOR, KEEPER),
    ):
        yield control_plane


@pytest.fixture(scope="module")
def space(server: ControlPlane) -> str:
    """A namespace that opted in, with the policy in force."""
    name = server.new_namespace("gated")
    server.kubectl("label", "namespace", name, f"{GATE_LABEL}=enabled")
    wait_until(lambda: gates_of(stamped(server, name)) == [PLACEMENT_GATE], what="the gate's policy in force")
    return name


def plain(*, labelled: bool = True, **spec: Any) -> dict[str, Any]:
    made = gated(gates=(), **spec)
    if "schedulingGates" not in spec:
        del made["spec"]["schedulingGates"]
    if labelled:
        made["metadata"]["labels"] = {WORKLOAD_LABEL: "w"}
    return made


def stamped(server: ControlPlane, space: str, **fields: Any) -> dict[str, Any]:
    """A pod as the API server made it of what was asked for."""
    made = plain(**fields)
    server.kubectl("create", "-n", space, "-f", "-", stdin=json.dumps(made))
    found: dict[str, Any] = server.get("pod", made["metadata"]["name"], "-n", space)
    return found


def test_a_labelled_pod_of_an_opted_in_namespace_is_stamped(server: ControlPlane, space: str) -> None:
    pod = stamped(server, space)
    assert gates_of(pod) == [PLACEMENT_GATE]
    assert pod["metadata"]["annotations"]["mfu.gpuaas.io/gated"] == "true"
    assert not pod["spec"].get("nodeName")


def test_gates_that_it_brings_along_stay(server: ControlPlane, space: str) -> None:
    assert set(gates_of(stamped(server, space, schedulingGates=[{"name": "a.b/c"}]))) == {"a.b/c", PLACEMENT_GATE}
    assert gates_of(stamped(server, space, schedulingGates=[{"name": PLACEMENT_GATE}])) == [PLACEMENT_GATE]


def test_the_pods_of_a_job_are_stamped(server: ControlPlane, space: str) -> None:
    template = {
        "metadata": {"labels": {WORKLOAD_LABEL: "w"}},
        "spec": {"restartPolicy": "Never", "containers": [CONTAINER]},
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train"}, "spec": {"template": template}}
    server.apply(job, namespace=space)
    pods = wait_until(lambda: server.get("pods", "-n", space, "-l", "job-name=train")["items"], what="the Job's pod")
    assert pods is not None
    assert gates_of(pods[0]) == [PLACEMENT_GATE]


def test_nobody_else_is_touched(server: ControlPlane, space: str) -> None:
    assert gates_of(stamped(server, space, labelled=False)) == []
    elsewhere = server.new_namespace("plain")
    assert gates_of(stamped(server, elsewhere)) == []


def test_a_pod_that_comes_with_its_node_is_left_alone(server: ControlPlane, space: str) -> None:
    """The API server refuses a gate beside a node: without the condition such a pod could not be created."""
    pod = stamped(server, space, nodeName="n0")
    assert (gates_of(pod), pod["spec"]["nodeName"]) == ([], "n0")


def patch(server: ControlPlane, space: str, pod: str, operations: list[dict[str, Any]], who: str) -> str | None:
    """None when it was taken, else what the server said."""
    try:
        server.kubectl(
            *("patch", "pod", pod, "-n", space, "--type=json", f"--as={who}", "--as-group=system:authenticated"),
            *("-p", json.dumps(operations)),
        )
    except KubectlFailed as refused:
        return refused.stderr
    return None


def test_the_operator_opens_its_gate_with_a_hint(server: ControlPlane, space: str) -> None:
    name = stamped(server, space)["metadata"]["name"]
    words = {"op": "add", "path": f"/metadata/annotations/{SAID.replace('/', '~1')}", "value": "keep to n0"}
    assert patch(server, space, name, [*OPEN, AFFINITY, words], OPERATOR) is None
    pod = server.get("pod", name, "-n", space)
    assert gates_of(pod) == []
    assert pod["spec"]["affinity"] == AFFINITY["value"]


def test_the_keeper_opens_it_and_adds_nothing(server: ControlPlane, space: str) -> None:
    name = stamped(server, space)["metadata"]["name"]
    assert "as they are" in str(patch(server, space, name, [*OPEN, AFFINITY], KEEPER))
    words = {"op": "add", "path": f"/metadata/annotations/{SAID.replace('/', '~1')}", "value": "x"}
    assert "release keeper none" in str(patch(server, space, name, [*OPEN, words], KEEPER))
    assert patch(server, space, name, OPEN, KEEPER) is None
    assert gates_of(server.get("pod", name, "-n", space)) == []


LABEL = {"op": "add", "path": "/metadata/labels/team", "value": "b"}
FORBIDDEN: dict[str, tuple[list[dict[str, Any]], str]] = {
    "affinity without opening": ([AFFINITY], "only to take off the gate"),
    "an image": (
        [*OPEN, {"op": "replace", "path": "/spec/containers/0/image", "value": "evil"}],
        "containers are not ours",
    ),
    "a label": ([*OPEN, LABEL], "labels, finalizers and owners"),
    "a finalizer": (
        [*OPEN, {"op": "add", "path": "/metadata/finalizers", "value": ["a.b/c"]}],
        "labels, finalizers and owners",
    ),
    "a toleration": (
        [*OPEN, {"op": "add", "path": "/spec/tolerations/-", "value": {"operator": "Exists"}}],
        "only our gate and node affinity",
    ),
    "a nodeSelector": (
        [*OPEN, {"op": "add", "path": "/spec/nodeSelector", "value": {"a": "b"}}],
        "only our gate and node affinity",
    ),
    "a deadline": (
        [*OPEN, {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 1}],
        "only our gate and node affinity",
    ),
    "somebody's annotation": (
        [*OPEN, {"op": "add", "path": "/metadata/annotations/team", "value": "b"}],
        "its own annotations only",
    ),
    "annotations taken away": ([*OPEN, {"op": "remove", "path": "/metadata/annotations"}], "its own annotations only"),
    "the gate of somebody else": ([{"op": "remove", "path": "/spec/schedulingGates"}], "no gate is removed but"),
}


@pytest.mark.parametrize("who", [OPERATOR, KEEPER], ids=["operator", "keeper"])
@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_else_of_a_pod_is_theirs(server: ControlPlane, space: str, what: str, who: str) -> None:
    operations, words = FORBIDDEN[what]
    pod = stamped(server, space, schedulingGates=[{"name": PLACEMENT_GATE}, {"name": "a.b/c"}])
    said = patch(server, space, pod["metadata"]["name"], operations, who)
    assert said is not None, "the API server let it through"
    assert words in said
    after = server.get("pod", pod["metadata"]["name"], "-n", space)
    assert after["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"] or after["spec"] == pod["spec"]


def test_others_never_meet_the_fence(server: ControlPlane, space: str) -> None:
    name = stamped(server, space)["metadata"]["name"]
    server.kubectl("label", "pod", name, "-n", space, "team=b")
    server.kubectl("annotate", "pod", name, "-n", space, "team=b")


def test_forgery_is_refused(server: ControlPlane, space: str) -> None:
    """A tenant who may edit everything in its namespace, and an agent of another node."""
    server.kubectl("create", "rolebinding", "tenant", "--clusterrole=edit", "--user=tenant", "-n", space)
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "train"},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": 1},
        "training": {"sequenceLength": 1, "globalBatchSize": 1},
    }
    made = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": "w"}, "spec": spec}
    server.apply(made, namespace=space)
    node = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "GPUNode", "metadata": {"name": "n0"}}
    agent = [f"--as=system:serviceaccount:{SPACE}:{NAME}-agent", "--as-group=system:serviceaccounts"]
    of_node = ["--as-user-extra=authentication.kubernetes.io/node-name=n1"]

    def refused(*arguments: str, stdin: str | None = None) -> str:
        try:
            server.kubectl(*arguments, stdin=stdin)
        except KubectlFailed as error:
            return error.stderr
        return ""

    tenant = ["--as=tenant", "--as-group=system:authenticated"]
    wait_until(
        lambda: (
            "operator's own" in refused("annotate", "mw", "w", "-n", space, "--overwrite", f"{SAID}=Admit", *tenant)
        ),
        what="a tenant's decision refused",
    )
    status = '{"status": {"summary": {"expected": "99%"}}}'
    patched = ["patch", "mw", "w", "-n", space, "--subresource=status", "--type=merge", "-p", status]
    assert "forbidden" in refused(*patched, *tenant)
    assert "forbidden" in refused("apply", "--server-side", "-f", "-", *tenant, stdin=json.dumps(node))
    assert "forbidden" in refused(*patched, *agent)
    wait_until(
        lambda: (
            "its own node only"
            in refused("apply", "--server-side", "-f", "-", *agent, *of_node, stdin=json.dumps(node))
        ),
        what="a foreign agent's GPUNode refused",
    )


def test_a_policy_that_can_not_be_evaluated_lets_pods_through(server: ControlPlane, space: str) -> None:
    """The last one of this file: it breaks the policy."""
    broken = "Object{metadata: Object.metadata{annotations: {'a': object.metadata.annotations['there-is-none']}}}"
    change = [{"op": "replace", "path": "/spec/mutations/0/applyConfiguration/expression", "value": broken}]
    server.kubectl("patch", "mutatingadmissionpolicy", f"{NAME}-gate", "--type=json", "-p", json.dumps(change))
    wait_until(lambda: gates_of(stamped(server, space)) == [], what="a pod that is not stamped", within_seconds=30)
    elsewhere = server.new_namespace("plain")
    taken = {where: min(seconds_of(server, where) for _ in range(5)) for where in (elsewhere, space)}
    assert taken[space] < taken[elsewhere] + 2.0


def seconds_of(server: ControlPlane, space: str) -> float:
    """That it takes to make a pod there."""
    started = time.monotonic()
    stamped(server, space)
    return time.monotonic() - started
