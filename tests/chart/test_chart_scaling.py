"""What the operator may do to a Deployment, on a real API server: set its number of replicas, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from tests.chart.installed import installed
from tests.cluster.test_scaling_server import deployment

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-scales"
OPERATOR = f"system:serviceaccount:{SPACE}:scales-mfu-operator"
REPLICAS = [{"op": "replace", "path": "/spec/replicas", "value": 5}]


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    flags = ("--set", "config.actions={Scale}")
    with installed(control_plane, "scales", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane


def patched(server: ControlPlane, space: str, *subresource: str, operations: list[dict[str, Any]]) -> bool:
    """Whether the API server takes it from the operator."""
    try:
        server.kubectl(
            *("patch", "deployment", "serve", "-n", space, "--type=json", "-p", json.dumps(operations)),
            *(*subresource, f"--as={OPERATOR}", "--as-group=system:authenticated"),
        )
    except KubectlFailed as error:
        assert "forbidden" in error.stderr
        return False
    return True


def test_its_rights_are_to_the_number_alone(server: ControlPlane) -> None:
    space = server.new_namespace("rights")
    server.apply(deployment(), namespace=space)
    assert not patched(server, space, operations=REPLICAS), "the object itself is not the operator's"
    assert patched(server, space, "--subresource=scale", operations=REPLICAS)
    assert server.get("deployment", "serve", "-n", space)["spec"]["replicas"] == 5


def test_who_else_scales_it_can_look_up_and_not_touch(server: ControlPlane) -> None:
    what = "horizontalpodautoscalers.autoscaling"
    assert server.kubectl("auth", "can-i", "list", what, f"--as={OPERATOR}").strip() == "yes"
    for verb in ("create", "patch", "update", "delete"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, what, f"--as={OPERATOR}")
