"""Kueue's gate as the chart puts it on and fences it, on a real API server with Kueue's own kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import KUEUE
from e2e.testbed.controllers.definitions import define_owners
from mfu.api.names import GATE_LABEL, PLACEMENT_GATE, QUEUE_GATE_ANNOTATION, WORKLOAD_LABEL
from mfu.cluster.queue_gate import patch_of
from tests.builders.held import MADE, QUEUE, job, pods
from tests.chart.installed import every_right, installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-queue-gates"
OPERATOR = f"system:serviceaccount:{SPACE}:gates-mfu-operator"
KEEPER = f"{OPERATOR}-keeper"
LABELS = {**QUEUE, WORKLOAD_LABEL: "w"}
OTHER = "a.example/b"
WORKLOADS = "workloads.kueue.x-k8s.io"
GATE_AT = f"/metadata/annotations/{QUEUE_GATE_ANNOTATION.replace('/', '~1')}"
Patch = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    folder = module_folder(KUEUE) / "config" / "components" / "crd" / "bases"
    kind = yaml.safe_load((folder / "kueue.x-k8s.io_workloads.yaml").read_text())
    define_owners(control_plane)
    control_plane.apply(kind)
    control_plane.wait_established(f"crd/{kind['metadata']['name']}")
    flags = (
        *("--set", "config.actions={TopologyAnnotation,MIGResource,Suspend}", "--set", "keeper.enabled=true"),
        *("--set", "gating.kueue.enabled=true"),
    )
    with installed(control_plane, "gates", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane
    control_plane.kubectl("delete", f"crd/{kind['metadata']['name']}", "--wait=false")


@pytest.fixture(scope="module")
def fenced(server: ControlPlane) -> Iterator[ControlPlane]:
    """With every right: the fences hold where roles would let it through."""
    with every_right(server, "gates-fenced", OPERATOR, KEEPER):
        space = opted_in(server)
        server.apply(job(annotations={QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}), workload(), namespace=space)
        more = [{"op": "replace", "path": "/spec/parallelism", "value": 1}]
        for who in (OPERATOR, KEEPER):
            wait_fenced(server, "job", "train", "-n", space, patch=more, who=who)
        later = [{"op": "add", "path": "/spec/priority", "value": 9}]
        wait_fenced(server, WORKLOADS, "w", "-n", space, patch=later, who=OPERATOR)
        yield server


def opted_in(server: ControlPlane) -> str:
    space = server.new_namespace("queued")
    server.kubectl("label", "namespace", space, f"{GATE_LABEL}=enabled")
    return space


def refused(
    server: ControlPlane, space: str, patch: Patch, *, kind: str = "job", name: str = "train", who: str = OPERATOR
) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, WORKLOADS if kind == "workload" else kind, name, "-n", space, patch=patch, who=who)


def gate_of(server: ControlPlane, space: str, name: str = "train", kind: str = "Job") -> str | None:
    annotations = server.get(kind.lower(), name, "-n", space)["metadata"].get("annotations") or {}
    found: str | None = annotations.get(QUEUE_GATE_ANNOTATION)
    return found


def test_labelled_queued_jobs_of_opted_in_namespaces_are_gated_beside_other_names(server: ControlPlane) -> None:
    space = opted_in(server)
    counted = iter(range(1000))

    def stamped() -> bool:
        name = f"probe-{next(counted)}"
        server.apply(job(name, labels=LABELS), namespace=space)
        return gate_of(server, space, name) == PLACEMENT_GATE

    wait_until(stamped, what="the stamp in force", within_seconds=60)
    theirs = {QUEUE_GATE_ANNOTATION: OTHER, "own": "kept"}
    server.apply(
        job("beside", labels=LABELS, annotations=theirs),
        job("already", labels=LABELS, annotations={QUEUE_GATE_ANNOTATION: f"{OTHER}, {PLACEMENT_GATE}"}),
        job("unlabelled", labels=QUEUE),
        job("unqueued", labels={WORKLOAD_LABEL: "w"}),
        namespace=space,
    )
    found = {name: gate_of(server, space, name) for name in ("beside", "already", "unlabelled", "unqueued")}
    assert found == {
        "beside": f"{OTHER},{PLACEMENT_GATE}",
        "already": f"{OTHER}, {PLACEMENT_GATE}",
        "unlabelled": None,
        "unqueued": None,
    }
    elsewhere = server.new_namespace("elsewhere")
    server.apply(job(labels=LABELS), namespace=elsewhere)
    assert gate_of(server, elsewhere) is None


@pytest.mark.parametrize("kind", ["JobSet", "TrainJob", "LeaderWorkerSet"])
def test_so_is_what_is_suspended_of_other_projects_unless_it_is_a_part(server: ControlPlane, kind: str) -> None:
    """A LeaderWorkerSet can not be suspended, so that nothing would be told behind its gate."""
    space = opted_in(server)
    made = MADE[kind]
    stamped = None if kind == "LeaderWorkerSet" else PLACEMENT_GATE
    wait_until(lambda: _tried(server, space, made("train", labels=LABELS)) == stamped, what="the stamp in force")
    parent = {"apiVersion": "v1", "kind": "TrainJob", "name": "whole", "uid": "u", "controller": True}
    server.apply(
        made("beside", labels=LABELS, annotations={QUEUE_GATE_ANNOTATION: OTHER}),
        made("part", labels=LABELS, ownerReferences=[parent]),
        made("unlabelled", labels=QUEUE),
        namespace=space,
    )
    assert gate_of(server, space, "beside", kind) == (OTHER if stamped is None else f"{OTHER},{PLACEMENT_GATE}")
    assert [gate_of(server, space, name, kind) for name in ("part", "unlabelled")] == [None, None]


def _tried(server: ControlPlane, space: str, item: dict[str, Any]) -> str | None:
    """The gate of an object that is made anew: a kind that was just defined takes a moment to be matched."""
    kind, name = item["kind"].lower(), item["metadata"]["name"]
    server.kubectl("delete", kind, name, "-n", space, "--ignore-not-found")
    try:
        server.apply(item, namespace=space)
    except KubectlFailed as error:
        assert "There can be a delay" in str(error), error
        return "not yet"
    return gate_of(server, space, name, kind)


def test_rights_are_enough_and_go_no_further(server: ControlPlane) -> None:
    def may(who: str, verb: str, what: str) -> bool:
        try:
            return server.kubectl("auth", "can-i", verb, what, f"--as={who}").strip() == "yes"
        except KubectlFailed:
            return False

    for owners in ("jobs.batch", "jobsets.jobset.x-k8s.io"):
        assert all(may(KEEPER, verb, owners) for verb in ("get", "list", "watch", "patch"))
        assert not any(may(KEEPER, verb, owners) for verb in ("update", "delete", "create"))
    for owners in ("trainjobs.trainer.kubeflow.org", "leaderworkersets.leaderworkerset.x-k8s.io"):
        assert may(KEEPER, "patch", owners)
    assert not any(may(OPERATOR, verb, "workloads.kueue.x-k8s.io") for verb in ("update", "delete", "create"))
    assert may(OPERATOR, "patch", "workloads.kueue.x-k8s.io")
    assert not may(KEEPER, "patch", "workloads.kueue.x-k8s.io")


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("who", [OPERATOR, KEEPER])
def test_both_take_our_name_off_and_no_other(fenced: ControlPlane, who: str, kind: str) -> None:
    space = opted_in(fenced)
    both, of = f"{OTHER},{PLACEMENT_GATE}", kind.lower()
    item = MADE[kind](annotations={QUEUE_GATE_ANNOTATION: both, "own": "kept"})
    fenced.apply(item, namespace=space)
    right = patch_of(fenced.get(of, "train", "-n", space)["metadata"])
    more = [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]
    if who == KEEPER:
        wait_fenced(fenced, of, "train", "-n", space, patch=[*right, *more], who=who)
    for wrong in (PLACEMENT_GATE, f"{both},c.d/e", f"c.d/e,{PLACEMENT_GATE}"):
        said = refused(fenced, space, [{"op": "replace", "path": GATE_AT, "value": wrong}], kind=of, who=who)
        assert said is not None, wrong
    assert refused(fenced, space, [{"op": "remove", "path": GATE_AT}], kind=of, who=who) is not None
    forged = [{"op": "replace", "path": "/metadata/annotations/own", "value": "forged"}]
    runs = (
        {"path": "/spec/replicas", "value": 1}
        if "replicas" in item["spec"]
        else {"path": "/spec/suspend", "value": False}
    )
    for other in (forged, more, [{"op": "replace", **runs}]):
        assert refused(fenced, space, [*right, *other], kind=of, who=who) is not None, other
    assert refused(fenced, space, right, kind=of, who=who) is None
    assert gate_of(fenced, space, kind=kind) == OTHER


def test_the_keeper_writes_to_no_job_that_does_not_wait_for_us(fenced: ControlPlane) -> None:
    space = fenced.new_namespace("free")
    fenced.apply(job(annotations={"own": "kept"}), namespace=space)
    said = refused(fenced, space, [{"op": "remove", "path": "/metadata/annotations/own"}], who=KEEPER)
    assert said is not None
    assert "only to take our name off" in said


def workload(name: str = "w", **topology: Any) -> dict[str, Any]:
    pod_set = {"name": "main", "count": 4, "template": pods(1), **({"topologyRequest": topology} if topology else {})}
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {"queueName": "gpus", "podSets": [pod_set]},
    }


ASKS = {"podSetSliceRequiredTopology": "kubernetes.io/hostname", "podSetSliceSize": 2}
AT = "/spec/podSets/0"


@pytest.mark.parametrize("own", [{}, {"podIndexLabel": "x"}, {"preferred": "rack"}], ids=str)
def test_of_a_workload_without_quota_slices_are_added(fenced: ControlPlane, own: dict[str, str]) -> None:
    space = fenced.new_namespace("sliced")
    fenced.apply(workload(**own), namespace=space)
    slices = [{"op": "add", "path": f"{AT}/topologyRequest", "value": {**own, **ASKS}}]
    bad: list[Patch] = [
        [*slices, {"op": "replace", "path": f"{AT}/count", "value": 1}],
        [*slices, {"op": "replace", "path": f"{AT}/template/spec/containers/0/image", "value": "evil"}],
        [*slices, {"op": "replace", "path": "/spec/queueName", "value": "theirs"}],
        [*slices, {"op": "add", "path": "/spec/priority", "value": 1000}],
        [*slices, {"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}],
        [{"op": "add", "path": f"{AT}/topologyRequest", "value": {**ASKS, "required": "rack"}}],
        [{"op": "add", "path": "/spec/podSets/-", "value": {**workload()["spec"]["podSets"][0], "name": "more"}}],
    ]
    for patch in bad:
        assert refused(fenced, space, patch, kind="workload", name="w") is not None, patch
    assert refused(fenced, space, slices, kind="workload", name="w") is None
    changed = [{"op": "replace", "path": f"{AT}/topologyRequest/podSetSliceSize", "value": 4}]
    assert refused(fenced, space, changed, kind="workload", name="w") is not None, "what is said stays"


def test_a_workload_with_quota_is_left_and_ending_it_is_another_fence(fenced: ControlPlane) -> None:
    space = fenced.new_namespace("reserved")
    fenced.apply(workload(), namespace=space)
    condition = {"type": "QuotaReserved", "status": "True", "reason": "r", "message": ""}
    status = {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-11-26T09:00:00Z"}]}}
    fenced.kubectl(
        *("patch", "workloads.kueue.x-k8s.io", "w", "-n", space, "--type=merge", "--subresource=status"),
        *("-p", json.dumps(status)),
    )
    slices = [{"op": "add", "path": f"{AT}/topologyRequest", "value": ASKS}]
    said = refused(fenced, space, slices, kind="workload", name="w")
    assert said is not None
    assert "what has its quota" in said
    ends = [{"op": "add", "path": "/spec/active", "value": False}]
    assert refused(fenced, space, ends, kind="workload", name="w") is None
