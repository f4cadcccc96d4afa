"""Reads every source at its own pace into the store, and knows whether telemetry has warmed up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mfu.controller.metrics import OperatorMetrics
from mfu.observe.readings import GPURound, ProgressReading, SourceState
from mfu.telemetry.rounds.binding import Binder, PodBinding, PodName
from mfu.telemetry.sources import ProgressSource, Source
from mfu.telemetry.store.recent import Store

log = logging.getLogger(__name__)
T = TypeVar("T")

WARM_ROUNDS = 2
"""A rate needs two rounds."""
SECOND_ROUND_SECONDS = 10.0
"""After the first, at the latest."""


@dataclass(slots=True)
class Collector:
    """One task a source. A source that fails is a state in the metrics, never the end of the others."""

    store: Store
    metrics: OperatorMetrics
    changed: Callable[[], None]
    bindings: Callable[[], Mapping[PodName, PodBinding]]
    """Where each pod runs, by the cluster's word."""
    sources: dict[str, tuple[Source, float]] = field(default_factory=dict)
    """By name: the source and its interval in seconds."""
    progress: dict[str, tuple[ProgressSource, float]] = field(default_factory=dict)
    """The same of what workloads say of themselves."""
    rounds: dict[str, int] = field(default_factory=dict)
    states: dict[str, SourceState] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    silenced: dict[str, Callable[[], Mapping[str, str]]] = field(default_factory=dict)
    """By source: why nobody may speak for some nodes, by node."""
    binders: dict[str, Binder] = field(default_factory=dict)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, (source, interval) in self.sources.items():
                group.create_task(self._devices(name, source, interval), name=f"source-{name}")
            for name, (reports, interval) in self.progress.items():
                group.create_task(self._progress(name, reports, interval), name=f"source-{name}")

    async def close(self) -> None:
        """Connections of all sources."""
        for source, _ in self.sources.values():
            await source.close()
        for reports, _ in self.progress.values():
            await reports.close()

    @property
    def warm(self) -> bool:
        """Every source has been asked often enough that silence means silence."""
        names = [*self.sources, *self.progress]
        return all(self.rounds.get(name, 0) >= WARM_ROUNDS for name in names)

    async def _devices(self, name: str, source: Source, interval: float) -> None:
        async for now in _every(interval):
            with self.metrics.scrape_seconds.labels(name).time():
                read = await self._guarded(name, source.read(now))
            if read is not None:
                believed = self._believed(name, read)
                self.store.add_round(believed, now, living=self._living)
                self._note(name, believed)
            self._done(name)

    def _living(self) -> dict[PodName, str]:
        """The uids of the pods that there are."""
        return {name: each.uid for name, each in self.bindings().items()}

    def _believed(self, name: str, read: GPURound) -> GPURound:
        """The round without rows about pods that do not run on the row's node."""
        found = self.binders.setdefault(name, Binder()).believe(read, self.bindings())
        silenced = self.silenced[name]() if name in self.silenced else {}
        self.store.refuse(read.source, {**found.refused, **silenced})
        self.metrics.refused.labels(name, "foreign").inc(found.foreign)
        self.metrics.refused.labels(name, "early").inc(found.early)
        self.metrics.silenced.labels(name).set(len(silenced))
        return found.round

    async def _progress(self, name: str, source: ProgressSource, interval: float) -> None:
        async for now in _every(interval):
            with self.metrics.scrape_seconds.labels(name).time():
                readings: tuple[ProgressReading, ...] = await self._guarded(name, source.read(now)) or ()
            self.store.add_progress(readings)
            self.store.unread(name, source.problems)
            if source.problems:
                self.messages[name] = "; ".join(sorted(source.problems.values())[:3])
            self._done(name)

    async def _guarded(self, name: str, reading: Awaitable[T]) -> T | None:
        try:
            return await reading
        except Exception:
            # Adapters promise not to raise; a promise broken by one must not silence the rest.
            log.exception("source=%s failed", name)
            return None

    def _note(self, name: str, read: GPURound) -> None:
        if self.states.get(name) is not read.state or self.messages.get(name, "") != read.message:
            log.info("source=%s state=%s devices=%d %s", name, read.state, len(read.devices), read.message)
        self.states[name], self.messages[name] = read.state, read.message
        for state in SourceState:
            self.metrics.source_state.labels(name, str(state)).set(float(state is read.state))
        self.metrics.readings.set(len(read.devices))

    def _done(self, name: str) -> None:
        self.rounds[name] = self.rounds.get(name, 0) + 1
        self.changed()


async def _every(interval: float) -> AsyncIterator[float]:
    """Wall-clock times, `interval` apart by the monotonic clock, the second sooner: a start waits for it.

    A late round does not make the next ones bunch up.
    """
    loop = asyncio.get_running_loop()
    due, gap = loop.time(), min(interval, SECOND_ROUND_SECONDS)
    while True:
        yield time.time()
        due, gap = max(due + gap, loop.time()), interval
        await asyncio.sleep(due - loop.time())
