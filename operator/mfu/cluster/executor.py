"""Plan → what is done to the cluster: gates that open, idle owners that are suspended; again until it is seen."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Final, TypeVar

from mfu.act.checks import CheckAnswer
from mfu.act.costs import PodMark
from mfu.act.queue_gates import QueueRelease
from mfu.act.slowing import SlowOrder
from mfu.act.templates import TemplateHint
from mfu.act.types import Release, Rescale, Suspension
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.kueue_check import Answered, activate, answer
from mfu.cluster.marking import Marked, mark
from mfu.cluster.pacing import Attempts
from mfu.cluster.queue_gate import Ungated, ungate
from mfu.cluster.release import Hint, Opened, release
from mfu.cluster.reshaping import Reshaper
from mfu.cluster.resources import JSON, PODS, runs_pods
from mfu.cluster.scaling import Scaled, scale
from mfu.cluster.slowing import Slowed, slow
from mfu.cluster.suspending import Suspended, suspend
from mfu.cluster.templating import Templated, tell
from mfu.decide.types import NodeView
from mfu.engine.plan import Event, Plan

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 20
RESULTS: Final = (*(str(each) for each in Opened), "Failed")

ANSWERS: Final = (*(str(each) for each in Answered), "Failed")
ACTIVATED_SECONDS: Final = 10.0
"""Between two looks whether our AdmissionCheck still says Active."""
MARKS: Final = (*(str(each) for each in Marked), "Failed")
UNGATES: Final = (*(str(each) for each in Ungated), "Failed")
SLOWED: Final = (*(str(each) for each in Slowed), "Failed")
HINTS: Final = (*(str(each) for each in Templated), "Failed")
SUSPENSIONS: Final = (*(str(each) for each in Suspended), "Failed")
RESCALES: Final = (*(str(each) for each in Scaled), "Failed")
HELD_BACK: Final = "HeldBack"
Done = TypeVar("Done", bound=str)

Note = Callable[[JSON, str, Event], None]
"""Keeps an event about an object for the next round of writing: (regarding, namespace, event)."""


@dataclass(slots=True)
class Executor:
    """`apply(plan)` opens gates and suspends owners. It knows nothing between calls but what failed or was just done.

    Each object is read again before it is patched; what fails waits 5, 10, 20 … seconds. What is still behind its gate
    at the deadline is the release keeper's.
    """

    client: KubeClient
    nodes: Callable[[], Mapping[str, NodeView]]
    note: Note
    may_write: Callable[[], bool] = lambda: True
    counts: Counter[str] = field(default_factory=Counter)
    """Pods by what became of their gate (RESULTS), since start."""
    check: str = ""
    """Name of Kueue's AdmissionCheck that we answer; empty answers none."""
    answered: Counter[str] = field(default_factory=Counter)
    """Kueue's questions by what became of the answer (ANSWERS), since start."""
    marked: Counter[str] = field(default_factory=Counter)
    """Pods by what became of their deletion cost (MARKS), since start."""
    hinted: Counter[str] = field(default_factory=Counter)
    """Held owners by what became of a hint in their template (HINTS), since start."""
    ungated: Counter[str] = field(default_factory=Counter)
    """Owners by what became of taking our name off Kueue's gate (UNGATES), since start."""
    slowed: Counter[str] = field(default_factory=Counter)
    """Nodes by what became of their soft taint (SLOWED), since start."""
    suspended: Counter[str] = field(default_factory=Counter)
    """Owners by what became of suspending them (SUSPENSIONS), since start."""
    reshaper: Reshaper | None = None
    """None where this operator re-shapes no node."""
    scaled: Counter[str] = field(default_factory=Counter)
    """Owners by what became of scaling them (RESCALES), since start."""
    _attempts: Attempts = field(default_factory=Attempts)
    _activated_at: float = -inf

    async def apply(self, plan: Plan) -> None:
        now, gate = asyncio.get_running_loop().time(), asyncio.Semaphore(IN_FLIGHT)
        releases = [each for each in plan.releases if not self._attempts.held_back(each.key, _digest(each), now)]
        owners = [each for each in plan.suspensions if not self._attempts.held_back(each.key, each.words, now)]
        sizes = [each for each in plan.rescales if not self._attempts.held_back(each.key, each.words, now)]
        marks = [each for each in plan.marks if not self._attempts.held_back(each.key, str(each.cost), now)]
        hints = [each for each in plan.hints if not self._attempts.held_back(*_told(each), now)]
        queued = [each for each in plan.queue_releases if not self._attempts.held_back(each.key, each.words, now)]
        slow = [each for each in plan.slowed if not self._attempts.held_back(each.key, each.digest, now)]
        asked = [each for each in plan.answers if not self._attempts.held_back(*_of(each), now)]
        await asyncio.gather(
            *(self._open(each, gate) for each in releases),
            *(self._suspend(each, gate) for each in owners),
            *(self._scale(each, gate) for each in sizes),
            *(self._answer(each, gate) for each in asked),
            *(self._hint(each, gate) for each in hints),
            *(self._ungate(each, gate) for each in queued),
            *(self._slow(each, gate) for each in slow),
            *(self._mark(each, gate) for each in marks),
        )
        if self.reshaper is not None:
            await self.reshaper.step(plan.layouts)
        if self.check and now - self._activated_at >= ACTIVATED_SECONDS:
            await self._activate(now)
        self._attempts.forget(now)

    async def _activate(self, now: float) -> None:
        """A queue that lists a check which nobody calls Active stands still, with everybody in it."""
        if not self.may_write():
            return
        try:
            there = await activate(self.client, self.check)
        except (ApiError, ServerUnreachable) as error:
            log.warning("check=%s error=%s", self.check, error)
            return
        self._activated_at = now
        if not there:
            log.warning("check=%s: no AdmissionCheck of that name has our controller name", self.check)

    async def _answer(self, due: CheckAnswer, gate: asyncio.Semaphore) -> None:
        done = await self._tried(*_of(due), gate, lambda: answer(self.client, due, may_write=self.may_write))
        self.answered[done or "Failed"] += 1
        if done is Answered.ANSWERED:
            asked = due.question
            log.info("answer workload=%s/%s state=%s: %s", asked.namespace, asked.workload, due.state, due.message)

    async def _open(self, due: Release, gate: asyncio.Semaphore) -> None:
        opened = await self._tried(due.key, _digest(due), gate, lambda: self._release(due))
        self.counts[opened or "Failed"] += 1
        if opened is Opened.RELEASED:
            log.info("release pod=%s/%s workload=%s: %s", due.namespace, due.pod, due.workload, due.words)
            self.note(_regarding(due), due.namespace, Event("Normal", "GateOpened", due.words))

    async def _suspend(self, due: Suspension, gate: asyncio.Semaphore) -> None:
        done = await self._tried(due.key, due.words, gate, lambda: suspend(self.client, due, may_write=self.may_write))
        self.suspended[done or "Failed"] += 1
        if done is Suspended.SUSPENDED:
            log.info("suspend owner=%s workload=%s: %s", due.key, due.workload, due.words)

    async def _scale(self, due: Rescale, gate: asyncio.Semaphore) -> None:
        done = await self._tried(due.key, due.words, gate, lambda: scale(self.client, due, may_write=self.may_write))
        self.scaled[done or "Failed"] += 1
        if done is Scaled.SCALED:
            log.info("scale owner=%s workload=%s: %s", due.key, due.workload, due.words)
        elif done is Scaled.AUTOSCALED:
            log.warning("scale owner=%s workload=%s left to the autoscaler that targets it", due.key, due.workload)

    async def _mark(self, due: PodMark, gate: asyncio.Semaphore) -> None:
        deed = partial(mark, self.client, due, may_write=self.may_write)
        done = await self._tried(due.key, str(due.cost), gate, deed)
        self.marked[done or "Failed"] += 1
        if done in (Marked.MARKED, Marked.UNMARKED):
            log.info("mark pod=%s/%s workload=%s: %s", due.namespace, due.pod, due.workload, due.words)

    async def _hint(self, due: TemplateHint, gate: asyncio.Semaphore) -> None:
        done = await self._tried(*_told(due), gate, lambda: tell(self.client, due, may_write=self.may_write))
        self.hinted[done or "Failed"] += 1
        if done is Templated.WRITTEN:
            log.info("hint owner=%s workload=%s: %s", due.key, due.workload, due.words)

    async def _ungate(self, due: QueueRelease, gate: asyncio.Semaphore) -> None:
        path = runs_pods(due.kind)
        deed = partial(ungate, self.client, path, due.namespace, due.name, uid=due.uid, may_write=self.may_write)
        done = await self._tried(due.key, due.words, gate, deed)
        self.ungated[done or "Failed"] += 1
        if done is Ungated.UNGATED:
            log.info("ungate owner=%s workload=%s: %s", due.key, due.workload, due.words)
            named = {"namespace": due.namespace, "name": due.name, "uid": due.uid}
            regarding = {"apiVersion": path.api_version, "kind": path.kind, **named}
            self.note(regarding, due.namespace, Event("Normal", "GateOpened", due.words))

    async def _slow(self, due: SlowOrder, gate: asyncio.Semaphore) -> None:
        done = await self._tried(due.key, due.digest, gate, lambda: slow(self.client, due, may_write=self.may_write))
        self.slowed[done or "Failed"] += 1
        if done in (Slowed.TAINTED, Slowed.GIVEN_BACK):
            log.info("slow node=%s result=%s: %s", due.node, done, due.words)

    async def _tried(
        self, key: str, digest: str, gate: asyncio.Semaphore, deed: Callable[[], Awaitable[Done]]
    ) -> Done | None:
        """What became of it; None where it failed. It is tried again later, ever more rarely."""
        clock = asyncio.get_running_loop().time
        async with gate:
            try:
                # Each deed asks once more before it writes.
                done = await deed()
            except (ApiError, ServerUnreachable) as error:
                wait = self._attempts.failed(key, digest, clock())
                log.warning("act on=%s retry_in=%.0fs error=%s", key, wait, error)
                return None
        if done != HELD_BACK:
            self._attempts.succeeded(key, digest, clock())
        return done

    async def _release(self, due: Release) -> Opened:
        hint = None
        if due.affinity is not None:
            nodes = tuple(self.nodes().values())
            hint = Hint(dict(due.affinity), due.words, nodes, due.rank_order)
        return await release(self.client, due.namespace, due.pod, uid=due.uid, hint=hint, may_write=self.may_write)


def _of(due: CheckAnswer) -> tuple[str, str]:
    """Key and digest of the attempt: a question that is asked anew is another one."""
    return f"check/{due.question.key}", json.dumps([due.question.version, due.entry], sort_keys=True)


def _told(due: TemplateHint) -> tuple[str, str]:
    return due.key, json.dumps(due.change, sort_keys=True)


def _digest(due: Release) -> str:
    return json.dumps([due.words, due.affinity], sort_keys=True)


def _regarding(due: Release) -> JSON:
    named = {"namespace": due.namespace, "name": due.pod, "uid": due.uid}
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, **named}
