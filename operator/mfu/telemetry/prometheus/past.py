"""How workloads did over days, as Prometheus kept it: longer than any status remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp

from mfu.telemetry.http import RequestLimits, fetch, session
from mfu.telemetry.prometheus.answers import labels_of, vector

_LIMITS: Final = RequestLimits(deadline_seconds=20.0, max_body_bytes=64 * 1024 * 1024, concurrency=4)
_SOURCE: Final = "prometheus"
_SCALES: Final = ("mfu", "mbu")


@dataclass(frozen=True, slots=True)
class PastLevel:
    """What was observed on one scale over the time that was asked for: fractions."""

    mean: float
    low: float
    high: float


async def past_of(url: str, days: int, now: float) -> dict[str, dict[str, PastLevel]]:
    """By NAMESPACE/NAME and by scale (`mfu`, `mbu`), over the days before `now` (Unix seconds).

    Progress where it was reported, else counters, in windows of ten minutes. Raises TelemetryError.
    """
    found: dict[str, dict[str, PastLevel]] = {}
    async with session(_LIMITS, headers={"Accept": "application/json"}) as client:
        for scale in _SCALES:
            mean, low, high = [
                await _by_workload(client, url, expression(over, scale, days), now) for over in ("avg", "min", "max")
            ]
            for key in mean.keys() & low.keys() & high.keys():
                found.setdefault(key, {})[scale] = PastLevel(mean[key], low[key], high[key])
    return found


def expression(over: str, scale: str, days: int) -> str:
    """PromQL of one figure of each workload."""
    progress, counters = (
        f'{over}_over_time(mfu_workload_observed_{scale}_ratio{{window="10m",meter="{meter}"}}[{days}d])'
        for meter in ("Progress", "Counters")
    )
    return f"{progress} or on (namespace, workload) {counters}"


async def _by_workload(client: aiohttp.ClientSession, url: str, asked: str, now: float) -> Mapping[str, float]:
    query = urlencode({"query": asked, "time": f"{now:.3f}"}, quote_via=quote)
    body = await fetch(client, f"{url.rstrip('/')}/api/v1/query?{query}", _LIMITS, headers={})
    told = vector(body, _SOURCE)
    rows = [(labels_of(labels), value) for labels, value in zip(told.labels, told.values, strict=True)]
    return {
        f"{labels.get('namespace', '')}/{labels.get('workload', '')}": value
        for labels, value in rows
        if labels is not None and isfinite(value)
    }
