"""The loop: wait for something new, take a snapshot, evaluate, write what changed, report. Level-triggered."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mfu.cluster.state import ClusterState, Past
from mfu.cluster.writer import Writer
from mfu.controller.config import Cycle
from mfu.controller.metrics import OperatorMetrics
from mfu.engine.evaluate import evaluate
from mfu.engine.history.calibration import restored
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import Snapshot
from mfu.predict.types import Corrections

log = logging.getLogger(__name__)

ROUND_SECONDS: Final = 120.0
"""A fleet too large for one cycle is judged whole within this time, as far as the core allows."""


class Trigger:
    """Turns a stream of changes into batches: `idle` seconds of quiet, or `longest` after the first change."""

    def __init__(self, *, idle: float, longest: float, resync: float) -> None:
        self._idle, self._longest, self._resync = idle, longest, resync
        self._dirty = asyncio.Event()

    def mark(self) -> None:
        self._dirty.set()

    async def wait(self) -> None:
        """Returns when it is time for a cycle; at the latest after `resync` seconds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._resync):
                await self._dirty.wait()
        except TimeoutError:
            return
        deadline = loop.time() + self._longest
        while (left := deadline - loop.time()) > 0:
            self._dirty.clear()
            try:
                async with asyncio.timeout(min(self._idle, left)):
                    await self._dirty.wait()
            except TimeoutError:
                return
        self._dirty.clear()


def calm() -> None:
    """What has been built stays: the garbage collector need not walk through it for ever, and less often at all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


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
    plan: Plan | None = None
    snapshot: Snapshot | None = None
    corrections: Corrections | None = None
    """None until the FleetReport of a former operator has been read."""
    before: Handover = field(default_factory=Handover)
    finished_at: float | None = None

    async def run(self) -> None:
        await self.state.wait_synced()
        log.info("informers synced objects=%d", sum(len(each.objects) for each in self.state.informers))
        calm()
        while not self.ready():
            await asyncio.sleep(0.2)
        while True:
            await self._guarded()
            await self.trigger.wait()

    async def _guarded(self) -> None:
        try:
            await self.cycle(time.time())
            self.metrics.cycles.labels("ok").inc()
        except Exception:
            # The single guard: one bad object must not stop the decisions about all others.
            self.metrics.cycles.labels("error").inc()
            log.exception("cycle failed")

    async def cycle(self, now: float) -> Plan:
        """1 snapshot, 2 evaluate, 3 write the difference, 4 report; each timed."""
        with self.metrics.cycle_seconds.labels("snapshot").time():
            if self.corrections is None:
                self.corrections = restored(self.state.report.read().calibration)
            snapshot = self.state.snapshot(self.past, self.corrections, now, self.before)
        with self.metrics.cycle_seconds.labels("evaluate").time():
            plan = await asyncio.to_thread(evaluate, snapshot, now)
        # Before writing: a write that fails badly must not make the next cycle tell its events again.
        self.plan, self.snapshot = plan, snapshot
        self.corrections, self.before = plan.corrections, plan.handover
        if not self.dry_run:
            with self.metrics.cycle_seconds.labels("write").time():
                await self.writer.apply(plan, self.state.current(), snapshot.report)
        self.finished_at = asyncio.get_running_loop().time()
        self._report(plan)
        self._go_on(plan, now)
        return plan

    def _go_on(self, plan: Plan, now: float) -> None:
        """Is there work left that a cycle leaves to the next?"""
        behind = self.state.waiting(self.before, now - ROUND_SECONDS)
        self.metrics.behind.set(behind)
        if behind or (self.writer.counts.deferred and not self.dry_run):
            self.trigger.mark()
        for each in plan.workloads:
            if each.error and each.judged_at == now:
                log.error("workload=%s can not be judged: %s", each.key, each.error)

    def _report(self, plan: Plan) -> None:
        counts = self.writer.counts
        for result in ("written", "failed", "conflicts", "suppressed", "events", "deferred"):
            self.metrics.writes.labels(result).set(getattr(counts, result))
        now = asyncio.get_running_loop().time()
        for informer in self.state.informers:
            kind = informer.resource.plural
            self.metrics.objects.labels(kind).set(len(informer.objects))
            self.metrics.relists.labels(kind).set(informer.relists)
            if informer.last_contact is not None:
                self.metrics.contact_age.labels(kind).set(now - informer.last_contact)
        log.info("cycle workloads=%d written=%d failed=%d", len(plan.workloads), counts.written, counts.failed)
