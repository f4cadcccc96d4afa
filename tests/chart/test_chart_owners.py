"""What the operator may do to a Job, on a real API server: suspend it, and nothing else, whatever roles would allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from mfu.api.names import decision_annotation
from tests.chart.installed import every_right, installed, refusal, wait_fenced
from tests.cluster.test_suspending_server import job

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-owners"
OPERATOR = f"system:serviceaccount:{SPACE}:owners-mfu-operator"
SUSPEND = {"op": "add", "path": "/spec/suspend", "value": True}
WORDS = {"op": "add", "path": "/metadata/annotations", "value": {decision_annotation("Reclaim"): "idle for 8 h"}}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    flags = ("--set", "config.actions={Suspend}")
    with installed(control_plane, "owners", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane


@pytest.fixture(scope="module")
def fenced(server: ControlPlane) -> Iterator[ControlPlane]:
    """With every right: the fence holds where roles would let it through."""
    with every_right(server, "owners-fenced", OPERATOR):
        space = server.new_namespace("probe")
        server.apply(job(), namespace=space)
        scale = [{"op": "replace", "path": "/spec/parallelism", "value": 1}]
        wait_fenced(server, "job", "train", "-n", space, patch=scale, who=OPERATOR)
        yield server


def refused(
    server: ControlPlane, space: str, operations: list[dict[str, Any]], *, who: str | None = OPERATOR
) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, "job", "train", "-n", space, patch=operations, who=who)


def test_its_own_rights_are_enough_and_no_more(server: ControlPlane) -> None:
    space = server.new_namespace("rights")
    server.apply(job(), namespace=space)
    assert refused(server, space, [WORDS, SUSPEND]) is None
    said = server.get("job", "train", "-n", space)
    assert said["spec"]["suspend"]
    for verb in ("create", "delete", "update"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, "jobs", "-n", space, f"--as={OPERATOR}")


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/spec/parallelism", "value": 0},
        {"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": 1},
        {"op": "add", "path": "/spec/activeDeadlineSeconds", "value": 1},
        {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a.b/c"]},
        {"op": "add", "path": "/metadata/annotations", "value": {"somebody.else/key": "x"}},
    ],
    ids=lambda each: each["path"],
)
def test_nothing_else_of_a_job_is_the_operators(fenced: ControlPlane, operation: dict[str, Any]) -> None:
    space = fenced.new_namespace("fence")
    fenced.apply(job(), namespace=space)
    for tried in ([operation], [SUSPEND, operation]):
        assert "ValidatingAdmissionPolicy" in (refused(fenced, space, tried) or "taken")
    assert refused(fenced, space, [operation], who=None) is None, "nobody else meets the fence"


def test_taking_it_up_again_is_its_owners(fenced: ControlPlane) -> None:
    space = fenced.new_namespace("up")
    fenced.apply({**job(), "spec": {**job()["spec"], "suspend": True}}, namespace=space)
    assert "only to suspend it" in (
        refused(fenced, space, [{"op": "replace", "path": "/spec/suspend", "value": False}]) or "taken"
    )
