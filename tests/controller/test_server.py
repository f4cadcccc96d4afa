"""/metrics, /healthz and /readyz over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from mfu.controller.server import serve


@pytest.mark.parametrize(
    ("path", "healthy", "ready", "status", "words"),
    [
        ("/healthz", None, None, 200, "ok"),
        ("/readyz", None, None, 200, "ok"),
        ("/healthz", "no cycle for 200 s", None, 503, "no cycle for 200 s"),
        ("/readyz", None, "informers are not synced", 503, "informers are not synced"),
        ("/readyz", "ill", None, 200, "ok"),
        ("/metrics", "ill", "not ready", 200, "probe_total 7.0"),
        ("/elsewhere", None, None, 404, "Not Found"),
    ],
)
async def test_paths(path: str, healthy: str | None, ready: str | None, status: int, words: str) -> None:
    registry = CollectorRegistry()
    Gauge("probe_total", "Seven.", registry=registry).set(7)

    def says(word: str | None) -> Callable[[], str | None]:
        return lambda: word

    async with (
        serve(registry, host="127.0.0.1", port=0, healthy=says(healthy), ready=says(ready)) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        assert answer.status == status
        assert words in await answer.text()
