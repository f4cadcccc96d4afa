"""The loop: wait for something new, take a snapshot, evaluate, write what changed, report. Level-triggered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from mfu.cluster.executor import ANSWERS, HINTS, MARKS, RESCALES, RESULTS, SLOWED, SUSPENSIONS, UNGATES, Executor
from mfu.cluster.reshaping import RESHAPES
from mfu.cluster.state import ClusterState, Past
from mfu.cluster.writer import Writer
from mfu.controller.answering import Answering
from mfu.controller.config import Cycle
from mfu.controller.interpreter import calm
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.due import WHOLE_SECONDS
from mfu.engine.evaluate import evaluate
from mfu.engine.history.calibration import restored
from mfu.engine.plan import Handover, Plan, WorkloadPlan
from mfu.engine.snapshot import Snapshot
from mfu.memo import forget_unasked, memos
from mfu.predict.types import Corrections

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 2.0
"""Between two tries of what the plan wants open, where no new plan comes."""
FORGET_SECONDS: Final = WHOLE_SECONDS
"""Within it a workload that stands still is judged whole again: what nobody asked for in that time, nobody will."""
RESTS: Final = 3.0
"""Times as long as a cycle took the next one is put off, where nobody is behind and nobody waits: in a large fleet each
looks at ten thousand, and declarations that change are answered beside them."""
LONGEST_REST_SECONDS: Final = 1.0
ROUND_SECONDS: Final = 1.0
"""A round of writing is not given up sooner for a newer plan: to find what differs takes its time in a large fleet."""
LEASE_SECONDS: Final = 1.0
"""Between two looks whether we may write again."""
PATIENT_SECONDS: Final = 50.0
"""News goes before the cycle until the oldest judgement has this age: none should be older than a minute."""
WRITE_RESULTS: Final = (
    "written", "failed", "conflicts", "suppressed", "events", "deferred", "skipped", "events_lost"
)  # fmt: skip


class Trigger:
    """Turns a stream of changes into batches: `idle` seconds of quiet, or `longest` after the first change.

    What was asked to `hurry` waits for `idle` at most, however much else changes.
    """

    def __init__(self, *, idle: float, longest: float, resync: float) -> None:
        self._idle, self._longest, self._resync = idle, longest, resync
        self._dirty, self._hurried = asyncio.Event(), asyncio.Event()
        self._hurried_at: float | None = None

    def mark(self) -> None:
        self._dirty.set()

    def hurry(self) -> None:
        """Somebody waits for the answer, as a pod behind our gate does."""
        if self._hurried_at is None:
            self._hurried_at = asyncio.get_running_loop().time()
        self._hurried.set()
        self._dirty.set()

    async def rest(self, seconds: float) -> None:
        """So long, unless somebody waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def wait(self) -> None:
        """Returns when it is time for a cycle; at the latest after `resync` seconds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._resync):
                await self._dirty.wait()
        except TimeoutError:
            return
        began = loop.time()
        while (left := self._until(began) - loop.time()) > 0:
            self._dirty.clear()
            try:
                async with asyncio.timeout(min(self._idle, left)):
                    await self._dirty.wait()
            except TimeoutError:
                break
        else:
            self._dirty.clear()
        self._hurried_at = None
        self._hurried.clear()

    def _until(self, began: float) -> float:
        """When it is time at the latest, by the loop's clock."""
        longest = began + self._longest
        return longest if self._hurried_at is None else min(longest, self._hurried_at + self._idle)


