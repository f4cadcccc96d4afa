"""What an agent writes of its node reaches placement through a real API server, and what is gone is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import pytest
import pytest_asyncio

from mfu.cluster.client import KubeClient
from mfu.cluster.resources import GPUNODES, NODES
from mfu.cluster.state import ClusterState
from mfu.decide.types import NodeView
from mfu.engine.snapshot import FleetReadings
from mfu.predict.types import Corrections
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration

PRODUCT = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


@dataclass
class Seen:
    """The nodes of this test, as decisions see them."""

    state: ClusterState
    names: list[str] = field(default_factory=list)

    def node(self, name: str) -> NodeView | None:
        return next(
            (each for each in self.state.snapshot(Nothing(), Corrections(), 0.0).nodes if each.name == name), None
        )


class Nothing:
    """No telemetry."""

    def latest(self, now: float) -> FleetReadings:
        return FleetReadings()

    def series(self, pods: Any, now: float, *, uids: Any) -> None:
        return None

    def stands(self, level: Any, pods: Any, now: float, *, uids: Any) -> bool:
        return False


@pytest_asyncio.fixture
async def seen(client: KubeClient) -> AsyncIterator[Seen]:
    state = ClusterState(client, changed=lambda: None)
    task = asyncio.create_task(state.run())
    await state.wait_synced()
    yield Seen(state)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def gpu_node(client: KubeClient) -> str:
    name = f"gpu-{token_hex(4)}"
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": PRODUCT}}
    await client.create(NODES, body)
    status = {"status": {"allocatable": {"nvidia.com/gpu": "8"}, "capacity": {"nvidia.com/gpu": "8"}}}
    await client.merge(NODES, name, status, subresource="status")
    return name


async def tell(client: KubeClient, name: str, links: list[int], failed: int = 0) -> None:
    """By what each GPU has left to the switch."""
    matrix = [[0 if a == b else min(x, y) for b, y in enumerate(links)] for a, x in enumerate(links)]
    gpus = [
        {"index": each, "uuid": f"GPU-{name}-{each}", "health": "Failed" if each < failed else "Healthy"}
        for each in range(8)
    ]
    body = {"status": {"gpus": gpus, "nvlink": {"matrix": matrix, "switched": True}}}
    await client.merge(GPUNODES, name, body, subresource="status")


async def test_what_the_agent_finds_is_seen_and_followed(client: KubeClient, seen: Seen) -> None:
    name = await gpu_node(client)
    await eventually(lambda: (found := seen.node(name)) is not None and found.gpus == 8)
    assert seen.node(name).joined is None  # type: ignore[union-attr]
    await client.create(GPUNODES, {"apiVersion": GPUNODES.api_version, "kind": "GPUNode", "metadata": {"name": name}})
    await tell(client, name, [18] * 4 + [0] * 4, failed=1)
    await eventually(lambda: (found := seen.node(name)) is not None and (found.joined, found.failed) == (4, 1))
    await tell(client, name, [18] * 8)
    await eventually(lambda: (found := seen.node(name)) is not None and (found.joined, found.failed) == (None, 0))
    await tell(client, name, [18] * 4 + [0] * 4)
    await eventually(lambda: (found := seen.node(name)) is not None and found.joined == 4)
    await client.delete(GPUNODES, name)
    await eventually(lambda: (found := seen.node(name)) is not None and found.joined is None)
