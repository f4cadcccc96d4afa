"""What the operator may do to a pod of a service, on a real API server: mark what ending it costs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress
from mfu.act.costs import MARK, PodMark
from mfu.api.names import DELETION_COST_ANNOTATION
from mfu.cluster.marking import patch_of
from tests.chart.installed import every_right, installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-marks"
OPERATOR = f"system:serviceaccount:{SPACE}:marks-mfu-operator"
Patch = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    flags = ("--set", "config.actions={PodDeletionCost}")
    with installed(control_plane, "marks", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane


@pytest.fixture(scope="module")
def fenced(server: ControlPlane) -> Iterator[ControlPlane]:
    """With every right: the fence holds where roles would let it through."""
    with every_right(server, "marks-fenced", OPERATOR):
        space = service(server)
        wait_fenced(server, "pod", "serve-0", "-n", space, patch=costing("7"), who=OPERATOR)
        yield server


def service(server: ControlPlane, **annotations: str) -> str:
    space = server.new_namespace("marks")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "serve-0", "annotations": {"own": "kept", **annotations}},
        "spec": {"containers": [{"name": "a", "image": "none"}]},
    }
    server.apply(pod, namespace=space)
    return space


def costing(value: str) -> Patch:
    path = f"/metadata/annotations/{DELETION_COST_ANNOTATION.replace('/', '~1')}"
    return [{"op": "add", "path": path, "value": value}]


def refused(server: ControlPlane, space: str, patch: Patch) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, "pod", "serve-0", "-n", space, patch=patch, who=OPERATOR)


def test_its_own_rights_are_enough_to_mark_and_to_take_back(server: ControlPlane) -> None:
    space = service(server)

    def marked(cost: int | None) -> bool:
        pod = server.get("pod", "serve-0", "-n", space)
        patch = patch_of(pod, PodMark(space, "serve-0", pod["metadata"]["uid"], "team/w", cost, "words"))
        return refused(server, space, patch) is None

    for cost in (MARK, None):
        # The scheduler writes to a new pod as well: what it was told meanwhile is tried on what it is now.
        wait_until(partial(marked, cost), what=f"cost {cost}")
    assert server.get("pod", "serve-0", "-n", space)["metadata"]["annotations"] == {"own": "kept"}
    for verb in ("create", "delete", "update"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, "pods", "-n", space, f"--as={OPERATOR}")


FORBIDDEN: dict[str, Patch] = {
    "another cost": costing("7"),
    "a label beside it": [*costing(str(MARK)), {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}],
    "an image beside it": [*costing(str(MARK)), {"op": "replace", "path": "/spec/containers/0/image", "value": "b"}],
    "another's annotation beside it": [*costing(str(MARK)), {"op": "remove", "path": "/metadata/annotations/own"}],
    "an annotation of ours alone": [
        {"op": "add", "path": "/metadata/annotations/mfu.gpuaas.io~1decision-scaling", "value": "words"}
    ],
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_else_of_a_pod_is_the_operators(fenced: ControlPlane, what: str) -> None:
    assert "ValidatingAdmissionPolicy" in (refused(fenced, service(fenced), FORBIDDEN[what]) or "taken")


def test_a_cost_of_somebody_else_is_not_taken_away(fenced: ControlPlane) -> None:
    space = service(fenced, **{DELETION_COST_ANNOTATION: "7"})
    assert "ValidatingAdmissionPolicy" in (refused(fenced, space, costing(str(MARK))) or "taken")
