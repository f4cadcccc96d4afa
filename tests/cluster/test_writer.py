"""The writer against a server that refuses: bounded tries, slower each time, and at no more than its rate."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, KubeClient, Unreachable
from mfu.cluster.writer import Writer
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Plan, WorkloadPlan
from mfu.engine.views import NO_STATUS
from tests.controller.virtual_time import run

CYCLE_SECONDS = 1.0


class Server:
    """Counts what is applied; answers with `error` where there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.times: list[float] = []
        self.applied: Counter[str] = Counter()

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.times.append(asyncio.get_running_loop().time())
        self.applied[body["metadata"]["name"]] += 1
        if self.error is not None:
            raise self.error
        return body


def plan_of(count: int) -> Plan:
    status = Packed(WorkloadStatus, {"summary": {"expected": "41.2%"}})
    return Plan(workloads=tuple(WorkloadPlan("a", f"w{number}", f"u{number}", status) for number in range(count)))


def seen(plan: Plan) -> dict[str, dict[str, Any]]:
    return {each.key: {"status": NO_STATUS, "annotations": {}, "version": "1"} for each in plan.workloads}


def cycles(server: Server, seconds: float, count: int = 1, **options: Any) -> Writer:
    """A cycle a second, nothing of what is written ever coming back."""
    writer, plan = Writer(cast(KubeClient, server), **options), plan_of(count)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < seconds:
            await writer.apply(plan, seen(plan), NO_REPORT)
            await asyncio.sleep(CYCLE_SECONDS)

    run(work())
    return writer


@pytest.mark.parametrize(
    "error",
    [
        ApiError(500, "InternalError", "etcd is away", "PATCH"),
        ApiError(403, "Forbidden", "no rights", "PATCH"),
        ApiError(404, "NotFound", "gone", "PATCH"),
        Unreachable("refused"),
    ],
    ids=["500", "403", "404", "unreachable"],
)
def test_a_write_that_fails_is_tried_ever_more_rarely(error: Exception) -> None:
    server = Server(error)
    writer = cycles(server, seconds=3600)
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert [round(gap) for gap in gaps[:6]] == [5, 10, 20, 40, 80, 160]
    assert all(300 <= gap <= 302 for gap in gaps[6:])
    assert writer.counts.failed == len(server.times) <= 19
    assert writer.counts.written == 0


def test_an_object_that_changed_meanwhile_is_left_to_the_next_cycle() -> None:
    server = Server(ApiError(409, "Conflict", "the object has been modified", "PATCH"))
    writer = cycles(server, seconds=5)
    assert (writer.counts.conflicts, writer.counts.failed) == (len(server.times), 0)
    assert len(server.times) == 5


def test_one_that_fails_holds_nobody_else_back() -> None:
    class Picky(Server):
        async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            self.error = ApiError(500, "x", "x", "x") if body["metadata"]["name"] == "w0" else None
            return await super().apply(resource, body)

    server = Picky()
    writer = cycles(server, seconds=4, count=3)
    assert writer.counts.written == 2
    assert server.applied == {"w0": 1, "w1": 1, "w2": 1}


def test_a_flood_is_spread_over_seconds_and_cycles() -> None:
    server = Server()
    writer = cycles(server, seconds=0.5, count=200, per_second=50.0, per_cycle=120)
    assert len(server.times) == 120
    assert writer.counts.deferred == 80
    busiest = max(sum(1 for each in server.times if at <= each < at + 1.0) for at in server.times)
    assert busiest <= 101, "a second's worth at once, then fifty a second"
    assert server.times[-1] >= 1.0


def test_what_waits_is_written_in_the_next_cycles() -> None:
    server = Server()
    writer = cycles(server, seconds=6.0, count=200, per_second=50.0, per_cycle=120)
    assert set(server.applied.values()) == {1}
    assert writer.counts.written == 200
