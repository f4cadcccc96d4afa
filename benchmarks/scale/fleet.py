"""Nodes, pods and ModelWorkloads as KWOK would have them: objects of a real API server without a machine behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_engine import spec
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MFUPOLICIES, MODELWORKLOADS, NAMESPACES, NODES, PODS

NAMESPACE_COUNT: Final = 50
GPUS_PER_NODE: Final = 8
IN_FLIGHT: Final = 32
PRODUCT: Final = "NVIDIA-H100-80GB-HBM3"


@dataclass(frozen=True)
class Size:
    """`pods` follow from the workloads: 1, 1, 2, 8 and 8 of one GPU each in turn."""

    workloads: int = 10_000
    nodes: int = 5_000

    def held(self) -> Iterator[tuple[int, int]]:
        """Workload and index of each pod, in the order in which they fill nodes."""
        for number in range(self.workloads):
            yield from ((number, index) for index in range(spec(number)[1]))

    def placed(self) -> Iterator[tuple[int, int, int]]:
        """Workload, index and node of each pod."""
        for place, (owner, index) in enumerate(self.held()):
            yield owner, index, place // GPUS_PER_NODE

    @property
    def pods(self) -> int:
        return sum(spec(number)[1] for number in range(self.workloads))


def namespace_of(number: int) -> str:
    return f"team-{number % NAMESPACE_COUNT}"


def node_name(number: int) -> str:
    return f"n{number:05d}"


async def fill(kubeconfig: Path, size: Size) -> None:
    """What is there already stays: a kept folder is filled once."""
    async with KubeClient(connect(kubeconfig), connections=IN_FLIGHT) as client:
        if await _filled(client, size):
            return
        for number in range(NAMESPACE_COUNT):
            await _made(client.create(NAMESPACES, {"metadata": {"name": f"team-{number}"}}))
        await _made(client.create(MFUPOLICIES, _policy()))
        await _all(client, (node_of(number) for number in range(size.nodes)), NODES)
        await _all(client, (workload_of(number) for number in range(size.workloads)), MODELWORKLOADS)
        placed = enumerate(size.held())
        await _all(
            client, (pod_of(owner, index, node_name(place // GPUS_PER_NODE)) for place, (owner, index) in placed), PODS
        )


async def _filled(client: KubeClient, size: Size) -> bool:
    """Pods are made last: whoever has them all has everything."""
    first = await client.request("GET", PODS.path(), params={"limit": "1"})
    there = len(first["items"]) + (first["metadata"].get("remainingItemCount") or 0)
    return bool(there == size.pods)


async def _all(client: KubeClient, bodies: Iterator[dict[str, Any]], resource: Any) -> None:
    """A few workers: a task an object would be forty thousand tasks."""

    async def work() -> None:
        for body in bodies:
            await _made(client.create(resource, body, body["metadata"].get("namespace")))

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _made(creation: Awaitable[Any]) -> None:
    try:
        await creation
    except ApiError as error:
        if error.status != 409:
            raise


def _policy() -> dict[str, Any]:
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "MFUPolicy",
        "metadata": {"name": "prices"},
        "spec": {"prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}]},
    }


def node_of(number: int) -> dict[str, Any]:
    units = {"nvidia.com/gpu": str(GPUS_PER_NODE), "cpu": "96", "memory": "1Ti", "pods": "250"}
    address = f"10.{100 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node_name(number), "labels": {"nvidia.com/gpu.product": PRODUCT}},
        "status": {
            "allocatable": units,
            "capacity": units,
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def workload_of(number: int) -> dict[str, Any]:
    asked, _ = spec(number)
    target = {"apiVersion": "batch/v1", "kind": "Job", "name": f"w{number}"}
    return {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": f"w{number}", "namespace": namespace_of(number)},
        "spec": {**asked, "targetRef": target},
    }


def pod_of(owner: int, index: int, node: str) -> dict[str, Any]:
    limits = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    owners = [{"apiVersion": "batch/v1", "kind": "Job", "name": f"w{owner}", "uid": f"uid-of-w{owner}"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"w{owner}-{index}", "namespace": namespace_of(owner), "ownerReferences": owners},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": "registry.example/train:1", "resources": limits}],
        },
    }
