"""A store that was compacted under a watch, and a server with another past: what is known is right again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from mfu.cluster.informer import Informer
from mfu.cluster.resources import NODES
from tests.cluster.misbehaving import OBJECTS, Misbehaving, said, serving, stream

pytestmark = pytest.mark.prove(times=20)

GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfu.cluster.informer.BACKOFF_SECONDS", (0.002, 0.005, 0.01, 0.02, 0.05))
    monkeypatch.setattr("mfu.cluster.informer.SHORTEST_STREAM_SECONDS", 0.01)


def node(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version), "labels": {"a": name}}}


async def settled(server: Misbehaving, until: Callable[[Informer[str]], bool]) -> dict[str, str]:
    async with serving(server) as client:
        informer = Informer(client, NODES, lambda item: str(item["metadata"]["labels"]["a"]))
        task = asyncio.create_task(informer.run())
        async with asyncio.timeout(30.0):
            while not until(informer):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return informer.objects


async def test_a_compacted_store_is_listed_anew_and_loses_nothing() -> None:
    """While the watch was cut one node came, one went and one changed; 410 tells that nobody will say so."""
    after = {"metadata": {"resourceVersion": "90"}, "items": [node("n0", 1), node("n1", 80), node("new", 85)]}
    first = {"metadata": {"resourceVersion": "10"}, "items": OBJECTS}
    gone = stream(json.dumps(GONE).encode() + b"\n")
    server = Misbehaving(lists=[said(first), said(after)], watches=[gone, stream(then_wait=True)])
    found = await settled(server, lambda informer: "new" in informer.objects)
    assert found == {"n0": "n0", "n1": "n1", "new": "new"}
    assert server.asked["list"] == 2


async def test_a_watch_that_is_compacted_again_and_again_ends_nothing() -> None:
    gone = stream(json.dumps(GONE).encode() + b"\n")
    late = stream(json.dumps({"type": "ADDED", "object": node("late", 99)}).encode() + b"\n", then_wait=True)
    server = Misbehaving(watches=[*[gone] * 5, late])
    found = await settled(server, lambda informer: "late" in informer.objects)
    assert found["late"] == "late"
    assert server.asked["list"] <= 6
