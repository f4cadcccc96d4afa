"""Priorities of Kueue's Workloads on a real API server; their kind stands there without the rules of its schema."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from mfu.cluster.client import KubeClient
from mfu.cluster.resources import KUEUE_WORKLOADS, ResourcePath
from mfu.cluster.state import ClusterState
from mfu.engine.snapshot import Queued
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration

DEFINITIONS: Final = ResourcePath(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
DEFINITION: Final = {
    "apiVersion": DEFINITIONS.api_version,
    "kind": DEFINITIONS.kind,
    "metadata": {
        "name": f"{KUEUE_WORKLOADS.plural}.{KUEUE_WORKLOADS.group}",
        "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"},
    },
    "spec": {
        "group": KUEUE_WORKLOADS.group,
        "scope": "Namespaced",
        "names": {"plural": KUEUE_WORKLOADS.plural, "singular": "workload", "kind": KUEUE_WORKLOADS.kind},
        "versions": [
            {
                "name": KUEUE_WORKLOADS.version,
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


def queued(name: str, priority: int | None, owner: str | None) -> dict[str, object]:
    owners = (
        []
        if owner is None
        else [{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": f"uid-{owner}", "controller": True}]
    )
    return {
        "apiVersion": KUEUE_WORKLOADS.api_version,
        "kind": KUEUE_WORKLOADS.kind,
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"queueName": "gpus"} | ({} if priority is None else {"priority": priority}),
    }


async def test_priorities_are_read_by_owner_and_followed(client: KubeClient, space: str) -> None:
    await client.create(DEFINITIONS, DEFINITION)
    state = ClusterState(client, changed=lambda: None, kueue=True)
    assert state.queued is not None
    informer = state.queued
    assert informer in state.informers
    task = asyncio.create_task(informer.run())
    try:
        await eventually(informer.synced.is_set)
        for each in (queued("job-a", 100, "a"), queued("nobodys", 7, None), queued("job-b", None, "b")):
            await client.create(KUEUE_WORKLOADS, each, space)
        await eventually(lambda: list(informer.objects.values()) == [Queued(space, ("Job", "a"), 100)])
        await client.merge(KUEUE_WORKLOADS, "job-a", {"spec": {"priority": -5}}, namespace=space)
        await eventually(lambda: [each.priority for each in informer.objects.values()] == [-5])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.delete(DEFINITIONS, str(DEFINITION["metadata"]["name"]))  # type: ignore[index]