@dataclass(slots=True)
class Loop:
    """`run` never ends; an error in one cycle is counted and the next one starts afresh."""

    state: ClusterState
    past: Past
    writer: Writer
    metrics: OperatorMetrics
    settings: Cycle
    trigger: Trigger
    ready: Callable[[], bool] = lambda: True
    """False while telemetry warms up: a start must not unsay what is known."""
    dry_run: bool = False
    executor: Executor | None = None
    """None where no action is switched on."""
    answering: Answering | None = None
    """Answers to declarations that change, beside the cycles; None where those are only read."""
    plan: Plan | None = None
    snapshot: Snapshot | None = None
    corrections: Corrections | None = None
    """None until the FleetReport of a former operator has been read."""
    before: Handover = field(default_factory=Handover)
    finished_at: float | None = None
    alive_at: float | None = None
    behind: int = 0
    """Workloads that wait to be judged anew: while there are any, the next cycle follows at once."""
    _answered: dict[str, WorkloadPlan] = field(default_factory=dict)
    """What was answered beside the cycles since the last one began, by uid."""
    _forgot_at: float | None = None
    _planned: asyncio.Event = field(default_factory=asyncio.Event)
    _decided: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Judge and write for ever, side by side: a slow API server delays what is said, never what is known."""
        await self.state.wait_synced()
        log.info("informers synced objects=%d", sum(len(each.objects) for each in self.state.informers))
        calm()
        while not self.ready():
            self.beat()
            await asyncio.sleep(0.2)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._judging(), name="judging")
            if not self.dry_run:
                group.create_task(self._writing(), name="writing")
            if not self.dry_run and self.answering is not None:
                group.create_task(self.answering.run(), name="answering")
            if not self.dry_run and self.executor is not None:
                group.create_task(self._acting(self.executor), name="acting")

    def beat(self) -> None:
        """The process is alive and at work, whether or not it has anything to say yet."""
        self.alive_at = asyncio.get_running_loop().time()

    async def _judging(self) -> None:
        while True:
            self.beat()
            began = asyncio.get_running_loop().time()
            await self._guarded()
            self.beat()
            ended = asyncio.get_running_loop().time()
            self._forget(ended)
            if not self.behind:
                await self.trigger.rest(min(LONGEST_REST_SECONDS, RESTS * (ended - began)))
                await self.trigger.wait()

    def _forget(self, now: float) -> None:
        """What was worked out for declarations that are no more."""
        if self._forgot_at is not None and now - self._forgot_at < FORGET_SECONDS:
            return
        self._forgot_at = now
        forget_unasked()

    async def _writing(self) -> None:
        """Rounds of writing, each with the newest plan; the next follows at once while something was left over."""
        while True:
            await self._planned.wait()
            self._planned.clear()
            plan, skipped = self.plan, self.writer.counts.skipped
            if plan is None:
                continue
            over = partial(self._round_is_over, asyncio.get_running_loop().time() + ROUND_SECONDS)
            try:
                with self.metrics.cycle_seconds.labels("write").time():
                    await self.writer.apply(plan, self.state.current(), self.state.report, superseded=over)
            except Exception:
                # As with judging: one object that can not be written must not silence the others.
                self.metrics.cycles.labels("write_error").inc()
                log.exception("writing failed")
                await asyncio.sleep(1.0)
            if self.writer.counts.skipped > skipped:
                # Without a fresh lease nothing helps but to wait for it; what was skipped is written then.
                await asyncio.sleep(LEASE_SECONDS)
                self._planned.set()
            if self.writer.counts.deferred:
                self._planned.set()
            self._report_writes()

    def _round_is_over(self, not_before: float) -> bool:
        """There is a newer plan, and the round did not just begin."""
        return self._planned.is_set() and asyncio.get_running_loop().time() >= not_before

    async def _acting(self, executor: Executor) -> None:
        """Beside writing, so that a pod behind its gate does not wait for statuses; again where something failed."""
        while True:
            self._decided.clear()
            try:
                if self.plan is not None:
                    await executor.apply(self.plan)
            except Exception:
                # As with writing: one pod that can not be released must not hold up the others.
                self.metrics.cycles.labels("act_error").inc()
                log.exception("acting failed")
            self._report_acts(executor)
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_SECONDS):
                    await self._decided.wait()

    def _report_acts(self, executor: Executor) -> None:
        metrics, reshaper = self.metrics, executor.reshaper
        for gauge, results, counts in (
            (metrics.releases, RESULTS, executor.counts),
            (metrics.answers, ANSWERS, executor.answered),
            (metrics.marks, MARKS, executor.marked),
            (metrics.hints, HINTS, executor.hinted),
            (metrics.queue_gates, UNGATES, executor.ungated),
            (metrics.slow_nodes, SLOWED, executor.slowed),
            (metrics.suspensions, SUSPENSIONS, executor.suspended),
            (metrics.reshapes, RESHAPES, reshaper.counts if reshaper else Counter()),
            (metrics.rescales, RESCALES, executor.scaled),
        ):
            for result in results:
                gauge.labels(result).set(counts[result])

    async def _guarded(self) -> None:
        try:
            await self.cycle(time.time())
            self.metrics.cycles.labels("ok").inc()
        except Exception:
            # The single guard: one bad object must not stop the decisions about all others.
            self.metrics.cycles.labels("error").inc()
            log.exception("cycle failed")

    async def cycle(self, now: float) -> Plan:
        """1 snapshot, 2 evaluate, 3 hand over to writing, 4 report; the first two are timed."""
        with self.metrics.cycle_seconds.labels("snapshot").time():
            if self.corrections is None:
                self.corrections = restored(self.state.report.read().calibration)
            answering = self.answering
            elsewhere = answering.elsewhere if answering else frozenset()
            snapshot = self.state.snapshot(self.past, self.corrections, now, self._handed(), elsewhere)
        with self.metrics.cycle_seconds.labels("evaluate").time():
            between = [answering.let_pass] if answering else []
            plan = (await asyncio.to_thread(evaluate, snapshot, now, *between)).with_answers(self._answered)
        # Before writing: a write that fails badly must not make the next cycle tell its events again.
        self.plan, self.snapshot = plan, snapshot
        self.corrections, self.before = plan.corrections, plan.handover
        if not self.dry_run:
            self.writer.tell(plan, self.state.workloads.objects)
            self._planned.set()
            self._decided.set()
        self.finished_at = asyncio.get_running_loop().time()
        self._report(plan)
        self._go_on(plan, now)
        return plan

    def _handed(self) -> Handover:
        """What the last cycle handed on, with what was answered since."""
        if self._answered:
            self.before = replace(self.before, plans={**self.before.plans, **self._answered})
            self._answered = {}
        return self.before

    def last_of(self, uid: str) -> WorkloadPlan | None:
        """What was planned last for a workload."""
        return self._answered.get(uid) or self.before.plans.get(uid)

    def take(self, answered: Mapping[str, WorkloadPlan]) -> None:
        """Plans of workloads that were answered beside the cycles, by uid."""
        self._answered |= answered
        if self.plan is not None:
            self.plan = self.plan.with_answers(answered)

    def _go_on(self, plan: Plan, now: float) -> None:
        """Is there work left that a cycle leaves to the next?"""
        self.behind = self.snapshot.behind if self.snapshot else 0
        self.metrics.behind.set(self.behind)
        if self.answering is not None:
            judged = (each.judged_at for each in plan.workloads if each.judged_at is not None)
            self.answering.first = now - min(judged, default=now) < PATIENT_SECONDS
        for each in plan.workloads:
            if each.error and each.judged_at == now:
                log.error("workload=%s can not be judged: %s", each.key, each.error)

    def _report_writes(self) -> None:
        counts = self.writer.counts
        for result in WRITE_RESULTS:
            self.metrics.writes.labels(result).set(getattr(counts, result))

    def _report(self, plan: Plan) -> None:
        now = asyncio.get_running_loop().time()
        for informer in self.state.informers:
            kind = informer.resource.plural
            self.metrics.objects.labels(kind).set(len(informer.objects))
            self.metrics.relists.labels(kind).set(informer.relists)
            if informer.last_contact is not None:
                self.metrics.contact_age.labels(kind).set(now - informer.last_contact)
        self.metrics.answers_kept.set(sum(len(each) for each in memos()))
        counts = self.writer.counts
        log.info("cycle workloads=%d written=%d failed=%d", len(plan.workloads), counts.written, counts.failed)
