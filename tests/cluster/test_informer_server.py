"""Informers on a real API server: what they hold is what there is, whatever they missed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster import client as client_module
from mfu.cluster.client import KubeClient
from mfu.cluster.informer import Informer
from mfu.cluster.resources import CONFIGMAPS
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def suite() -> str:
    return f"suite-{secrets.token_hex(4)}"


@pytest_asyncio.fixture
async def informer(client: KubeClient, suite: str) -> AsyncIterator[Informer[str]]:
    made = Informer(
        client,
        CONFIGMAPS,
        lambda item: (item.get("data") or {}).get("a"),
        selectors={"labelSelector": f"suite={suite}"},
    )
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def create(client: KubeClient, name: str, suite: str, space: str, value: str = "1") -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"suite": suite}},
        "data": {"a": value},
    }
    await client.create(CONFIGMAPS, body, space)


async def test_lists_in_chunks(
    client: KubeClient, informer: Informer[str], suite: str, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHUNK", 3)
    for number in range(8):
        await create(client, f"c{number}", suite, space)
    found, version = await client.list(CONFIGMAPS, labelSelector=f"suite={suite}")
    assert sorted(each["metadata"]["name"] for each in found) == [f"c{number}" for number in range(8)]
    assert version
    await eventually(lambda: len(informer.objects) == 8)


async def test_follows_changes_and_counts_them(
    client: KubeClient, informer: Informer[str], suite: str, space: str
) -> None:
    await informer.synced.wait()
    await create(client, "one", suite, space)
    await eventually(lambda: informer.objects == {f"{space}/one": "1"})
    version = informer.version
    await client.merge(CONFIGMAPS, "one", {"data": {"a": "2"}}, namespace=space)
    await eventually(lambda: informer.objects == {f"{space}/one": "2"})
    assert informer.version == version + 1
    await client.merge(CONFIGMAPS, "one", {"data": {"b": "unseen by the projection"}}, namespace=space)
    await client.delete(CONFIGMAPS, "one", space)
    await eventually(lambda: informer.objects == {})
    assert informer.version == version + 2
    assert informer.relists == 1


async def test_an_object_that_the_projection_leaves_out_goes(
    client: KubeClient, informer: Informer[str], suite: str, space: str
) -> None:
    await create(client, "one", suite, space)
    await eventually(lambda: informer.objects)
    await client.merge(CONFIGMAPS, "one", {"data": None}, namespace=space)
    await eventually(lambda: informer.objects == {})


async def test_what_was_deleted_unseen_is_gone_after_the_re_list(
    server: ControlPlane, client: KubeClient, informer: Informer[str], suite: str, space: str
) -> None:
    """The API server goes down, another one on the same etcd deletes and creates, the first comes back."""
    await create(client, "doomed", suite, space)
    await create(client, "stays", suite, space)
    await eventually(lambda: len(informer.objects) == 2)
    with server.second_apiserver() as second:
        server.stop_apiserver(crash=True)
        second.kubectl("delete", "configmap", "doomed", "-n", space)
        second.kubectl("create", "configmap", "late", "-n", space, "--from-literal=a=3")
        second.kubectl("label", "configmap", "late", "-n", space, f"suite={suite}")
        await asyncio.to_thread(server.start_apiserver)
    await eventually(lambda: set(informer.objects) == {f"{space}/stays", f"{space}/late"}, within_seconds=60)
