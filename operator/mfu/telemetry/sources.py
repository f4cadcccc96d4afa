"""Sources that the operator reads: each owns its connections and gives one round at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import thread_time
from typing import Final, Protocol, TypeVar, TypeVarTuple

from mfu.observe.readings import GPURound, ProgressReading, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import NotExposition, TelemetryError
from mfu.telemetry.fair import Allowance, Ask, gather_fair
from mfu.telemetry.http import Backoff, RequestLimits
from mfu.telemetry.http_get import RawAnswer
from mfu.telemetry.pods.progress import ScrapedPod

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Source(Protocol):
    """Anything that reads devices.

    `read` returns within its deadline and never raises on what the other side sends: a failure is a round with a state,
    a message and no devices. `now` is the wall clock that the readings are dated with.
    """

    async def read(self, now: float) -> GPURound: ...

    async def close(self) -> None: ...


class ProgressSource(Protocol):
    """Anything that reads workloads' own counters; pods that gave nothing are missing and named in `problems`."""

    @property
    def problems(self) -> Mapping[str, str]: ...

    async def read(self, now: float) -> tuple[ProgressReading, ...]: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One exporter. `node` is the Node it runs on, where known."""

    name: str
    url: str
    node: str | None = None


class Adapter(Protocol):
    """Bodies of many targets, one after the other → one round."""

    states: dict[str, SourceState]

    def take(self, name: str, body: bytes, now: float, *, node: str | None = None) -> None: ...

    def finish(self, names: Iterable[str], now: float) -> GPURound: ...


@dataclass(slots=True)
class LeftOut:
    """Targets that the last round did not reach in time: they come first in the next."""

    names: frozenset[str] = frozenset()

    def first(self, due: Iterable[Ask]) -> list[Ask]:
        return sorted(due, key=lambda ask: ask.name not in self.names)

    def note(self, due: Iterable[Ask], answered: Container[str]) -> None:
        self.names = frozenset(ask.name for ask in due if ask.name not in answered)


EXPORTER_LIMITS: Final = RequestLimits(concurrency=32)
"""Answers that come at once are taken in one pass of the loop, and what is to be written waits for the next: with 128
at a time statuses left at five a second."""
READ_TOGETHER: Final = 32
"""Pages of exporters that are handed to the reading thread at once."""


def reader() -> ThreadPoolExecutor:
    """One thread in which bodies are read, so that none of them holds the loop that answers probes."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="bodies")


