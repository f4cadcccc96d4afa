"""What the operator may do to templates of what is held, on a real API server: add a product, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers.definitions import define_owners
from mfu.act.templates import TemplateHint
from mfu.api.powers import ActionType
from mfu.cluster.held import held_owner
from mfu.cluster.templating import patch_of
from tests.builders.held import MADE, PRODUCT, job, pods, trainjob
from tests.chart.installed import every_right, installed, refusal, wait_fenced

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

SPACE = "mfu-templates"
OPERATOR = f"system:serviceaccount:{SPACE}:held-mfu-operator"
WORDS = "select the product in the template of it"
SELECTS = {"nodeSelector": {PRODUCT: "H100"}}
SLICES = {"annotations": {"kueue.x-k8s.io/podset-slice-size": "4"}}
Patch = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    define_owners(control_plane)
    flags = ("--set", "config.actions={NodeSelector,TopologyAnnotation,Suspend}")
    with installed(control_plane, "held", *flags, space=SPACE, progress=cluster_progress):
        yield control_plane


@pytest.fixture(scope="module")
def fenced(server: ControlPlane) -> Iterator[ControlPlane]:
    """With every right: the fence holds where roles would let it through."""
    with every_right(server, "held-fenced", OPERATOR):
        space = server.new_namespace("probe")
        server.apply(job(), job("runs", suspend=False), namespace=space)
        wider = [{"op": "replace", "path": "/spec/parallelism", "value": 1}]
        for name in ("train", "runs"):
            wait_fenced(server, "job", name, "-n", space, patch=wider, who=OPERATOR)
        yield server


def refused(
    server: ControlPlane,
    space: str,
    patch: Patch,
    *,
    kind: str = "Job",
    name: str = "train",
    who: str | None = OPERATOR,
) -> str | None:
    """None when it was taken, else what the server said."""
    return refusal(server, kind.lower(), name, "-n", space, patch=patch, who=who)


def patch_for(server: ControlPlane, space: str, kind: str, change: dict[str, Any]) -> Patch:
    item = server.get(kind.lower(), "train", "-n", space)
    owner = held_owner(kind)(item)
    assert owner is not None
    return patch_of(item, TemplateHint(owner, "team/w", ActionType.NODE_SELECTOR, WORDS, change))


@pytest.mark.parametrize("kind", MADE)
def test_its_own_rights_are_enough_for_what_it_writes(server: ControlPlane, kind: str) -> None:
    space = server.new_namespace("rights")
    server.apply(MADE[kind](), namespace=space)

    def told(change: dict[str, Any]) -> bool:
        return refused(server, space, patch_for(server, space, kind, change), kind=kind) is None

    for change in (SELECTS, SLICES):
        # A new owner's own controller writes to it as well: what it was told meanwhile is tried on what it is now.
        wait_until(partial(told, change), what=f"{kind} told {change}")
    owner = held_owner(kind)(server.get(kind.lower(), "train", "-n", space))
    assert owner is not None
    assert owner.says({**SELECTS, **SLICES})
    for verb in ("create", "delete", "update"):
        with pytest.raises(KubectlFailed):
            server.kubectl("auth", "can-i", verb, f"{kind.lower()}s", "-n", space, f"--as={OPERATOR}")


JOB: dict[str, Patch] = {
    "a node": [{"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": "n0"}}],
    "another's annotation": [{"op": "add", "path": "/spec/template/metadata/annotations", "value": {"a/b": "c"}}],
    "tolerations": [{"op": "add", "path": "/spec/template/spec/tolerations", "value": [{"operator": "Exists"}]}],
    "affinity": [{"op": "add", "path": "/spec/template/spec/affinity", "value": {"nodeAffinity": {}}}],
    "labels": [{"op": "add", "path": "/spec/template/metadata/labels/a", "value": "b"}],
    "gates": [{"op": "add", "path": "/spec/template/spec/schedulingGates", "value": [{"name": "a.b/c"}]}],
    "resources": [
        {
            "op": "replace",
            "path": "/spec/template/spec/containers/0/resources",
            "value": {"limits": {"nvidia.com/mig-1g.10gb": "8"}, "requests": {"nvidia.com/mig-1g.10gb": "8"}},
        }
    ],
    "taking up": [{"op": "replace", "path": "/spec/suspend", "value": False}],
    "its size": [{"op": "replace", "path": "/spec/parallelism", "value": 1}],
    "its end": [{"op": "add", "path": "/spec/ttlSecondsAfterFinished", "value": 1}],
    "its labels": [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}],
    "another decision": [
        {"op": "add", "path": "/metadata/annotations", "value": {"mfu.gpuaas.io/decision-admission": "Admit"}}
    ],
}


@pytest.mark.parametrize("what", JOB)
def test_nothing_else_of_a_held_job_is_the_operators(fenced: ControlPlane, what: str) -> None:
    space = fenced.new_namespace("fence")
    fenced.apply(job(), namespace=space)
    assert "ValidatingAdmissionPolicy" in (refused(fenced, space, JOB[what]) or "taken")
    assert "ValidatingAdmissionPolicy" not in (refused(fenced, space, JOB[what], who=None) or ""), (
        "nobody else meets it"
    )


def test_what_it_says_itself_is_not_changed(fenced: ControlPlane) -> None:
    space = fenced.new_namespace("own")
    fenced.apply(job(template=pods(nodeSelector={PRODUCT: "A100"})), namespace=space)
    other: Patch = [{"op": "replace", "path": "/spec/template/spec/nodeSelector", "value": {PRODUCT: "H100"}}]
    assert "adds the product" in (refused(fenced, space, other) or "taken")


@pytest.mark.parametrize("kind", MADE)
def test_what_runs_is_not_written_to(fenced: ControlPlane, kind: str) -> None:
    """The patch without its tests of what was read: only the fence, or the server itself, stands against it."""
    space = fenced.new_namespace("runs")
    fenced.apply(MADE[kind](), namespace=space)
    patch = [each for each in patch_for(fenced, space, kind, SELECTS) if each["op"] != "test"]
    taken_up = {"spec": {"replicas": 1} if kind == "LeaderWorkerSet" else {"suspend": False}}
    fenced.kubectl("patch", kind.lower(), "train", "-n", space, "--type=merge", "-p", json.dumps(taken_up))
    assert refused(fenced, space, patch, kind=kind) is not None


OTHERS: dict[str, tuple[str, Patch]] = {
    "a JobSet's image": (
        "JobSet",
        [
            {
                "op": "replace",
                "path": "/spec/replicatedJobs/1/template/spec/template/spec/containers/0/image",
                "value": "other",
            }
        ],
    ),
    "a JobSet's size": ("JobSet", [{"op": "replace", "path": "/spec/replicatedJobs/1/replicas", "value": 3}]),
    "replicas": ("LeaderWorkerSet", [{"op": "replace", "path": "/spec/replicas", "value": 1}]),
    "a worker's image": (
        "LeaderWorkerSet",
        [
            {
                "op": "replace",
                "path": "/spec/leaderWorkerTemplate/workerTemplate/spec/containers/0/image",
                "value": "other",
            }
        ],
    ),
    "a size of groups": ("LeaderWorkerSet", [{"op": "replace", "path": "/spec/leaderWorkerTemplate/size", "value": 3}]),
    "a foreign entry": ("TrainJob", [{"op": "add", "path": "/spec/runtimePatches", "value": [{"manager": "a.b/c"}]}]),
    "a node in our entry": (
        "TrainJob",
        [
            {
                "op": "add",
                "path": "/spec/runtimePatches",
                "value": trainjob(
                    patches=[
                        {
                            "manager": "mfu.gpuaas.io/placement",
                            "trainingRuntimeSpec": {
                                "template": {
                                    "spec": {
                                        "replicatedJobs": [
                                            {
                                                "name": "node",
                                                "template": {
                                                    "spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}
                                                },
                                            }
                                        ]
                                    }
                                }
                            },
                        }
                    ]
                )["spec"]["runtimePatches"],
            }
        ],
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_else_of_the_others_is_the_operators(fenced: ControlPlane, what: str) -> None:
    kind, patch = OTHERS[what]
    space = fenced.new_namespace("others")
    fenced.apply(MADE[kind](), namespace=space)
    assert "ValidatingAdmissionPolicy" in (refused(fenced, space, patch, kind=kind) or "taken")
