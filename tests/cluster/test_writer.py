"""The writer against a server that refuses: bounded tries, slower each time, and at no more than its rate."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from mfu.api.fleetreport import FleetStatus
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.writer import FEW, IN_FLIGHT, YIELD_SECONDS, Writer
from mfu.cluster.writes import wanted
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Event, Plan, WorkloadPlan
from mfu.engine.views import NO_STATUS
from tests.builders.virtual_time import run

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
        ServerUnreachable("refused"),
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


@pytest.mark.parametrize(
    ("status", "message", "outdated"),
    [
        (409, "the object has been modified; please apply your changes to the latest version and try again", True),
        (422, "the server rejected our request due to an error in our request", True),
        (422, "ValidatingAdmissionPolicy 'fence' with binding 'fence' denied request: not so", False),
        (422, 'ConfigMap "a" is invalid: metadata.annotations: Too long', False),
        (403, "no rights", False),
    ],
)
def test_a_refusal_is_told_from_an_object_that_moved_on(status: int, message: str, outdated: bool) -> None:
    assert ApiError(status, "Invalid", message, "PATCH").outdated is outdated


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
    writer = cycles(server, seconds=0.5, count=200, per_second=50.0, per_round=120)
    assert len(server.times) == 120
    assert writer.counts.deferred == 80
    busiest = max(sum(1 for each in server.times if at <= each < at + 1.0) for at in server.times)
    assert busiest <= 101, "a second's worth at once, then fifty a second"
    assert server.times[-1] >= 1.0


def test_a_newer_plan_ends_a_round_and_what_was_not_begun_waits() -> None:
    server, plan = Server(), plan_of(100)
    writer = Writer(cast(KubeClient, server))
    run(writer.apply(plan, seen(plan), NO_REPORT, superseded=lambda: len(server.times) >= 30))
    assert 30 <= writer.counts.written <= 30 + IN_FLIGHT
    assert writer.counts.deferred == 100 - writer.counts.written


def test_what_waits_is_written_in_the_next_cycles() -> None:
    server = Server()
    writer = cycles(server, seconds=6.0, count=200, per_second=50.0, per_round=120)
    assert set(server.applied.values()) == {1}
    assert writer.counts.written == 200


def urgent(namespace: str, name: str, status: dict[str, Any] | None = None) -> tuple[WorkloadPlan, dict[str, Any]]:
    said = WorkloadPlan(
        namespace, name, f"u-{name}", Packed(WorkloadStatus, {"observedGeneration": 2, "summary": {"expected": "41%"}})
    )
    return said, {"status": Packed(WorkloadStatus, status or {}), "annotations": {}, "version": "1"}


def test_what_has_no_answer_yet_goes_first_and_namespaces_take_turns() -> None:
    pairs = [urgent("big", f"old{row}", {"observedGeneration": 2, "summary": {"expected": "9%"}}) for row in range(3)]
    pairs += [urgent("big", f"new{row}") for row in range(3)]
    pairs += [urgent("small", "only")]
    plan = Plan(workloads=tuple(each for each, _ in pairs), report=Packed(FleetStatus, {"totals": {"gpus": "8"}}))
    current = {each.key: seen for each, seen in pairs}
    names = [made().body["metadata"]["name"] for made in wanted(plan, current, NO_REPORT)]
    assert names[0] == "fleet"
    assert set(names[1:3]) == {"new0", "only"}
    assert names[3:] == ["new1", "new2", "old0", "old1", "old2"]


def test_the_same_but_for_its_times_is_not_written_again_while_the_watch_is_late() -> None:
    server = Server()
    writer = Writer(cast(KubeClient, server))

    async def work() -> None:
        for second in range(5):
            status = {
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "Ready",
                        "lastTransitionTime": f"2026-11-22T00:00:0{second}Z",
                    }
                ]
            }
            plan = Plan(workloads=(WorkloadPlan("a", "w0", "u0", Packed(WorkloadStatus, status)),))
            await writer.apply(plan, seen(plan), NO_REPORT)
            await asyncio.sleep(1.0)

    run(work())
    assert server.applied == {"w0": 1}


def test_what_may_not_be_written_is_counted_and_events_wait_for_the_lease() -> None:
    server, leader = Events(), False
    writer = Writer(cast(KubeClient, server), may_write=lambda: leader)
    plan = Plan(
        workloads=(
            WorkloadPlan(
                "a",
                "w0",
                "u0",
                Packed(WorkloadStatus, {"summary": {"expected": "1%"}}),
                events=(Event("Warning", "Hot", "hot"),),
            ),
        ),
        events=(Event("Warning", "FleetUnknown", "no telemetry"),),
    )

    async def work() -> None:
        nonlocal leader
        writer.tell(plan, {"a/w0"})
        await writer.apply(plan, seen(plan), NO_REPORT)
        assert (server.told, writer.counts.skipped, writer.counts.written) == ([], 1, 0)
        leader = True
        await writer.apply(plan, seen(plan), NO_REPORT)

    run(work())
    assert [(each["reason"], each["metadata"]["namespace"]) for each in server.told] == [
        ("Hot", "a"),
        ("FleetUnknown", "default"),
    ]
    assert writer.counts.written == 1


def test_nothing_is_told_of_a_workload_that_went_meanwhile() -> None:
    server = Events()
    writer = Writer(cast(KubeClient, server))
    plan = Plan(workloads=(WorkloadPlan("a", "w0", "u0", NO_STATUS, events=(Event("Warning", "Hot", "hot"),)),))

    async def work() -> None:
        writer.tell(plan, set())
        await writer.apply(plan, {}, NO_REPORT)

    run(work())
    assert server.told == []


def test_events_that_wait_are_bounded() -> None:
    writer = Writer(cast(KubeClient, Events()), may_write=lambda: False)
    events = tuple(Event("Normal", f"R{row}", "x") for row in range(1200))
    run(_told(writer, Plan(workloads=(WorkloadPlan("a", "w0", "u0", NO_STATUS, events=events),))))
    assert (len(writer._events), writer.counts.events_lost) == (1000, 200)


async def _told(writer: Writer, plan: Plan) -> None:
    writer.tell(plan, {"a/w0"})


class Events(Server):
    """Keeps the events that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    async def create(self, resource: Any, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        self.told.append(body)
        return body


def test_no_more_than_so_many_writes_are_under_way() -> None:
    class Slow(Server):
        under_way = most = 0

        async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(4.0)
            self.under_way -= 1
            return await super().apply(resource, body)

    server, plan = Slow(), plan_of(100)
    writer = Writer(cast(KubeClient, server), per_round=100)
    run(writer.apply(plan, seen(plan), NO_REPORT))
    assert server.most == IN_FLIGHT == 20
    assert writer.counts.written == 100


class Gated(Server):
    """Answers when it is let; keeps what is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.seconds = 0.0

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.under_way.append(body["metadata"]["name"])
        self.bodies.append(body)
        await asyncio.sleep(self.seconds)
        self.under_way.remove(body["metadata"]["name"])
        return await super().apply(resource, body)


def answer_of(name: str) -> WorkloadPlan:
    return WorkloadPlan("a", name, f"u-{name}", Packed(WorkloadStatus, {"observedGeneration": 2}))


SEEN = {"status": NO_STATUS, "annotations": {}, "version": "7"}


def test_an_answer_to_news_is_for_that_object_in_whatever_version() -> None:
    server = Gated()
    writer = Writer(cast(KubeClient, server))

    async def work() -> None:
        await writer.answer(answer_of("n"), SEEN)
        await writer.answer(answer_of("n"), SEEN)

    run(work())
    assert [each["metadata"] for each in server.bodies] == [{"namespace": "a", "name": "n", "uid": "u-n"}]
    assert writer.counts.written == 1, "its echo has not come back yet"


def test_rounds_give_way_to_news_but_not_for_ever() -> None:
    """Three writes are begun while there is news, each a moment later than it might be."""
    server, plan = Gated(), plan_of(40)
    server.seconds = 10.0
    writer = Writer(cast(KubeClient, server), per_second=1e6)

    async def work() -> None:
        news = asyncio.create_task(writer.answer(answer_of("n"), SEEN))
        await asyncio.sleep(0)
        round_of_writing = asyncio.create_task(writer.apply(plan, seen(plan), NO_REPORT))
        await asyncio.sleep(YIELD_SECONDS / 2)
        assert server.under_way == ["n"]
        await asyncio.sleep(YIELD_SECONDS)
        assert len(server.under_way) == 1 + FEW
        await news
        await round_of_writing

    run(work())
    assert writer.counts.written == 41


def test_a_round_begun_in_quiet_draws_back_when_news_comes() -> None:
    server, plan = Gated(), plan_of(200)
    server.seconds = 1.0
    writer = Writer(cast(KubeClient, server), per_second=1e6)

    async def work() -> None:
        round_of_writing = asyncio.create_task(writer.apply(plan, seen(plan), NO_REPORT))
        await asyncio.sleep(0.5)
        assert len(server.under_way) == IN_FLIGHT
        news = asyncio.create_task(writer.answer(answer_of("n"), SEEN))
        await asyncio.sleep(1.4)
        assert len(server.under_way) <= FEW
        await asyncio.gather(news, round_of_writing)

    run(work())
    assert writer.counts.written == 201


def test_a_round_leaves_alone_what_is_being_answered() -> None:
    server, plan = Gated(), Plan(workloads=(answer_of("n"),))
    server.seconds = 1.0
    writer = Writer(cast(KubeClient, server))

    async def work() -> None:
        news = asyncio.create_task(writer.answer(plan.workloads[0], SEEN))
        await asyncio.sleep(0.1)
        await writer.apply(plan, seen(plan), NO_REPORT)
        await news

    run(work())
    assert server.applied == {"n": 1}


def test_events_leave_some_at_a_time_and_all_in_the_end() -> None:
    server = Events()
    writer = Writer(cast(KubeClient, server))
    events = tuple(Event("Normal", f"R{row}", "x") for row in range(120))
    plan = Plan(workloads=(WorkloadPlan("a", "w0", "u0", NO_STATUS, events=events),))

    async def work() -> None:
        writer.tell(plan, {"a/w0"})
        for told in (50, 100, 120):
            await writer.apply(Plan(), {}, NO_REPORT)
            assert len(server.told) == told
            assert writer.counts.deferred == 120 - told

    run(work())
    assert [each["reason"] for each in server.told] == [f"R{row}" for row in range(120)]


def test_what_has_no_answer_yet_comes_before_all_annotations_and_these_are_not_starved() -> None:
    class Both(Server):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[str] = []

        async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            await asyncio.sleep(0.1)
            self.told.append("status")
            return body

        async def change(self, resource: Any, metadata: Any, operations: Any, **_: Any) -> None:
            self.told.append("annotations")

    server = Both()
    writer = Writer(cast(KubeClient, server), per_second=1e6)
    status = Packed(WorkloadStatus, {"observedGeneration": 1})
    plans = tuple(WorkloadPlan("a", f"w{row}", f"u{row}", status, {"note": "x"}) for row in range(60))
    current = {each.key: {"status": NO_STATUS, "annotations": {}, "annotated": False} for each in plans}
    run(writer.apply(Plan(workloads=plans), current, NO_REPORT))
    assert server.told == ["status"] * 60 + ["annotations"] * 60
    server.told.clear()
    hasty = Writer(cast(KubeClient, server), per_second=1e6)
    run(hasty.apply(Plan(workloads=plans), current, NO_REPORT, superseded=lambda: True))
    assert server.told == ["status"] * IN_FLIGHT + ["annotations"] * IN_FLIGHT
    assert hasty.counts.deferred == 120 - 2 * IN_FLIGHT