@dataclass(slots=True)
class DirectScrape:
    """Exporters asked one by one. `targets` is called each round, so that new nodes are read without a restart."""

    targets: Callable[[], Iterable[Target]]
    adapter: Adapter = field(default_factory=DCGMFleet)
    limits: RequestLimits = EXPORTER_LIMITS
    backoff: Backoff = field(default_factory=Backoff)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a target gave nothing at its last attempt, by target name."""
    _left_out: LeftOut = field(default_factory=LeftOut)
    _thread: ThreadPoolExecutor = field(default_factory=reader)

    async def read(self, now: float) -> GPURound:
        targets = {target.name: target for target in self.targets()}
        self.backoff.keep_only(frozenset(targets))
        self.problems = {name: why for name, why in self.problems.items() if name in targets}
        due = [Ask(name, target.url, name) for name, target in targets.items() if self.backoff.due(name, now)]
        answered: set[str] = set()
        waiting: list[tuple[Target, RawAnswer]] = []

        async def consume(name: str, answer: RawAnswer | TelemetryError) -> float:
            answered.add(name)
            if isinstance(answer, TelemetryError):
                self._failed(name, str(answer), now)
                return 0.0
            waiting.append((targets[name], answer))
            if len(waiting) >= READ_TOGETHER:
                await self._read(waiting, now)
            return 0.0

        await gather_fair(self._left_out.first(due), self.limits, consume)
        await self._read(waiting, now)
        self._left_out.note(due, answered)
        return await self._in_thread(self.adapter.finish, list(targets), now)

    async def _read(self, waiting: list[tuple[Target, RawAnswer]], now: float) -> None:
        """All that wait, in one call of the other thread: to hand over each alone costs more than to read it."""
        taken = tuple(waiting)
        waiting.clear()
        if not taken:
            return
        for name, problem in (await self._in_thread(self._read_all, taken, now)).items():
            if problem is not None:
                self._failed(name, problem, now)
                continue
            self.backoff.succeeded(name)
            self.problems.pop(name, None)

    def _failed(self, name: str, problem: str, now: float) -> None:
        self.backoff.failed(name, now)
        self.problems[name] = problem

    def _read_all(self, taken: Iterable[tuple[Target, RawAnswer]], now: float) -> dict[str, str | None]:
        """What was wrong with each, by name; None where nothing was."""
        return {target.name: self._read_one(target, answer, now) for target, answer in taken}

    def _read_one(self, target: Target, answer: RawAnswer, now: float) -> str | None:
        try:
            self.adapter.take(target.name, answer.body(), now, node=target.node)
        except TelemetryError as error:
            return str(error)
        except Exception as error:
            # As above for all the others: what one node prints must not silence the fleet.
            return f"can not be read: {type(error).__name__}: {error}"[:300]
        return None

    async def _in_thread(self, work: Callable[[*Given], T], *given: *Given) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod's metrics address and how to read its body. `read` may raise TelemetryError."""

    pod: ScrapedPod
    url: str
    read: Callable[[bytes, ScrapedPod, float], ProgressReading]
    uid: str | None = None
    """Which pod of that name it is."""
    current: Callable[[], bool] = lambda: True
    """Does the pod still have that address? Another may have been given it while the answer was under way."""
    refused: str | None = None
    """Why it is not asked at all."""

    @property
    def name(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"


PROGRESS_LIMITS: Final = RequestLimits(deadline_seconds=3.0, max_body_bytes=256 * 1024, concurrency=64)
"""64 bodies in flight hold 16 MiB at most, and as much again of what is sent around them. An engine's page is 20 to
100 KiB."""
BYTES_PER_ROUND: Final = 64 * 1024 * 1024
SECONDS_PER_ROUND: Final = 6.0
"""Of one thread, for all pages together."""


@dataclass(slots=True)
class ProgressScrape:
    """Workloads' own endpoints, only ever their own pods. `endpoints` is called each round.

    Namespaces share places, bytes and reading time alike; one that is over its share waits, the others do not notice.
    """

    endpoints: Callable[[], Iterable[Endpoint]]
    limits: RequestLimits = PROGRESS_LIMITS
    allowance: Allowance = field(default_factory=lambda: Allowance(BYTES_PER_ROUND, SECONDS_PER_ROUND))
    backoff: Backoff = field(default_factory=Backoff)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a pod gave nothing at its last attempt, by "namespace/pod"."""
    _left_out: LeftOut = field(default_factory=LeftOut)
    _thread: ThreadPoolExecutor = field(default_factory=reader)

    async def read(self, now: float) -> tuple[ProgressReading, ...]:
        endpoints = {endpoint.name: endpoint for endpoint in self.endpoints()}
        self.backoff.keep_only(frozenset(endpoints))
        self.problems = {name: why for name, why in self.problems.items() if name in endpoints}
        self.problems |= {name: each.refused for name, each in endpoints.items() if each.refused}
        due = [
            Ask(name, each.url, each.pod.namespace)
            for name, each in endpoints.items()
            if not each.refused and self.backoff.due(name, now)
        ]
        found: dict[str, ProgressReading | None] = {}
        clock = asyncio.get_running_loop().time
        began = clock()

        async def consume(name: str, answer: RawAnswer | TelemetryError) -> float:
            # Dated with the round, or with its turn of being read, a rate over a short window would be off.
            told_at = answer.told_at if isinstance(answer, RawAnswer) else clock()
            found[name], seconds = await self._reading(endpoints[name], answer, now + told_at - began)
            return seconds

        await gather_fair(self._left_out.first(due), self.limits, consume, self.allowance)
        self._left_out.note(due, found)
        over = self.allowance.over
        for ask in due:
            if ask.name not in found and ask.group in over:
                self.problems[ask.name] = (
                    f"namespace {ask.group} is over its share of progress pages: serve fewer bytes"
                )
        return tuple(reading for reading in found.values() if reading is not None)

    async def _reading(
        self, endpoint: Endpoint, answer: RawAnswer | TelemetryError, now: float
    ) -> tuple[ProgressReading | None, float]:
        if isinstance(answer, TelemetryError):
            self._failed(endpoint, answer, now)
            return None, 0.0
        work = asyncio.get_running_loop().run_in_executor(self._thread, _timed, endpoint, answer, now)
        read, seconds = await work
        if isinstance(read, TelemetryError):
            self._failed(endpoint, read, now)
            return None, seconds
        self.backoff.succeeded(endpoint.name)
        self.problems.pop(endpoint.name, None)
        if not endpoint.current():
            return None, seconds
        return replace(read, pod_uid=endpoint.uid), seconds

    def _failed(self, endpoint: Endpoint, error: TelemetryError, now: float) -> None:
        self.backoff.failed(endpoint.name, now)
        # What was asked, where, and what was found there: the page's own words do not say where it was.
        self.problems[endpoint.name] = str(error) if error.source == endpoint.url else f"{endpoint.url} of {error}"

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _timed(endpoint: Endpoint, answer: RawAnswer, now: float) -> tuple[ProgressReading | TelemetryError, float]:
    began = thread_time()
    try:
        read: ProgressReading | TelemetryError = endpoint.read(answer.body(), endpoint.pod, now)
    except TelemetryError as error:
        read = error
    except Exception as error:
        # Readers promise not to raise on what a body holds; a promise broken for one must not silence the rest.
        read = NotExposition(endpoint.name, f"can not be read: {type(error).__name__}: {error}"[:300])
    return read, thread_time() - began
