"""What an operator that is gone left cordoned, on a real API server: the keeper gives it back, and nothing else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from mfu.act.reshape import FORSAKEN_SECONDS, Reshape, ReshapePhase, written
from mfu.api.names import decision_annotation
from mfu.cluster.client import KubeClient
from mfu.cluster.forsaken import ON_THEIR_WAY, ReshapedNode
from mfu.cluster.keeper import Keeper
from mfu.cluster.node_keeper import NodeKeeper
from mfu.cluster.reshaping import RESHAPE
from mfu.cluster.resources import JSON, NODES
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration
NOW = 1_800_000_000.0
_names = itertools.count()


def way(name: str, *, since: float) -> Reshape:
    return Reshape(name, "all-3g.40gb", "all-1g.10gb", {}, {}, ReshapePhase.DRAIN, since)


@pytest_asyncio.fixture
async def name(client: KubeClient) -> AsyncIterator[str]:
    made = f"forsaken-{next(_names)}"
    yield made
    await client.delete(NODES, made)


async def cordoned(client: KubeClient, name: str, said: str) -> JSON:
    metadata = {
        "name": name,
        "labels": {RESHAPE: "going", "kept": "yes"},
        "annotations": {RESHAPE: said, "own": "kept"},
    }
    body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"unschedulable": True}}
    return await client.create(NODES, body)


async def rounds(keeper: NodeKeeper[ReshapedNode], *nodes: ReshapedNode) -> None:
    await keeper.round({each.name: each for each in nodes}, lambda: True)


def shown(node: JSON, going: Reshape | None) -> ReshapedNode:
    return ReshapedNode(node["metadata"]["name"], node["metadata"]["uid"], going)


@pytest.mark.parametrize(("age", "given_back"), [(FORSAKEN_SECONDS + 1.0, True), (FORSAKEN_SECONDS - 60.0, False)])
async def test_a_node_is_given_back_when_nobody_took_it_further(
    client: KubeClient, name: str, age: float, given_back: bool
) -> None:
    going = way(name, since=NOW - age)
    node = await cordoned(client, name, written(going))
    keeper = NodeKeeper(client, ON_THEIR_WAY, clock=lambda: NOW)
    await rounds(keeper, shown(node, going))
    after = await client.get(NODES, name)
    assert bool(after["spec"].get("unschedulable")) is not given_back
    assert keeper.counts["GivenBack"] == int(given_back)
    labels, words = after["metadata"]["labels"], after["metadata"]["annotations"]
    assert (labels["kept"], words["own"]) == ("yes", "kept")
    assert (RESHAPE in labels, RESHAPE in words) == (not given_back, not given_back)
    if given_back:
        assert "nobody took it further" in words[decision_annotation("MIG")]


async def test_one_that_went_on_meanwhile_is_left_alone(client: KubeClient, name: str) -> None:
    seen = way(name, since=NOW - 2 * FORSAKEN_SECONDS)
    node = await cordoned(client, name, written(replace(seen, phase=ReshapePhase.LABEL, since=NOW)))
    keeper = NodeKeeper(client, ON_THEIR_WAY, clock=lambda: NOW)
    await rounds(keeper, shown(node, seen))
    assert (await client.get(NODES, name))["spec"]["unschedulable"]


async def test_without_the_lease_nothing_is_written(client: KubeClient, name: str) -> None:
    going = way(name, since=0.0)
    node = await cordoned(client, name, written(going))
    await NodeKeeper(client, ON_THEIR_WAY, clock=lambda: NOW).round({name: shown(node, going)}, lambda: False)
    assert (await client.get(NODES, name))["spec"]["unschedulable"]


async def test_the_keeper_that_runs_finds_it_by_its_label(client: KubeClient, name: str) -> None:
    await cordoned(client, name, written(way(name, since=NOW - 2 * FORSAKEN_SECONDS)))
    task = asyncio.create_task(Keeper(client, nodes=NodeKeeper(client, ON_THEIR_WAY, clock=lambda: NOW)).run())

    async def free() -> bool:
        return not (await client.get(NODES, name))["spec"].get("unschedulable")

    try:
        await eventually(free, within_seconds=30)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
