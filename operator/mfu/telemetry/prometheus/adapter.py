"""Any Prometheus-compatible HTTP API as a source: the shipped recording rules, or the exporters' own series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
import numpy as np

from mfu.observe.readings import METRICS, GPUIdentity, GPURound, SourceState
from mfu.telemetry.dcgm.adapter import DCGM
from mfu.telemetry.dcgm.fields import NAMES, RAW_COLUMNS
from mfu.telemetry.dcgm.labels import identity, traits
from mfu.telemetry.errors import TelemetryError, Unreachable
from mfu.telemetry.http import RequestLimits, fetch, session
from mfu.telemetry.prometheus.answers import matrix, vector
from mfu.telemetry.prometheus.recorded_rules import COLUMNS, RecordedRules, exporters_own, without_exporter
from mfu.telemetry.prometheus.rules import DEVICE_LABELS, INFO
from mfu.telemetry.prometheus.speaking import NOBODY, speaking
from mfu.telemetry.rounds.exporters import ExporterFleet
from mfu.telemetry.rounds.table import PrintedLayout

_LIMITS: Final = RequestLimits(deadline_seconds=20.0, max_body_bytes=64 * 1024 * 1024, concurrency=4)
_BY_DEVICE: Final = ", ".join(DEVICE_LABELS)
_SAME_SCRAPE_SECONDS: Final = 1.0


def _relabelled(labels: Mapping[str, str], node: str | None) -> GPUIdentity | None:
    return identity(labels, node=node, relabelled=True)


class _ScrapedByPrometheus(DCGM):
    layout = PrintedLayout(DCGM.layout.columns, RAW_COLUMNS, _relabelled, lambda labels: int(traits(labels)))


@dataclass(slots=True)
class PrometheusAPI:
    """Reads the fleet through `url`/api/v1/query. A failure is a round with a state, never an exception.

    With the shipped recording rules it asks one small query a metric, whatever the number of nodes. Without them
    (`rules=False`, or None and they hold nothing) it asks for the exporters' own series: for small fleets.
    """

    url: str
    interval_seconds: float = 30.0
    rules: bool | None = None
    matchers: str = ""
    """Label matchers of the exporters' own series that count, such as `job="dcgm"`; others may be anybody's."""
    places: Callable[[], Mapping[str, str]] = lambda: NOBODY
    """Nodes by the addresses that exporters are scraped at, as the cluster has them."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why nobody was heard of a node in the last round, by node."""
    bearer_token_file: Path | None = None
    limits: RequestLimits = _LIMITS
    source: str = "prometheus"
    _client: aiohttp.ClientSession | None = None
    _recorded: RecordedRules | None = None
    _raw: ExporterFleet | None = None

    async def read(self, now: float) -> GPURound:
        try:
            if self.rules is None and await self._has_rules(now):
                self.rules = True
            return await (self._read_rules(now) if self.rules else self._read_raw(now))
        except TelemetryError as error:
            values = np.empty((0, METRICS))
            state = SourceState.UNREACHABLE if isinstance(error, Unreachable) else SourceState.INVALID
            return GPURound(self.source, state, (), np.empty(0), values, self.interval_seconds, str(error))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _has_rules(self, now: float) -> bool:
        return bool(vector(await self._query(f"count({_recorded(INFO)})", now), self.source).values)

    async def _read_rules(self, now: float) -> GPURound:
        if self._recorded is None:
            self._recorded = RecordedRules(self.interval_seconds, self.source)
        self._recorded.start(await self._query(_recorded(INFO), now), self.places())
        self.refused = self._recorded.speaking.refused
        for record, column in COLUMNS:
            self._recorded.take(column, await self._query(f"max by ({_BY_DEVICE}) ({_recorded(record)})", now))
        return self._recorded.finish(now)

    async def _read_raw(self, now: float) -> GPURound:
        names = "|".join(name for spellings in NAMES.values() for name in spellings)
        seconds = int(2 * self.interval_seconds)
        chosen = ",".join(each for each in (f'__name__=~"{names}"', self.matchers) if each)
        body = await self._query(f"{{{chosen}}}[{seconds}s]", now)
        if self._raw is None:
            self._raw = ExporterFleet(_ScrapedByPrometheus(), self.source, self.interval_seconds, 0.0)
        who = speaking(_claims(body, self.source), self.places())
        self.refused = who.refused
        found = exposition_by_instance(body, self.source)
        return self._raw.round(
            {name: each for name, each in found.items() if name not in who.silenced}, now, nodes=who.nodes
        )

    async def _query(self, expression: str, now: float) -> bytes:
        query = urlencode({"query": expression, "time": f"{now:.3f}"}, quote_via=quote)
        url = f"{self.url.rstrip('/')}/api/v1/query?{query}"
        return await fetch(self._session(), url, self.limits, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        if self.bearer_token_file is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self.bearer_token_file.read_text().strip()}"}
        except OSError as error:
            raise Unreachable(self.url, f"the bearer token cannot be read: {error}", "mount the token file") from error

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None or self._client.closed:
            self._client = session(self.limits, headers={"Accept": "application/json"})
        return self._client


def _recorded(record: str) -> str:
    """Series that a rule made: what was scraped has an instance, and any target may print a rule's name."""
    return f'{record}{{instance=""}}'


def _claims(body: bytes, source: str) -> set[tuple[str, str | None]]:
    """Each scraped instance with the nodes that its series name."""
    devices = ((labels.get("instance", ""), identity(labels, relabelled=True)) for labels, _, _ in matrix(body, source))
    return {(instance, device.node) for instance, device in devices if device is not None}


def exposition_by_instance(body: bytes, source: str) -> dict[str, bytes]:
    """A matrix answer as exposition text with sample times, one text a scraped instance: units are settled per target.

    Series that the instance's newest scrape no longer had are left out: the pod of yesterday does not share the device.
    """
    series = list(matrix(body, source))
    exporters = exporters_own(labels for labels, _, _ in series)
    newest: dict[str, float] = {}
    for labels, _, at in series:
        instance = labels.get("instance", "")
        newest[instance] = max(at, newest.get(instance, at))
    lines: dict[str, list[str]] = {}
    for labels, value, at in series:
        instance = labels.get("instance", "")
        if at >= newest[instance] - _SAME_SCRAPE_SECONDS:
            lines.setdefault(instance, []).extend(_line(without_exporter(labels, exporters), value, at))
    return {instance: "".join(found).encode() for instance, found in lines.items()}


def _line(labels: Mapping[str, str], value: float, at: float) -> Iterator[str]:
    inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if name != "__name__")
    yield f"{labels.get('__name__', '')}{{{inside}}} {value!r} {at * 1000:.0f}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
