"""Sources that the operator reads: each owns its connections and gives one round at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import aiohttp

from mfu.observe.readings import GPURound, ProgressReading, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.http import Backoff, Limits, gather_bounded, session
from mfu.telemetry.pods.progress import Pod


class Source(Protocol):
    """Anything that reads devices.

    `read` returns within its deadline and never raises on what the other side sends: a failure is a round with a state,
    a message and no devices. `now` is the wall clock that the readings are dated with.
    """

    async def read(self, now: float) -> GPURound: ...

    async def close(self) -> None: ...


class ProgressSource(Protocol):
    """Anything that reads workloads' own counters; pods that gave nothing are missing and named in `problems`."""

    problems: Mapping[str, str]

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

    def first(self, due: dict[str, str]) -> dict[str, str]:
        return dict(sorted(due.items(), key=lambda item: item[0] not in self.names)) if self.names else due

    def note(self, due: Iterable[str], answered: set[str]) -> None:
        self.names = frozenset(due) - answered


@dataclass(slots=True)
class DirectScrape:
    """Exporters asked one by one. `targets` is called each round, so that new nodes are read without a restart."""

    targets: Callable[[], Iterable[Target]]
    adapter: Adapter = field(default_factory=DCGMFleet)
    limits: Limits = field(default_factory=Limits)
    backoff: Backoff = field(default_factory=Backoff)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a target gave nothing at its last attempt, by target name."""
    _left_out: LeftOut = field(default_factory=LeftOut)
    _client: aiohttp.ClientSession | None = None

    async def read(self, now: float) -> GPURound:
        targets = {target.name: target for target in self.targets()}
        self.backoff.keep_only(frozenset(targets))
        self.problems = {name: why for name, why in self.problems.items() if name in targets}
        due = {name: target.url for name, target in targets.items() if self.backoff.due(name, now)}
        answered: set[str] = set()

        def consume(name: str, answer: bytes | TelemetryError) -> None:
            answered.add(name)
            self._take(targets[name], answer, now)

        await gather_bounded(self._session(), self._left_out.first(due), self.limits, consume)
        self._left_out.note(due, answered)
        return self.adapter.finish(targets, now)

    def _take(self, target: Target, answer: bytes | TelemetryError, now: float) -> None:
        if isinstance(answer, TelemetryError):
            self.backoff.failed(target.name, now)
            self.problems[target.name] = str(answer)
            return
        self.backoff.succeeded(target.name)
        self.problems.pop(target.name, None)
        self.adapter.take(target.name, answer, now, node=target.node)

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None or self._client.closed:
            self._client = session(self.limits)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod's metrics address and how to read its body. `read` may raise TelemetryError."""

    pod: Pod
    url: str
    read: Callable[[bytes, Pod, float], ProgressReading]
    uid: str | None = None
    """Which pod of that name it is."""
    current: Callable[[], bool] = lambda: True
    """Does the pod still have that address? Another may have been given it while the answer was under way."""

    @property
    def name(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"


@dataclass(slots=True)
class ProgressScrape:
    """Workloads' own endpoints, only ever their own pods. `endpoints` is called each round."""

    endpoints: Callable[[], Iterable[Endpoint]]
    limits: Limits = field(default_factory=lambda: Limits(deadline_seconds=3.0, max_body_bytes=4 * 1024 * 1024))
    backoff: Backoff = field(default_factory=Backoff)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a pod gave nothing at its last attempt, by "namespace/pod"."""
    _left_out: LeftOut = field(default_factory=LeftOut)
    _client: aiohttp.ClientSession | None = None

    async def read(self, now: float) -> tuple[ProgressReading, ...]:
        endpoints = {endpoint.name: endpoint for endpoint in self.endpoints()}
        self.backoff.keep_only(frozenset(endpoints))
        self.problems = {name: why for name, why in self.problems.items() if name in endpoints}
        due = {name: endpoint.url for name, endpoint in endpoints.items() if self.backoff.due(name, now)}
        found: dict[str, ProgressReading | None] = {}

        def consume(name: str, answer: bytes | TelemetryError) -> None:
            found[name] = self._reading(endpoints[name], answer, now)

        await gather_bounded(self._session(), self._left_out.first(due), self.limits, consume)
        self._left_out.note(due, set(found))
        return tuple(reading for reading in found.values() if reading is not None)

    def _reading(self, endpoint: Endpoint, answer: bytes | TelemetryError, now: float) -> ProgressReading | None:
        try:
            if isinstance(answer, TelemetryError):
                raise answer
            if not endpoint.current():
                return None
            reading = replace(endpoint.read(answer, endpoint.pod, now), pod_uid=endpoint.uid)
        except TelemetryError as error:
            self.backoff.failed(endpoint.name, now)
            self.problems[endpoint.name] = str(error)
            return None
        self.backoff.succeeded(endpoint.name)
        self.problems.pop(endpoint.name, None)
        return reading

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None or self._client.closed:
            self._client = session(self.limits)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
