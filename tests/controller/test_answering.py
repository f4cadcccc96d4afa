"""News is answered beside the cycles: at once, fairly, once at a time for an object, and never instead of a cycle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mfu.cluster.client import KubeClient
from mfu.cluster.state import ClusterState, Past
from mfu.cluster.writer import Writer
from mfu.controller.answering import LATE_PASS_SECONDS, LONGEST_PASS_SECONDS, MOST_JUDGED, MOST_SENT, Answering
from mfu.controller.build import build
from mfu.controller.config import OperatorConfig
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.observe.readings import WorkloadSeries
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, series, training, workload


def declared(batch: int, generation: int) -> WorkloadView:
    return workload(document=training(globalBatchSize=batch), generation=generation)


class Cluster:
    """A running job, and what is written of it."""

    def __init__(self) -> None:
        self.workloads = SimpleNamespace(objects={})
        self.written: list[int] = []
        self.under_way = self.most = 0
        self.error: Exception | None = None
        self.slow = asyncio.Event()
        self.slow.set()

    def declare(self, view: WorkloadView) -> None:
        self.workloads.objects[view.key] = view

    def own(self, key: str) -> WorkloadView | None:
        return cast(WorkloadView | None, self.workloads.objects.get(key))

    async def apply(self, resource: Any, body: dict[str, Any], **_: Any) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.slow.wait()
        self.under_way -= 1
        if self.error is not None:
            raise self.error
        self.written.append(body["status"]["observedGeneration"])


class Readings:
    def series(self, pods: Any, now: float, **_: Any) -> WorkloadSeries | None:
        return series(declared(64, 1), 0.45, now=now)


class Stage:
    """Answering over one workload that a cycle judged before."""

    def __init__(self, *, pods: bool = True) -> None:
        self.cluster, self.left, self.answers = Cluster(), 0, dict[str, WorkloadPlan]()
        view = declared(64, 1)
        self.cluster.declare(view)
        held = {view.key: series(view, 0.45, now=NOW)} if pods else {}
        self.plan = evaluate(Snapshot((view,), (pod(),) if pods else (), (node("n0"),), series=held), NOW)
        self.writer = Writer(cast(KubeClient, self.cluster))
        self.answering = Answering(
            cast(ClusterState, self.cluster),
            cast(Past, Readings()),
            self.writer,
            lambda: self.plan,
            lambda uid: self.answers.get(uid, self.plan.handover.plans.get(uid)),
            answered=self.take,
            left=self.leave,
        )

    def take(self, answered: Mapping[str, WorkloadPlan]) -> None:
        self.answers.update(answered)

    def leave(self) -> None:
        self.left += 1

    def change(self, batch: int, generation: int) -> None:
        self.cluster.declare(declared(batch, generation))
        self.answering.note("team-a/w")

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60.0):
            while not done():
                await asyncio.sleep(0.01)


def played(stage: Stage, script: Callable[[], Any]) -> None:
    async def work() -> None:
        running = asyncio.create_task(stage.answering.run())
        await script()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(work())


def test_a_change_is_answered_without_a_cycle() -> None:
    stage = Stage()

    async def script() -> None:
        stage.change(128, 2)
        assert stage.answering.elsewhere == {"team-a/w"}
        await stage.until(lambda: bool(stage.cluster.written))
        assert stage.cluster.written == [2]
        assert stage.answering.elsewhere == frozenset()
        (answer,) = stage.answers.values()
        assert answer.status.answers == 2 and answer.events == ()
        assert stage.left == 0

    played(stage, script)


def test_what_changes_while_its_answer_is_under_way_is_answered_after_it() -> None:
    stage = Stage()

    async def script() -> None:
        stage.cluster.slow.clear()
        stage.change(128, 2)
        await stage.until(lambda: stage.cluster.under_way == 1)
        stage.change(192, 3)
        stage.change(256, 4)
        await asyncio.sleep(0.1)
        stage.cluster.slow.set()
        await stage.until(lambda: stage.cluster.written[-1:] == [4])
        assert (stage.cluster.written, stage.cluster.most) == ([2, 4], 1)

    played(stage, script)


def test_news_is_judged_while_answers_are_sent_and_no_more_of_it_than_is_soon_sent() -> None:
    stage, slow, judged, under_way = Stage(), asyncio.Event(), list[str](), set[str]()
    known = stage.plan.workloads[0]

    class Quick(Answering):
        async def _answer(self, keys: list[str]) -> list[WorkloadPlan]:
            judged.extend(keys)
            return [replace(known, name=key.partition("/")[2]) for key in keys]

    class Slow(Writer):
        async def answer(self, plan: WorkloadPlan, seen: Any) -> None:
            under_way.add(plan.key)
            await slow.wait()

    old = stage.answering
    cluster = SimpleNamespace(own=lambda key: stage.cluster.own("team-a/w"))
    stage.answering = Quick(
        cast(ClusterState, cluster),
        old.past,
        Slow(cast(KubeClient, None)),
        old.plan,
        old.before,
        old.answered,
        old.left,
    )

    async def script() -> None:
        for row in range(100):
            stage.answering.note(f"team-a/w{row}")
        await stage.until(lambda: len(under_way) == MOST_SENT)
        await asyncio.sleep(0.05)
        assert (len(judged), len(under_way)) == (2 * MOST_JUDGED, MOST_SENT)
        stage.answering.note("team-a/more")
        slow.set()
        await stage.until(lambda: len(under_way) == 101)
        assert len(judged) == 101

    played(stage, script)


def test_what_only_a_cycle_can_answer_is_left_to_it() -> None:
    stage = Stage(pods=False)

    async def script() -> None:
        stage.change(128, 2)
        await stage.until(lambda: stage.left == 1)
        assert (stage.cluster.written, stage.answers, stage.answering.elsewhere) == ([], {}, frozenset())

    played(stage, script)


def test_a_defect_and_a_refusal_end_nothing() -> None:
    stage = Stage()

    async def script() -> None:
        stage.cluster.error = RuntimeError("a defect of the client")
        stage.change(128, 2)
        await stage.until(lambda: bool(stage.answers))
        stage.plan = replace(stage.plan, around=None)
        stage.change(192, 3)
        await stage.until(lambda: stage.left == 1)
        stage.cluster.error, stage.plan = None, evaluate(_of(declared(192, 3)), NOW)
        stage.change(256, 4)
        await stage.until(lambda: stage.cluster.written == [4])

    played(stage, script)


def test_readings_that_can_not_be_had_are_left_to_a_cycle_and_end_nothing() -> None:
    class Broken(Readings):
        def series(self, pods: Any, now: float, **_: Any) -> WorkloadSeries | None:
            raise ValueError("a defect of the store")

    stage = Stage()

    async def script() -> None:
        stage.answering.past = cast(Past, Broken())
        stage.change(128, 2)
        await stage.until(lambda: stage.left == 1)
        assert (stage.answers, stage.answering.elsewhere) == ({}, frozenset())
        stage.answering.past = cast(Past, Readings())
        stage.change(192, 3)
        await stage.until(lambda: stage.cluster.written == [3])

    played(stage, script)


@pytest.mark.parametrize("dry_run", [False, True])
def test_who_writes_nothing_leaves_all_to_cycles(dry_run: bool) -> None:
    async def work() -> None:
        parts = build(OperatorConfig.model_validate({"dryRun": dry_run}), cast(KubeClient, None))
        assert (parts.loop.answering is None) is dry_run

    asyncio.run(work())


def _of(view: WorkloadView) -> Snapshot:
    return Snapshot((view,), (pod(),), (node("n0"),), series={view.key: series(view, 0.45, now=NOW)})


def test_a_cycle_lets_news_pass_while_it_is_judged_and_not_for_ever_and_less_when_it_is_late() -> None:
    stage, waits = Stage(), list[float]()

    class Asked(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return True

    class Slow(Readings):
        """The thread of a cycle comes between two workloads while news is being judged, and after it."""

        def series(self, pods: Any, now: float, **given: Any) -> WorkloadSeries | None:
            stage.answering.let_pass()
            return super().series(pods, now, **given)

    async def script() -> None:
        stage.answering._done, stage.answering.past = Asked(), cast(Past, Slow())
        stage.answering.let_pass()
        assert waits == []
        stage.change(128, 2)
        await stage.until(lambda: bool(stage.cluster.written))
        assert waits == [LONGEST_PASS_SECONDS]
        stage.answering.let_pass()
        assert len(waits) == 1
        stage.answering.first = False
        stage.change(192, 3)
        await stage.until(lambda: stage.cluster.written == [2, 3])
        assert waits == [LONGEST_PASS_SECONDS, LATE_PASS_SECONDS]

    played(stage, script)


def test_before_anything_was_judged_the_first_cycle_answers() -> None:
    stage = Stage()
    stage.answering.plan = lambda: None
    stage.change(128, 2)
    assert stage.answering.elsewhere == frozenset()


def test_a_plan_takes_answers_in_the_place_of_what_it_said() -> None:
    stage = Stage()
    before: Plan = stage.plan
    other = replace(before.workloads[0], gpus=5)
    assert before.with_answers({}) is before
    assert before.with_answers({other.uid: other}).workloads == (other,)
    assert before.with_answers({"gone": other}).workloads == before.workloads
