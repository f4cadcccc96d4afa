"""Plan → API server: only what changed, news first, bounded in flight and in rate, fair to namespaces."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from mfu.api.fleetreport import FleetStatus
from mfu.api.names import FIELD_MANAGER
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.pacing import ECHO_SECONDS, Attempts, Pace
from mfu.cluster.resources import EVENTS, FLEETREPORTS, JSON, MFUPOLICIES, MODELWORKLOADS
from mfu.cluster.shards import ALL_NAMESPACES, OwnNamespaces
from mfu.cluster.undeclared import UndeclaredFields
from mfu.cluster.writes import Differs, Seen, Write, body_of, wanted
from mfu.engine.packed import Packed
from mfu.engine.plan import Event, Plan, PolicyPlan, WorkloadPlan
from mfu.engine.say.hysteresis import Novelty, novelty

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 20
WRITES_PER_SECOND: Final = 200.0
WRITES_PER_ROUND: Final = 400
"""Two seconds' worth: the rest waits for the next round, which knows more by then and begins with the news."""
FEW: Final = 3
"""In flight while there is news, which goes beside them: what is under way already keeps it waiting."""
HURRIED_SECONDS: Final = 1.0
"""So long after the last news there may be more."""
YIELD_SECONDS: Final = 0.25
"""At most so long each other write lets news go first."""
EVENTS_PER_ROUND: Final = 50
MOST_EVENTS_KEPT: Final = 1000
CLUSTER_EVENTS_NAMESPACE: Final = "default"
"""Where events about cluster-scoped objects stand."""


@dataclass(slots=True)
class WriteCounts:
    written: int = 0
    failed: int = 0
    conflicts: int = 0
    """Objects that had changed since they were seen."""
    suppressed: int = 0
    events: int = 0
    deferred: int = 0
    """Left to the next round, at the last one."""
    skipped: int = 0
    """Not made because we may not write: the lease is not ours, or not surely."""
    events_lost: int = 0
    """Events that waited for the lease and were too many."""


