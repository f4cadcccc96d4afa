"""What templates were told while they were held, once the projects' own controllers make pods of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import pytest

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers.definitions import define_owners
from e2e.testbed.controllers.managers import JOBSETS, LEADERS, TRAINJOBS, running
from mfu.act.templates import TemplateHint
from mfu.api.powers import ActionType
from mfu.cluster.client import KubeClient
from mfu.cluster.executor import Executor
from mfu.cluster.held import PATCH_MANAGER, held_owner
from mfu.cluster.resources import JSON
from mfu.cluster.templating import Templated
from mfu.engine.plan import Plan
from tests.builders.held import PRODUCT, group, jobset, pods, trainjob
from tests.builders.kube import eventually
from tests.e2e_cluster.test_controllers import node
from tests.e2e_cluster.test_kueue_gate import RUNTIME

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

H100: Final = "NVIDIA-H100-80GB-HBM3"
SLICES: Final = {"kueue.x-k8s.io/podset-slice-size": "1"}
TOLD: Final = {"nodeSelector": {PRODUCT: H100}, "annotations": SLICES}


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane, cluster_progress: Progress) -> Iterator[ControlPlane]:
    define_owners(control_plane, watched=True)
    # Of files that ran without their controllers: these would make pods of them.
    control_plane.kubectl("delete", "jobsets,leaderworkersets,trainjobs", "--all", "--all-namespaces")
    with ExitStack() as managers:
        for each in (JOBSETS, LEADERS, TRAINJOBS):
            managers.enter_context(running(control_plane, each, progress=cluster_progress))
        # The one that the scheduler would take too, did nobody say anything.
        for name, product in (("resumed-a", "NVIDIA-A100-SXM4-80GB"), ("resumed-h", H100)):
            made = node(name, 16)
            made["metadata"]["labels"][PRODUCT] = product
            control_plane.apply(made)
        yield control_plane


@pytest.fixture
def space(plane: ControlPlane) -> Iterator[str]:
    name = plane.new_namespace("resumed")
    yield name
    # Its GPUs are the next one's.
    plane.kubectl("delete", "jobset,leaderworkerset,trainjob", "--all", "-n", name, "--wait=false")
    wait_until(lambda: not plane.get("pods", "-n", name)["items"], what="its pods gone", within_seconds=120)


def documents(kind: str) -> list[JSON]:
    if kind != "TrainJob":
        return [jobset() if kind == "JobSet" else group()]
    labels = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    part = {"name": "node", "template": {"metadata": {"labels": labels}, "spec": {"template": pods(0)}}}
    runtime = {**RUNTIME, "spec": {"mlPolicy": {"numNodes": 2}, "template": {"spec": {"replicatedJobs": [part]}}}}
    item = trainjob()
    item["spec"]["runtimeRef"]["kind"] = "TrainingRuntime"
    return [runtime, item]


def with_gpus(plane: ControlPlane, space: str) -> list[JSON]:
    """Its pods on nodes that ask for GPUs."""
    items = plane.get("pods", "-n", space)["items"]
    held = [each for each in items if "nvidia.com/gpu" in each["spec"]["containers"][0]["resources"].get("limits", {})]
    return [each for each in held if each["spec"].get("nodeName") and not each["metadata"].get("deletionTimestamp")]


def suspend(plane: ControlPlane, space: str, kind: str, value: bool) -> None:
    """Who cannot be suspended has no replicas meanwhile."""
    change = {"replicas": 0 if value else 1} if kind == "LeaderWorkerSet" else {"suspend": value}
    patch = json.dumps({"spec": change})
    plane.kubectl("patch", kind.lower(), "train", "-n", space, "--type=merge", "-p", patch)


def ours(item: JSON) -> Any:
    """What is ours of its spec."""
    if item["kind"] == "TrainJob":
        return [each for each in item["spec"]["runtimePatches"] if each["manager"] == PATCH_MANAGER]
    if item["kind"] == "LeaderWorkerSet":
        return item["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["nodeSelector"]
    return item["spec"]["replicatedJobs"][1]["template"]["spec"]["template"]["spec"]["nodeSelector"]


@pytest.mark.parametrize(("kind", "count"), [("JobSet", 1), ("LeaderWorkerSet", 2), ("TrainJob", 2)])
async def test_pods_come_as_their_held_template_was_told(
    plane: ControlPlane, client: KubeClient, space: str, kind: str, count: int
) -> None:
    wait_until(lambda: _made(plane, space, kind), what=f"{kind} taken by its webhooks", within_seconds=120)
    await eventually(partial(told, plane, client, space, kind), within_seconds=120)
    said = ours(plane.get(kind.lower(), "train", "-n", space))
    for _ in range(2):
        suspend(plane, space, kind, False)
        wait_until(lambda: len(with_gpus(plane, space)) == count, what="its pods on nodes", within_seconds=120)
        for pod in with_gpus(plane, space):
            assert pod["spec"]["nodeSelector"].items() >= TOLD["nodeSelector"].items()
            assert pod["metadata"]["annotations"].items() >= SLICES.items()
            assert pod["spec"]["nodeName"] == "resumed-h"
        suspend(plane, space, kind, True)
        wait_until(lambda: not plane.get("pods", "-n", space)["items"], what="its pods gone", within_seconds=120)
    assert ours(plane.get(kind.lower(), "train", "-n", space)) == said, "nobody takes it back"


async def told(plane: ControlPlane, client: KubeClient, space: str, kind: str) -> bool:
    """Its own controller writes to it as well: what was read is then another version, and it is read again."""
    owner = held_owner(kind)(plane.get(kind.lower(), "train", "-n", space))
    assert owner is not None
    executor = Executor(client, dict, lambda *_: None)
    await executor.apply(Plan(hints=(TemplateHint(owner, "team/w", ActionType.NODE_SELECTOR, "told", TOLD),)))
    return executor.hinted[Templated.WRITTEN] == 1


def _made(plane: ControlPlane, space: str, kind: str) -> bool:
    try:
        plane.apply(*documents(kind), namespace=space)
    except Exception:
        return False
    return True
