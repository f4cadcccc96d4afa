"""A Deployment that is scaled in loses the replica that we named, by the real ReplicaSet controller."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from e2e.stories.resources import fake_node
from e2e.testbed.cluster import ControlPlane, wait_until
from mfu.act.costs import PodMark, ReplicaUse, marks
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.executor import Executor
from mfu.cluster.marking import Marked
from mfu.engine.plan import Plan

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]

REPLICAS = 4


def deployment(replicas: int) -> dict[str, Any]:
    container = {"name": "serve", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    labels = {"app": "serve"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "serve"}, "spec": spec}


@pytest.mark.parametrize("marked", [True, False], ids=["named", "nobody named"])
def test_the_replica_that_writes_least_goes_first(control_plane: ControlPlane, marked: bool) -> None:
    """The oldest writes least: of pods without a cost it would be the last to go."""
    plane = control_plane
    space = plane.new_namespace("serving")
    plane.apply(fake_node("mfu-story-serving", gpus=8, product="NVIDIA-H100-80GB-HBM3"))

    def running(count: int) -> list[dict[str, Any]]:
        def up() -> list[dict[str, Any]] | None:
            found = plane.get("pods", "-n", space)["items"]
            ready = [each for each in found if each["status"].get("phase") == "Running"]
            return ready if len(found) == len(ready) == count else None

        return wait_until(up, what=f"{count} replicas", within_seconds=90) or []

    plane.apply(deployment(1), namespace=space)
    (oldest,) = running(1)
    # Ages are compared by their logarithm of two, in whole seconds: of one age, any pod goes.
    time.sleep(8)
    _scaled(plane, space, REPLICAS)
    pods = running(REPLICAS)
    uses = [_use(pod, 1.0 if pod["metadata"]["uid"] == oldest["metadata"]["uid"] else 100.0) for pod in pods]
    if marked:
        assert asyncio.run(_told(plane, space, uses, leaving=1)) == {Marked.MARKED: 1}
    _scaled(plane, space, REPLICAS - 1)
    left = {pod["metadata"]["uid"] for pod in running(REPLICAS - 1)}
    assert (oldest["metadata"]["uid"] in left) is not marked


def _scaled(plane: ControlPlane, space: str, replicas: int) -> None:
    plane.kubectl("scale", "deployment", "serve", "-n", space, f"--replicas={replicas}")


def _use(pod: dict[str, Any], tokens_per_s: float) -> ReplicaUse:
    return ReplicaUse(pod["metadata"]["uid"], pod["metadata"]["name"], tokens_per_s)


async def _told(plane: ControlPlane, space: str, uses: list[ReplicaUse], *, leaving: int) -> dict[str, int]:
    """What the executor makes of the marks, of those that something was done with."""
    names = {each.uid: each.name for each in uses}
    due = [
        PodMark(space, names[uid], uid, f"{space}/serve", cost, "let it go first")
        for uid, cost in marks(uses, leaving).items()
    ]
    async with KubeClient(connect(plane.kubeconfig)) as client:
        executor = Executor(client, dict, lambda *_: None)
        await executor.apply(Plan(marks=tuple(due)))
    return {str(each): count for each, count in executor.marked.items() if count}
