"""What the operator and its keeper may do to a Workload of Kueue, on a real API server with Kueue's own kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, KubectlFailed
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import KUEUE
from tests.chart.installed import every_right, installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-checks"
OPERATOR = f"system:serviceaccount:{SPACE}:checks-mfu-operator"
KEEPER = f"{OPERATOR}-keeper"
OF_W = ("workloads.kueue.x-k8s.io", "w", "--subresource=status")
AT = "2026-11-26T09:00:00Z"
PENDING = {"name": "mfu", "state": "Pending", "message": "", "lastTransitionTime": AT}
OTHER = {**PENDING, "name": "other"}
READY = {**PENDING, "state": "Ready", "message": "fits", "requeueAfterSeconds": 0}
NODES = {**READY, "podSetUpdates": [{"name": "main", "nodeSelector": {"a": "b"}}]}
LABELS = {**READY, "podSetUpdates": [{"name": "main", "labels": {"a": "b"}}]}
RETRY = {**READY, "state": "Retry"}
RESERVED = {"type": "QuotaReserved", "status": "True", "reason": "r", "message": "", "lastTransitionTime": AT}
EVICTED = {**RESERVED, "type": "Evicted"}
ADMITTED = {**RESERVED, "type": "Admitted"}


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    folder = module_folder(KUEUE) / "config" / "components" / "crd" / "bases"
    kinds = [yaml.safe_load((folder / f"kueue.x-k8s.io_{name}.yaml").read_text()) for name in KINDS]
    control_plane.apply(*kinds)
    names = [f"crd/{each['metadata']['name']}" for each in kinds]
    control_plane.wait_established(*names)
    flags = (
        *("--set", "config.actions={KueueCheck}", "--set", "config.kueue.enabled=true"),
        *("--set", "config.kueue.check=mfu", "--set", "keeper.enabled=true"),
    )
    with installed(control_plane, "checks", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane
    control_plane.kubectl("delete", *names, "--wait=false")


KINDS = ("workloads", "admissionchecks", "resourceflavors")


def test_its_rights_are_enough_for_an_answer_and_go_no_further(server: ControlPlane) -> None:
    def may(who: str, verb: str, what: str, *more: str) -> bool:
        try:
            return server.kubectl("auth", "can-i", verb, what, f"--as={who}", *more).strip() == "yes"
        except KubectlFailed:
            return False

    checks = "admissionchecks.kueue.x-k8s.io"
    assert may(OPERATOR, "patch", f"{checks}/mfu", "--subresource=status")
    assert not may(OPERATOR, "patch", f"{checks}/other", "--subresource=status")
    for who in (OPERATOR, KEEPER):
        assert may(who, "patch", "workloads.kueue.x-k8s.io", "--subresource=status")
        for what in (checks, "workloads.kueue.x-k8s.io", "clusterqueues.kueue.x-k8s.io", "jobs.batch"):
            for verb in ("create", "update", "patch", "delete"):
                assert not may(who, verb, what), (who, verb, what)


@pytest.fixture(scope="module")
def fenced(server: ControlPlane) -> Iterator[ControlPlane]:
    """With every right: the fence holds where roles would let it through."""
    with every_right(server, "checks-fenced", OPERATOR, KEEPER):
        space = asked(server)
        forged = {"status": {"conditions": [ADMITTED]}}
        wait_fenced(server, *OF_W, "-n", space, patch=forged, who=OPERATOR, type="merge")
        yield server


def asked(server: ControlPlane, **status: Any) -> str:
    """A namespace with a Workload that two checks are asked about."""
    space = server.new_namespace("probe")
    container = {"name": "main", "image": "x"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"queueName": "gpus", "podSets": [{"name": "main", "count": 1, "template": template}]}
    made = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", "metadata": {"name": "w"}, "spec": spec}
    server.apply(made, namespace=space)
    first = {"conditions": [RESERVED], "admissionChecks": [PENDING, OTHER], **status}
    assert refused(server, space, first, who=None) is None
    return space


def refused(server: ControlPlane, space: str, status: dict[str, Any], *, who: str | None = OPERATOR) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, *OF_W, "-n", space, patch={"status": status}, who=who, type="merge")


@pytest.mark.parametrize("entry", [READY, NODES, RETRY, {**READY, "state": "Rejected"}], ids=str)
def test_an_answer_passes_the_fence(fenced: ControlPlane, entry: dict[str, Any]) -> None:
    assert refused(fenced, asked(fenced), {"admissionChecks": [entry, OTHER]}) is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"conditions": [RESERVED, ADMITTED]}, "conditions and admission are Kueue's"),
        ({"conditions": [{**RESERVED, "status": "False"}]}, "conditions and admission are Kueue's"),
        ({"admissionChecks": [READY, {**OTHER, "state": "Ready"}]}, "answers its own check"),
        ({"admissionChecks": [READY]}, "answers its own check"),
        ({"admissionChecks": [LABELS, OTHER]}, "adds node labels to pod sets, and nothing else"),
    ],
)
def test_the_fence_refuses_everything_else(fenced: ControlPlane, status: dict[str, Any], words: str) -> None:
    assert words in (refused(fenced, asked(fenced), status) or "")


def test_retry_of_who_is_evicted_is_refused(fenced: ControlPlane) -> None:
    space = asked(fenced, conditions=[RESERVED, EVICTED])
    assert "strands it" in (refused(fenced, space, {"admissionChecks": [RETRY, OTHER]}) or "")
    assert refused(fenced, space, {"admissionChecks": [READY, OTHER]}) is None


def test_the_keeper_lets_start_and_nothing_else(fenced: ControlPlane) -> None:
    space = asked(fenced)
    for entry in (RETRY, NODES, {**READY, "state": "Rejected"}):
        assert "lets start" in (refused(fenced, space, {"admissionChecks": [entry, OTHER]}, who=KEEPER) or "")
    assert refused(fenced, space, {"admissionChecks": [READY, OTHER]}, who=KEEPER) is None


def test_an_answer_where_nobody_asks_is_refused(fenced: ControlPlane) -> None:
    space = asked(fenced, admissionChecks=[OTHER])
    assert "where a queue asks it" in (refused(fenced, space, {"admissionChecks": [READY, OTHER]}) or "")
