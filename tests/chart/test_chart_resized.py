"""With MIGResource on a held template may ask for slices instead of GPUs, and nothing else of it changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers.definitions import define_owners
from mfu.act.templates import TemplateHint
from mfu.api.powers import ActionType
from mfu.cluster.held import held_owner
from mfu.cluster.templating import patch_of
from tests.builders.held import group, job, jobset, pods
from tests.chart.installed import every_right, installed, wait_fenced
from tests.chart.test_chart_templates import refused as refused_as

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-resized"
OPERATOR = f"system:serviceaccount:{SPACE}:resized-mfu-operator"
SLICE = "nvidia.com/mig-1g.10gb"
AT = {
    "Job": "/spec/template/spec/containers/0",
    "LeaderWorkerSet": "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0",
}
Patch = list[dict[str, Any]]


def made(kind: str) -> dict[str, Any]:
    """Its pods ask for one GPU, and for some memory."""
    template = pods(1, restartPolicy="Always") if kind == "LeaderWorkerSet" else pods(1)
    for amounts in template["spec"]["containers"][0]["resources"].values():
        amounts["memory"] = "1Gi"
    if kind == "Job":
        return job(template=template)
    document = group()
    document["spec"]["leaderWorkerTemplate"]["workerTemplate"] = template
    return document


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    define_owners(control_plane)
    flags = ("--set", "config.actions={MIGResource}")
    with (
        installed(control_plane, "resized", *flags, space=SPACE, progress=cluster_progress),
        every_right(control_plane, "resized-fenced", OPERATOR),
    ):
        space = control_plane.new_namespace("probe")
        control_plane.apply(*(made(kind) for kind in AT), namespace=space)
        for kind, container in AT.items():
            image = [{"op": "replace", "path": f"{container}/image", "value": "other"}]
            wait_fenced(control_plane, kind.lower(), "train", "-n", space, patch=image, who=OPERATOR)
        yield control_plane


def refused(server: ControlPlane, space: str, patch: Patch, kind: str) -> str | None:
    return refused_as(server, space, patch, kind=kind, who=OPERATOR)


def told(server: ControlPlane, space: str, kind: str) -> Patch:
    """What the operator itself writes, without its tests of what it read: the Job controller writes as well."""
    item = server.get(kind.lower(), "train", "-n", space)
    owner = held_owner(kind)(item)
    assert owner is not None
    hint = TemplateHint(owner, "team/w", ActionType.MIG_RESOURCE, "ask for it", {"resource": SLICE})
    return [each for each in patch_of(item, hint) if each["op"] != "test"]


@pytest.mark.parametrize("kind", AT)
def test_a_slice_takes_the_place_of_a_gpu(server: ControlPlane, kind: str) -> None:
    space = server.new_namespace("sliced")
    server.apply(made(kind), namespace=space)
    assert refused(server, space, told(server, space, kind), kind) is None
    owner = held_owner(kind)(server.get(kind.lower(), "train", "-n", space))
    assert owner is not None
    assert [dict(each.gpus) for each in owner.templates] == [{SLICE: 1}]


MORE: dict[str, Any] = {
    "image": "other",
    "command": ["sh"],
    "envFrom": [{"secretRef": {"name": "theirs"}}],
    "lifecycle": {"postStart": {"exec": {"command": ["sh"]}}},
    "livenessProbe": {"exec": {"command": ["sh"]}},
    "ports": [{"containerPort": 1}],
    "workingDir": "/x",
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    "securityContext": {"privileged": True},
}


@pytest.mark.parametrize("field", MORE)
def test_nothing_else_of_a_container_changes_with_it(server: ControlPlane, field: str) -> None:
    """Of a LeaderWorkerSet, whose own rules let everything of its template change."""
    kind, space = "LeaderWorkerSet", server.new_namespace("more")
    server.apply(made(kind), namespace=space)
    more = {"op": "add", "path": f"{AT[kind]}/{field}", "value": MORE[field]}
    assert "ValidatingAdmissionPolicy" in (refused(server, space, [*told(server, space, kind), more], kind) or "taken")


AMOUNTS: dict[str, dict[str, str]] = {
    "more of them": {SLICE: "4", "memory": "1Gi"},
    "other memory": {SLICE: "1", "memory": "9Gi"},
    "no memory": {SLICE: "1"},
    "both": {SLICE: "1", "nvidia.com/gpu": "1", "memory": "1Gi"},
    "neither": {"memory": "1Gi"},
    "another resource": {"example.com/fpga": "1", "memory": "1Gi"},
    "more GPUs": {"nvidia.com/gpu": "8", "memory": "1Gi"},
}


@pytest.mark.parametrize("what", AMOUNTS)
def test_of_what_it_asks_for_a_gpu_becomes_as_many_slices(server: ControlPlane, what: str) -> None:
    kind, space = "LeaderWorkerSet", server.new_namespace("amounts")
    server.apply(made(kind), namespace=space)
    asks = {"limits": AMOUNTS[what], "requests": AMOUNTS[what]}
    patch = [{"op": "replace", "path": f"{AT[kind]}/resources", "value": asks}]
    assert "ValidatingAdmissionPolicy" in (refused(server, space, patch, kind) or "taken")


def test_of_a_jobset_no_container_changes_at_all(server: ControlPlane) -> None:
    space = server.new_namespace("jobset")
    server.apply(jobset(), namespace=space)
    at = "/spec/replicatedJobs/1/template/spec/template/spec/containers/0/resources"
    asks = {"limits": {SLICE: "8"}, "requests": {SLICE: "8"}}
    patch = [{"op": "replace", "path": at, "value": asks}]
    assert "ValidatingAdmissionPolicy" in (refused(server, space, patch, "JobSet") or "taken")
