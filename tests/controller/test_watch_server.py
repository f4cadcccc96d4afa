"""kopf as the only watch of declarations, on a real API server: it follows, survives its own end, misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster import declared
from mfu.cluster.client import METADATA_ONLY, KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MFUPOLICIES, MODELWORKLOADS
from mfu.cluster.state import ClusterState
from mfu.controller import watch

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@dataclass
class Watching:
    server: ControlPlane
    client: KubeClient
    state: ClusterState
    watch: watch.DeclaredWatch
    space: str

    async def workload(self, name: str) -> None:
        document = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
        document["metadata"] = {"name": name, "namespace": self.space}
        await self.client.create(MODELWORKLOADS, document, self.space)

    def names(self) -> set[str]:
        mine = f"{self.space}/"
        return {key.removeprefix(mine) for key in self.state.workloads.objects if key.startswith(mine)}


async def eventually(check: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def watching(api_server_only: ControlPlane) -> AsyncIterator[Watching]:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    space = api_server_only.new_namespace("watch")
    async with KubeClient(connect(api_server_only.kubeconfig)) as client:
        state = ClusterState(client, changed=lambda: None, told=True)
        made = Watching(
            api_server_only, client, state, watch.DeclaredWatch(state.told, api_server_only.kubeconfig), space
        )
        await made.workload("before")
        tasks = [
            asyncio.create_task(made.state.run()),
            asyncio.create_task(made.watch.run()),
        ]
        try:
            await asyncio.wait_for(made.state.wait_synced(), 30)
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            api_server_only.kubectl("delete", "modelworkload", "--all", "-n", space)


async def test_it_holds_what_there_is_and_follows(watching: Watching) -> None:
    assert watching.names() == {"before"}
    await watching.workload("after")
    await eventually(lambda: watching.names() == {"before", "after"})
    await watching.client.delete(MODELWORKLOADS, "before", watching.space)
    await eventually(lambda: watching.names() == {"after"})
    policy: dict[str, Any] = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy"}
    named = f"p-{watching.space}"
    await watching.client.create(MFUPOLICIES, {**policy, "metadata": {"name": named}, "spec": {"priority": 3}})
    await eventually(lambda: named in watching.state.policies.objects)
    await watching.client.delete(MFUPOLICIES, named)
    await eventually(lambda: named not in watching.state.policies.objects)


async def test_it_starts_again_when_kopf_ends_and_what_went_meanwhile_is_forgotten(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch error ends kopf; the store stays, and learns of a deletion that no watch saw."""
    monkeypatch.setattr(declared, "SETTLED_SECONDS", 0.5)
    monkeypatch.setattr(watch, "BACKOFF_SECONDS", (2.0,))
    await watching.workload("kept")
    await eventually(lambda: watching.names() == {"before", "kept"})
    watching.watch.end()
    await asyncio.sleep(1.5)
    assert watching.names() == {"before", "kept"}
    await watching.client.delete(MODELWORKLOADS, "before", watching.space)
    await watching.workload("late")
    await eventually(lambda: watching.names() == {"kept", "late"}, 40)
    assert watching.watch.starts == 2


async def test_the_lists_of_the_store_are_of_names_alone(watching: Watching) -> None:
    pages = [page async for page in watching.client.pages(MODELWORKLOADS, accept=METADATA_ONLY)]
    items = [item for page in pages for item in page.items]
    assert items
    assert all("spec" not in item and item["metadata"]["name"] for item in items)