@dataclass(slots=True)
class Writer:
    """`apply(plan, current)` writes the difference between the plan and what informers last saw."""

    client: KubeClient
    may_write: Callable[[], bool] = lambda: True
    counts: WriteCounts = field(default_factory=WriteCounts)
    per_second: float = WRITES_PER_SECOND
    per_round: int = WRITES_PER_ROUND
    own: OwnNamespaces = ALL_NAMESPACES
    _attempts: Attempts = field(default_factory=Attempts)
    _pace: Pace | None = None
    _echoes: dict[str, _Echo] = field(default_factory=dict)
    _events: deque[tuple[JSON, str]] = field(default_factory=deque)
    _undeclared: UndeclaredFields = field(default_factory=UndeclaredFields)
    _ahead: set[str] = field(default_factory=set)
    """Objects of which an answer to news is under way."""
    _clear: asyncio.Event = field(default_factory=asyncio.Event)
    _hurried_until: float = -inf

    async def apply(
        self,
        plan: Plan,
        current: Mapping[str, Mapping[str, Any]],
        report: Packed[FleetStatus],
        *,
        superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """`current` maps "namespace/name" of workloads and "policy/name" to what the cluster holds now.

        Once `superseded`, nothing more is begun: a newer plan has its own order, with news first.
        """
        self.counts.deferred = 0
        due = self._due(wanted(plan, current, report, self.own))
        pace = self._pace = self._pace or Pace(self.per_second)
        # Answers that nobody has yet first, all of them: what else is to be said of the same objects can wait.
        await self._write_all([each for each in due if each.urgent], pace, superseded)
        await self._write_all([each for each in due if not each.urgent], pace, superseded)
        await self._emit_some(asyncio.Semaphore(FEW if self._hurried else IN_FLIGHT), pace)

    async def _write_all(self, due: Iterable[Write], pace: Pace, superseded: Callable[[], bool]) -> None:
        """Each object's one after the other, those of many objects side by side; what is left is counted."""
        by_object: dict[str, list[Write]] = defaultdict(list)
        for each in due:
            by_object[each.object_key].append(each)
        left = iter(by_object.values())

        async def work(rank: int) -> None:
            for each in left:
                await self._give_way()
                await self._write_in_turn(each, pace)
                if superseded() or (rank >= FEW and self._hurried):
                    break

        await asyncio.gather(*(work(rank) for rank in range(FEW if self._hurried else IN_FLIGHT)))
        self.counts.deferred += sum(len(each) for each in left)

    async def answer(self, plan: WorkloadPlan, seen: Seen) -> None:
        """The status of one workload at once, before everything that rounds send; they yield to it for a moment."""
        write, loop = Differs(plan, seen, True, urgent=True, whichever=True).write(), asyncio.get_running_loop()
        if seen["status"] == plan.status or self._said(write) or self._held_back(write, loop.time()):
            return
        self._pace = self._pace or Pace(self.per_second)
        self._ahead.add(write.object_key)
        self._clear.clear()
        try:
            await self._send(write, self._pace)
        finally:
            self._ahead.discard(write.object_key)
            self._hurried_until = loop.time() + HURRIED_SECONDS
            if not self._ahead:
                self._clear.set()

    def tell(self, plan: Plan, known: Container[str]) -> None:
        """Keep the plan's events for the next round; a lease that is away does not lose them.

        `known` are the keys of workloads that there are: nothing is told of one that went meanwhile.
        """
        self.tell_of(plan.workloads, known)
        told = [(_fleet_event_body(event, self.own.report), CLUSTER_EVENTS_NAMESPACE) for event in plan.events]
        governing = ((each, event) for each in plan.policies for event in each.events if self.own.whole_cluster)
        told += [(_policy_event_body(each, event), CLUSTER_EVENTS_NAMESPACE) for each, event in governing]
        self._keep(told)

    def tell_of(self, plans: Iterable[WorkloadPlan], known: Container[str]) -> None:
        """The same of workloads alone."""
        there = (each for each in plans if each.events and each.key in known)
        self._keep([(_event_body(each, event), each.namespace) for each in there for event in each.events])

    def _keep(self, told: Iterable[tuple[JSON, str]]) -> None:
        self._events.extend(told)
        while len(self._events) > MOST_EVENTS_KEPT:
            self._events.popleft()
            self.counts.events_lost += 1

    def note(self, regarding: JSON, namespace: str, event: Event) -> None:
        """Keep an event about any object for the next round."""
        self._keep([(_event(event, regarding, namespace), namespace)])

    def _due(self, wanted: Sequence[Callable[[], Write]]) -> list[Write]:
        """As many as a round may send of those whose time has come; it is counted how many are left for the next."""
        now = asyncio.get_running_loop().time()
        self._echoes = {key: echo for key, echo in self._echoes.items() if now < echo.until}
        self._attempts.forget(now)
        due: list[Write] = []
        for place, made in enumerate(wanted):
            if len(due) == self.per_round:
                self.counts.deferred = len(wanted) - place
                break
            write = made()
            if write.object_key in self._ahead or self._said(write) or self._held_back(write, now):
                self.counts.suppressed += 1
            else:
                due.append(write)
        return due

    def _held_back(self, write: Write, now: float) -> bool:
        return self._attempts.waits(write.key, now) and self._attempts.held_back(write.key, write.digest, now)

    def _said(self, write: Write) -> bool:
        """Was the same, but for its times, written a moment ago? The watch only has not brought it back yet."""
        echo = self._echoes.get(write.key)
        if echo is None or echo.status is None:
            return False
        if write.said is None:
            return False
        return echo.status == write.said or novelty(echo.status.read(), write.said.read()) is Novelty.NOTHING

    async def _write_in_turn(self, writes: list[Write], pace: Pace) -> None:
        """Status before annotations: its precondition is the version that was seen."""
        for each in writes:
            await self._write(each, pace)

    @property
    def _hurried(self) -> bool:
        """Is there news under way, or was there a moment ago?"""
        return bool(self._ahead) or asyncio.get_running_loop().time() < self._hurried_until

    async def _give_way(self) -> None:
        """To news under way, for a moment: news without end must not keep all others from being written."""
        if self._ahead:
            with suppress(TimeoutError):
                async with asyncio.timeout(YIELD_SECONDS):
                    await self._clear.wait()

    async def _write(self, write: Write, pace: Pace) -> None:
        if write.object_key in self._ahead:
            self.counts.deferred += 1
            return
        await self._send(write, pace)

    async def _send(self, write: Write, pace: Pace) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(pace.delay(loop.time()))
        if not self.may_write():
            self.counts.skipped += 1
            return
        try:
            await self._put(write)
        except (ApiError, ServerUnreachable) as error:
            if isinstance(error, ApiError) and error.outdated:
                # Changed, deleted or made anew since it was seen: the next cycle knows.
                self.counts.conflicts += 1
                return
            self.counts.failed += 1
            wait = self._attempts.failed(write.key, write.digest, loop.time())
            log.warning("write object=%s retry_in=%.0fs error=%s", write.key, wait, error)
            return
        self._attempts.succeeded(write.key, write.digest, loop.time())
        self._echoes[write.key] = _Echo(write.said, loop.time() + ECHO_SECONDS)
        self.counts.written += 1

    async def _put(self, write: Write) -> None:
        try:
            await self._apply(write)
        except ApiError as error:
            # Apply on /status can not create; the fleet report is the only object that we create ourselves.
            if error.status != 404 or write.resource is not FLEETREPORTS:
                raise
            await self.client.create(FLEETREPORTS, body_of(FLEETREPORTS, {"name": self.own.report}))
            await self._apply(write)

    async def _apply(self, write: Write) -> None:
        """Without the fields that the definition lacks, where the server names them: better the rest than nothing."""
        if write.operations is not None:
            await self.client.change(write.resource, write.metadata, write.operations, manager=write.manager)
            return
        kind, now = write.resource.kind, asyncio.get_running_loop().time()
        body = self._undeclared.fitted(kind, write.body, now)
        while True:
            try:
                await self.client.apply(
                    write.resource,
                    body,
                    subresource=write.subresource,
                    manager=write.manager,
                    alone=write.said is not None,
                )
                return
            except ApiError as error:
                lacks = self._undeclared.learned(kind, error.message, now)
                fitting = self._undeclared.fitted(kind, write.body, now)
                if fitting == body:
                    raise
                body = fitting
            if lacks:
                names = ", ".join(sorted(".".join(path) for path in lacks))
                log.warning("definition kind=%s is older than this operator and lacks %s: upgrade it", kind, names)

    async def _emit_some(self, gate: asyncio.Semaphore, pace: Pace) -> None:
        """The oldest; the rest in the next round, which follows soon."""
        told = [self._events.popleft() for _ in range(min(EVENTS_PER_ROUND, len(self._events)))]
        self.counts.deferred += len(self._events)
        await asyncio.gather(*(self._emit(body, namespace, gate, pace) for body, namespace in told))

    async def _emit(self, body: JSON, namespace: str, gate: asyncio.Semaphore, pace: Pace) -> None:
        async with gate:
            await self._give_way()
            await asyncio.sleep(pace.delay(asyncio.get_running_loop().time()))
            if not self.may_write():
                self._events.append((body, namespace))
                return
            try:
                await self.client.create(EVENTS, body, namespace)
                self.counts.events += 1
            except (ApiError, ServerUnreachable) as error:
                log.info("event object=%s reason=%s error=%s", body["regarding"]["name"], body["reason"], error)
                if _passes(error):
                    self._keep([(body, namespace)])


def _passes(error: ApiError | ServerUnreachable) -> bool:
    """May the same be taken later? What was refused for what it says is not told again."""
    return isinstance(error, ServerUnreachable) or error.status >= 500 or error.status == 429


@dataclass(frozen=True, slots=True)
class _Echo:
    """What was written and should come back through the watch."""

    status: Packed[WorkloadStatus] | None
    until: float


def _event_body(plan: WorkloadPlan, event: Event) -> JSON:
    regarding = {
        "apiVersion": MODELWORKLOADS.api_version,
        "kind": MODELWORKLOADS.kind,
        "namespace": plan.namespace,
        "name": plan.name,
        "uid": plan.uid,
    }
    return _event(event, regarding, plan.namespace)


def _fleet_event_body(event: Event, name: str) -> JSON:
    regarding = {"apiVersion": FLEETREPORTS.api_version, "kind": FLEETREPORTS.kind, "name": name}
    return _event(event, regarding, CLUSTER_EVENTS_NAMESPACE)


def _policy_event_body(plan: PolicyPlan, event: Event) -> JSON:
    named = {"name": plan.name, "uid": plan.uid}
    regarding = {"apiVersion": MFUPOLICIES.api_version, "kind": MFUPOLICIES.kind, **named}
    return _event(event, regarding, CLUSTER_EVENTS_NAMESPACE)


def _event(event: Event, regarding: JSON, namespace: str) -> JSON:
    now = datetime.now(UTC)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"namespace": namespace, "generateName": f"{regarding['name'][:200]}-"},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": event.type,
        "reason": event.reason,
        "note": event.message[:1000],
        "action": "Evaluate",
        "reportingController": "mfu.gpuaas.io/operator",
        "reportingInstance": FIELD_MANAGER,
        "regarding": regarding,
    }
