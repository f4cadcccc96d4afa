"""The soft taint on a real API server: put on, renewed and given back whole, and nobody else's taint is touched."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from mfu.act.slowing import EFFECT, SLOW, SLOW_VALID_SECONDS, SlowOrder
from mfu.api.names import decision_annotation
from mfu.cluster.client import KubeClient
from mfu.cluster.node_keeper import NodeKeeper
from mfu.cluster.resources import JSON, NODES
from mfu.cluster.slowing import MARKED, Slowed, marked_node, slow
from mfu.engine.plan import Plan
from tests.cluster.test_gate_kills_server import ONE_PATCH, killed

pytestmark = pytest.mark.integration

NOW = 1_800_000_000.0
UNTIL = int(NOW + SLOW_VALID_SECONDS)
SAID = decision_annotation("Placement")
OURS = {"key": SLOW, "effect": EFFECT}
THEIRS: list[dict[str, Any]] = [
    {"key": "own", "value": "x", "effect": "NoSchedule"},
    {"key": SLOW, "effect": "NoExecute"},
]
_names = itertools.count()


@pytest_asyncio.fixture
async def name(client: KubeClient) -> AsyncIterator[str]:
    made = f"slow-{next(_names)}"
    yield made
    await client.delete(NODES, made)


async def made(client: KubeClient, name: str, taints: list[dict[str, Any]], **metadata: Any) -> JSON:
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **metadata}, "spec": {"taints": taints}}
    return await client.create(NODES, body)


def order(name: str, until: int | None = UNTIL) -> SlowOrder:
    return SlowOrder(name, "10% behind its peers", until)


async def done(client: KubeClient, each: SlowOrder) -> Slowed:
    return await slow(client, each, may_write=lambda: True)


def taints_of(node: JSON) -> list[dict[str, Any]]:
    """Without what the cluster itself puts on a node that is not ready."""
    found = node["spec"].get("taints") or []
    kept = [each for each in found if not each["key"].startswith("node.kubernetes.io/")]
    return [{key: value for key, value in each.items() if key != "timeAdded"} for each in kept]


@pytest.mark.parametrize("theirs", [[], THEIRS], ids=["none", "others"])
@pytest.mark.parametrize(
    "metadata", [{}, {"labels": {"own": "kept"}, "annotations": {"own": "kept"}}], ids=["bare", "told"]
)
async def test_put_on_renewed_and_given_back(
    client: KubeClient, name: str, theirs: list[dict[str, Any]], metadata: dict[str, Any]
) -> None:
    await made(client, name, theirs, **metadata)
    assert await done(client, order(name)) is Slowed.TAINTED
    node = await client.get(NODES, name)
    assert taints_of(node) == [*theirs, OURS]
    assert node["metadata"]["labels"] == {**metadata.get("labels", {}), SLOW: str(UNTIL)}
    assert node["metadata"]["annotations"][SAID] == "10% behind its peers"
    assert await done(client, order(name)) is Slowed.ALREADY
    assert await done(client, order(name, UNTIL + 1800)) is Slowed.RENEWED
    assert await done(client, order(name, None)) is Slowed.GIVEN_BACK
    node = await client.get(NODES, name)
    assert taints_of(node) == theirs
    assert (node["metadata"].get("labels") or {}, node["metadata"].get("annotations") or {}) == (
        metadata.get("labels", {}),
        metadata.get("annotations", {}),
    )
    assert await done(client, order(name, None)) is Slowed.ALREADY


async def test_half_of_it_is_mended_or_given_back(client: KubeClient, name: str) -> None:
    """Somebody took the label: nobody would know until when."""
    node = await made(client, name, [OURS])
    found = marked_node(node)
    assert found is not None
    assert found.until == 0
    assert await done(client, order(name)) is Slowed.RENEWED
    assert await done(client, order(name, None)) is Slowed.GIVEN_BACK


async def test_a_node_that_is_gone_and_a_lost_lease(client: KubeClient, name: str) -> None:
    assert await done(client, order("none")) is Slowed.GONE
    await made(client, name, [])
    assert await slow(client, order(name), may_write=lambda: False) is Slowed.HELD_BACK
    assert taints_of(await client.get(NODES, name)) == []


@pytest.mark.parametrize(("left", "kept"), [(60, True), (-1, False)])
async def test_the_keeper_gives_back_what_nobody_renews(client: KubeClient, name: str, left: int, kept: bool) -> None:
    await made(client, name, THEIRS)
    await done(client, order(name, int(NOW) + left))
    seen = marked_node(await client.get(NODES, name))
    assert seen is not None
    keeper = NodeKeeper(client, MARKED, clock=lambda: NOW)
    await keeper.round({name: seen}, lambda: False)
    await keeper.round({name: seen}, lambda: True)
    assert taints_of(await client.get(NODES, name)) == [*THEIRS, *([OURS] if kept else [])]
    assert keeper.counts[Slowed.GIVEN_BACK] == int(not kept)


async def test_what_was_renewed_meanwhile_is_left_to_the_operator(client: KubeClient, name: str) -> None:
    await made(client, name, [])
    await done(client, order(name, int(NOW) - 1))
    seen = marked_node(await client.get(NODES, name))
    assert seen is not None
    await done(client, order(name))
    await NodeKeeper(client, MARKED, clock=lambda: NOW).round({name: seen}, lambda: True)
    assert taints_of(await client.get(NODES, name)) == [OURS]


@pytest.mark.prove(times=100)
@pytest.mark.parametrize("where", ONE_PATCH)
async def test_killed_at_any_request_it_is_tainted_whole_or_not(client: KubeClient, name: str, where: str) -> None:
    await made(client, name, THEIRS)
    await killed(client, Plan(slowed=(order(name),)), at=ONE_PATCH[where])
    node = await client.get(NODES, name)
    whole = where == "when it is patched"
    assert (OURS in taints_of(node), SLOW in (node["metadata"].get("labels") or {})) == (whole, whole)
    seen = marked_node(node)
    await NodeKeeper(client, MARKED, clock=lambda: NOW + 2 * SLOW_VALID_SECONDS).round(
        {name: seen} if seen else {}, lambda: True
    )
    assert taints_of(await client.get(NODES, name)) == THEIRS
