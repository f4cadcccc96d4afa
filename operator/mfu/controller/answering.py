"""News first: a declaration that changed is judged alone and its status leaves at once, beside the cycle of all."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from mfu.cluster.state import ClusterState, Past, seen, series_of
from mfu.cluster.writer import Writer
from mfu.controller.line import Line
from mfu.decide.policy import DEFAULT
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.redeclared import rejudged
from mfu.engine.workload import Asked

log = logging.getLogger(__name__)

MOST_JUDGED: Final = 16
"""At a stretch, some hundredths of a second's work: what comes meanwhile is in the next handful."""
MOST_SENT: Final = 8
"""Statuses under way at once: more only wait in the API server instead of here."""
LONGEST_PASS_SECONDS: Final = 0.02
"""At most so long a cycle waits for news between two workloads, some five times of what one takes it: news without end
slows a cycle down and does not stop it."""
LATE_PASS_SECONDS: Final = 0.004
"""The same where the cycle is late itself: as long as one workload takes, so that each gets its part."""


@dataclass(slots=True)
class Answering:
    """`run` never ends. What it can not answer is left to the next cycle, which sees the change as well."""

    state: ClusterState
    past: Past
    writer: Writer
    plan: Callable[[], Plan | None]
    """The newest."""
    before: Callable[[str], WorkloadPlan | None]
    """What was planned last for a uid, by a cycle or here."""
    answered: Callable[[Mapping[str, WorkloadPlan]], None]
    """Takes what was answered, by uid; its events are told already."""
    left: Callable[[], None]
    """Called where something was left to the next cycle."""
    first: bool = True
    """Does news go before the cycle? Else side by side with it, where it is late itself."""
    _waiting: Line = field(default_factory=Line)
    _judging: set[str] = field(default_factory=set)
    _sending: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _done: threading.Event = field(default_factory=threading.Event)
    """Set while no news is judged."""
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_SENT))

    def note(self, key: str) -> None:
        """A workload says something new. Before anything was judged that is the first cycle's work."""
        if self.plan() is not None:
            self._waiting.add(key, time.monotonic())
            self._wake.set()

    @property
    def elsewhere(self) -> frozenset[str]:
        """Keys that a cycle need not judge."""
        return frozenset([*self._waiting, *self._judging])

    def let_pass(self) -> None:
        """For the thread of a cycle, between two workloads: two threads that judge take twice as long each."""
        if self._judging:
            self._done.wait(LONGEST_PASS_SECONDS if self.first else LATE_PASS_SECONDS)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                # Judged while others are sent, which is the API server's work; but no more than is sent soon.
                room = len(self._sending) <= MOST_JUDGED
                keys = self._waiting.take(MOST_JUDGED if room else 0, self._sending.__contains__)
                if not keys:
                    continue
                self._wake.set()
                for plan in await self._guarded(keys):
                    self._sending.add(plan.key)
                    group.create_task(self._sent(plan))

    async def _guarded(self, keys: list[str]) -> list[WorkloadPlan]:
        try:
            return await self._answer(keys)
        except Exception:
            # As with a cycle: what one brings to light must not silence the others, which the next cycle answers.
            log.exception("news can not be answered")
            self.left()
            return []

    async def _answer(self, keys: list[str]) -> list[WorkloadPlan]:
        plan, now = self.plan(), time.time()
        if plan is None:
            return []
        self._judging.update(keys)
        self._done.clear()
        try:
            asked = [found for key in keys if (found := self._asked(key, plan, now))]
            made = await asyncio.to_thread(_judged, asked, plan, now)
        finally:
            self._judging.clear()
            self._done.set()
        self.writer.tell_of(made, self.state.workloads.objects)
        self.answered({each.uid: each.told for each in made})
        if len(made) < len(keys):
            self.left()
        return made

    def _asked(self, key: str, plan: Plan, now: float) -> Asked | None:
        """With the pods that it had when it was judged last: of others a cycle will know."""
        view = self.state.own(key)
        before = self.before(view.uid) if view is not None else None
        if view is None or before is None or before.judged is None:
            return None
        pods = before.judged[1]
        policy = plan.governing.get(view.namespace, DEFAULT)
        return Asked(view, pods, series_of(self.past, pods, now), policy, before=before)

    async def _sent(self, plan: WorkloadPlan) -> None:
        """What does not arrive is sent by the rounds of writing, as all that differs."""
        try:
            async with self._free:
                view = self.state.own(plan.key)
                if view is not None and view.uid == plan.uid:
                    await self.writer.answer(plan, seen(view))
        except Exception:
            # As with rounds of writing: one object that can not be written must not silence the others.
            log.exception("answer to workload=%s failed", plan.key)
        finally:
            self._sending.discard(plan.key)
            self._wake.set()


def _judged(asked: Iterable[Asked], plan: Plan, now: float) -> list[WorkloadPlan]:
    made = []
    for each in asked:
        with suppress(Exception):
            # A cycle meets the same defect, and says so on the workload and in the log.
            if plan.around is not None and (found := rejudged(each, plan.around.at(now))):
                made.append(found)
    return made
