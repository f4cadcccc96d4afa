"""Two replicas, a leader that goes, a network that parts, a server that is slow or away: one writes, all is said."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import cast

import pytest

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.lease import DURATION_SECONDS, RENEW_SECONDS, Lease, LeaseLost
from mfu.cluster.writer import Writer
from mfu.engine.plan import Event, Plan
from tests.builders.virtual_time import run
from tests.faults.small_server import Replica, SmallServer

pytestmark = pytest.mark.prove(times=20)

TAKE_OVER_SECONDS = DURATION_SECONDS + 2 * RENEW_SECONDS
"""Until a standby has seen that nobody renews, by its own clock."""


@dataclass
class Operator:
    """A lease and a writer, as they run side by side in the operator."""

    replica: Replica
    count: int = 60
    overlaps: list[float] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        client = cast(KubeClient, self.replica)
        self.lease = Lease(client, namespace="n", name="mfu", identity=self.replica.name)
        self.writer = Writer(client, may_write=lambda: self.lease.fresh)
        self.plan: Plan = self.replica.plan(self.count)

    async def run(self) -> None:
        await self.lease.acquire()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.lease.hold())
                group.create_task(self._write())
        except* LeaseLost:
            self.stopped = True

    async def _write(self) -> None:
        while True:
            await self.writer.apply(self.plan, self.replica.seen(self.plan), self.plan.report)
            await asyncio.sleep(0.5)


async def lasting(seconds: float, *work: Operator) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(each.run()) for each in work]
    await asyncio.sleep(seconds)
    return tasks


def written(server: SmallServer) -> int:
    return len(server.writers)


def test_of_two_replicas_one_writes() -> None:
    async def work() -> None:
        server = SmallServer()
        both = [Operator(Replica(server, name)) for name in "ab"]
        for task in await lasting(60.0, *both):
            task.cancel()
        assert written(server) == 60
        assert {who for writes in server.writers.values() for _, who in writes} == {"a"}

    run(work())


def test_when_the_leader_is_lost_the_other_goes_on_and_nothing_is() -> None:
    async def work() -> None:
        server = SmallServer(seconds=0.5)
        first, second = (Operator(Replica(server, name), count=200) for name in "ab")
        tasks = await lasting(3.0, first, second)
        tasks[0].cancel()
        before = written(server)
        assert 0 < before < 200
        await asyncio.sleep(TAKE_OVER_SECONDS + 10.0)
        assert second.lease.fresh
        assert written(server) == 200
        tasks[1].cancel()

    run(work())


@pytest.mark.parametrize("seed", range(5))
def test_a_network_that_parts_never_has_two_writers(seed: int) -> None:
    """Cut off at random for up to a minute: whoever may write is alone, at every moment."""
    choose = random.Random(seed)

    async def work() -> None:
        server = SmallServer(seconds=0.05)
        both = [Operator(Replica(server, name), count=40) for name in "ab"]
        tasks = [asyncio.create_task(each.run()) for each in both]
        cut_until, at_once = [0.0, 0.0], 0
        for tick in range(6000):
            now = tick * 0.1
            for number, each in enumerate(both):
                if now >= cut_until[number] and choose.random() < 0.002:
                    cut_until[number] = now + choose.uniform(1.0, 60.0)
                each.replica.cut = now < cut_until[number]
                if tasks[number].done():
                    # The process ends when it loses the lease, and its next one begins.
                    both[number] = Operator(Replica(server, each.replica.name), count=40)
                    tasks[number] = asyncio.create_task(both[number].run())
            at_once += all(each.lease.fresh for each in both)
            await asyncio.sleep(0.1)
        assert at_once == 0
        assert written(server) == 40
        for task in tasks:
            task.cancel()

    run(work())


def test_five_minutes_without_the_api_server_lose_nothing() -> None:
    async def work() -> None:
        server = SmallServer()
        one = Operator(Replica(server, "a"), count=300)
        tasks = await lasting(1.0, one)
        server.away = True
        told = Event("Warning", "FleetUnknown", "no telemetry")
        one.writer.tell(Plan(events=(told,)), set())
        # What was under way may still arrive.
        await asyncio.sleep(1.0)
        before = written(server)
        await asyncio.sleep(300.0)
        assert written(server) == before
        assert not one.lease.fresh
        assert not one.stopped
        server.away = False
        await asyncio.sleep(30.0)
        assert written(server) == 300
        assert one.replica.told["FleetUnknown"] == 1
        tasks[0].cancel()

    run(work())


def test_a_store_that_takes_four_seconds_an_answer_is_written_to_all_the_same() -> None:
    """It was 10 of 500 once, and nothing said so: what may not be written is counted, and made up for."""

    async def work() -> None:
        server = SmallServer(seconds=4.0)
        one = Operator(Replica(server, "a"), count=500)
        tasks = await lasting(600.0, one)
        assert written(server) == 500
        assert not one.stopped
        assert one.writer.counts.written >= 500
        tasks[0].cancel()

    run(work())


def test_a_definition_that_changes_under_load_delays_and_loses_nothing() -> None:
    """While a new CustomResourceDefinition is taken in, its objects answer 404 and 500 for some seconds."""

    async def work() -> None:
        server = SmallServer()
        one = Operator(Replica(server, "a"), count=300)
        apply, gone = one.replica.apply, False

        async def refusing(resource: object, body: dict[str, object], **more: object) -> dict[str, object]:
            if gone:
                raise ApiError(404, "NotFound", "the server could not find the requested resource", "PATCH")
            return await apply(resource, body, **more)

        one.replica.apply = refusing  # type: ignore[method-assign]
        tasks = await lasting(0.5, one)
        gone = True
        await asyncio.sleep(8.0)
        gone = False
        await asyncio.sleep(60.0)
        assert written(server) == 300
        tasks[0].cancel()

    run(work())
