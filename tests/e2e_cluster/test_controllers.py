"""Other people's controllers on the local control plane do what they do in a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.servers import KWOK_NODE_ANNOTATION
from e2e.testbed.controllers import kueue
from mfu.cluster.projection import queued
from mfu.engine.snapshot import Queued

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
QUEUE: Final = "kueue.x-k8s.io/v1beta2"


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    with ControlPlane.start(progress=cluster_progress) as started, kueue.running(started, progress=cluster_progress):
        yield started


def node(name: str, gpus: int) -> dict[str, Any]:
    key, _, value = KWOK_NODE_ANNOTATION.partition("=")
    amounts = {"nvidia.com/gpu": str(gpus), "cpu": "64", "memory": "512Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {key: value}, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": amounts, "capacity": amounts},
    }


def queues(namespace: str, gpus: int) -> list[dict[str, Any]]:
    flavors = [{"name": "h100", "resources": [{"name": "nvidia.com/gpu", "nominalQuota": gpus}]}]
    group = {"coveredResources": ["nvidia.com/gpu"], "flavors": flavors}
    return [
        {"apiVersion": QUEUE, "kind": "ResourceFlavor", "metadata": {"name": "h100"}},
        {
            "apiVersion": QUEUE,
            "kind": "ClusterQueue",
            "metadata": {"name": "gpus"},
            "spec": {"namespaceSelector": {}, "resourceGroups": [group]},
        },
        {
            "apiVersion": QUEUE,
            "kind": "LocalQueue",
            "metadata": {"name": "gpus", "namespace": namespace},
            "spec": {"clusterQueue": "gpus"},
        },
    ]


def job(name: str, namespace: str, gpus: int, **labels: str) -> dict[str, Any]:
    container = {"name": "main", "image": "x", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": {QUEUE_LABEL: "gpus", **labels}},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }


def test_kueue_starts_as_many_jobs_as_its_quota_allows_and_we_read_its_priorities(plane: ControlPlane) -> None:
    space = plane.new_namespace()
    urgent = {"apiVersion": QUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": "urgent"}, "value": 100}
    plane.apply(node("n0", 16), *queues(space, gpus=8), urgent)
    plane.apply(job("first", space, 8), job("second", space, 8, **{"kueue.x-k8s.io/priority-class": "urgent"}))

    def suspended() -> list[bool]:
        found = plane.get("jobs", "-n", space)["items"]
        return sorted(each["spec"]["suspend"] for each in found)

    wait_until(lambda: suspended() == [False, True], what="one job admitted and one queued")
    told = [queued(each) for each in plane.get("workloads.kueue.x-k8s.io", "-n", space)["items"]]
    assert set(told) == {Queued(space, ("Job", "first"), 0), Queued(space, ("Job", "second"), 100)}
