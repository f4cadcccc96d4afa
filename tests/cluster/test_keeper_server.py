"""The release keeper on a real API server: after the deadline every pod is free, whoever else lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from e2e.testbed.cluster.plane import ControlPlane
from mfu.act.slowing import SlowOrder
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cluster import projection
from mfu.cluster.client import KubeClient
from mfu.cluster.keeper import Keeper, keep
from mfu.cluster.lease import Lease
from mfu.cluster.node_keeper import NodeKeeper
from mfu.cluster.queue_gate import gated_owner
from mfu.cluster.queue_keeper import QueueKeeper
from mfu.cluster.resources import JSON, NODES, PODS, RUNS_PODS
from mfu.cluster.slowing import MARKED, marked_node, slow
from tests.builders.gated_pods import create, gated, gates_of
from tests.builders.held import job
from tests.builders.kube import eventually

pytestmark = pytest.mark.integration


def governed(server: ControlPlane, space: str, seconds: int) -> None:
    """A policy of this namespace with such a deadline."""
    server.kubectl("label", "namespace", space, f"deadline={space}")
    spec = {"namespaceSelector": {"matchLabels": {"deadline": space}}, "gate": {"deadlineSeconds": seconds}}
    server.apply(
        {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": space}, "spec": spec}
    )


@asynccontextmanager
async def running(keeper: Keeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def free(client: KubeClient, pod: JSON) -> Callable[[], object]:
    async def check() -> bool:
        found = await client.get(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
        return PLACEMENT_GATE not in gates_of(found)

    return check


async def test_a_pod_is_free_at_its_policys_deadline_and_not_before(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    governed(server, space, 3)
    other = server.new_namespace("cluster")
    async with running(Keeper(client)):
        soon, later = create(server, space, gated(gates=(PLACEMENT_GATE, "a.b/c"))), create(server, other, gated())
        await eventually(free(client, soon))
        age = time.time() - projection.epoch(soon["metadata"]["creationTimestamp"])
        assert 2.0 < age < 10.0, "timestamps have whole seconds, and this machine may be busy"
        assert gates_of(await client.get(PODS, soon["metadata"]["name"], space)) == ["a.b/c"]
        assert gates_of(await client.get(PODS, later["metadata"]["name"], other)), "60 s where no policy governs"


async def test_a_clock_that_lags_keeps_nobody_for_ever(server: ControlPlane, client: KubeClient, space: str) -> None:
    governed(server, space, 2)
    pod = create(server, space, gated())
    async with running(Keeper(client, clock=lambda: time.time() - 36_000.0)):
        await eventually(free(client, pod), within_seconds=10)


async def test_a_standby_takes_over(server: ControlPlane, client: KubeClient, space: str) -> None:
    governed(server, space, 1)

    def lease(identity: str) -> Lease:
        made = Lease(client, namespace=space, name="keeper", identity=identity)
        made.duration_seconds, made.renew_seconds, made.fresh_seconds = 4, 0.3, 3.0
        return made

    stops = [asyncio.Event(), asyncio.Event()]
    keepers = [Keeper(client), Keeper(client)]
    first = asyncio.create_task(keep(keepers[0], lease("first"), stops[0]))
    await eventually(lambda: keepers[0].rounds_at is not None and keepers[0].may_write())
    second = asyncio.create_task(keep(keepers[1], lease("second"), stops[1]))
    await eventually(free(client, create(server, space, gated())))
    # The server shows it before the keeper has read its answer.
    await eventually(lambda: keepers[0].counts.total() == 1)
    assert keepers[1].counts.total() == 0
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await eventually(free(client, create(server, space, gated())))
    await eventually(lambda: keepers[1].counts.total() == 1)
    assert keepers[0].counts.total() == 1
    stops[1].set()
    assert await asyncio.wait_for(second, 30) == 0


@pytest.mark.prove(times=20)
async def test_jobs_and_nodes_are_freed_by_the_same_keeper(
    server: ControlPlane, client: KubeClient, space: str
) -> None:
    """Of a Job its deadline counts, of a node what its taint says of itself."""
    governed(server, space, 1)
    stale, fresh = f"{space}-stale", f"{space}-fresh"
    keeper = Keeper(client, jobs=QueueKeeper(client), slow=NodeKeeper(client, MARKED))
    async with running(keeper):
        await eventually(lambda: keeper.rounds_at is not None)
        await client.create(RUNS_PODS["job"], job(annotations={QUEUE_GATE_ANNOTATION: PLACEMENT_GATE}), space)
        for name, until in ((stale, time.time() - 1.0), (fresh, time.time() + 3600.0)):
            await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
            order = SlowOrder(name, "slower than its peers", int(until))
            await slow(client, order, may_write=lambda: True)

        async def job_freed() -> bool:
            return gated_owner("Job")(await client.get(RUNS_PODS["job"], "train", space)) is None

        async def node_freed() -> bool:
            return marked_node(await client.get(NODES, stale)) is None

        await eventually(job_freed, within_seconds=60)
        await eventually(node_freed, within_seconds=60)
        assert marked_node(await client.get(NODES, fresh)) is not None
    for name in (stale, fresh):
        await client.delete(NODES, name)
