"""/metrics, /healthz and /readyz over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mfu.cluster.client import KubeClient, ServerUnreachable
from mfu.controller.access import KubeAccess
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


def well() -> None:
    return None


def registry_of(size: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    gauge = Gauge("padding", "x" * 100, ["row"], registry=registry)
    for row in range(size // 100):
        gauge.labels("r" * 70 + str(row)).set(row)
    return registry


async def test_many_scrapes_are_one_rendering() -> None:
    rendered = 0

    class Counting(Collector):
        def collect(self) -> Iterable[Metric]:
            nonlocal rendered
            rendered += 1
            return []

    registry = CollectorRegistry()
    registry.register(Counting())
    rendered = 0
    async with (
        serve(registry, host="127.0.0.1", port=0, healthy=well, ready=well) as port,
        aiohttp.ClientSession() as s,
    ):
        for _ in range(5):
            async with s.get(f"http://127.0.0.1:{port}/metrics") as answer:
                assert answer.status == 200
    assert rendered == 1


async def test_readers_that_do_not_read_hold_places_not_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfu.controller.server.READER_SECONDS", 1.0)
    monkeypatch.setattr("mfu.controller.server.QUEUE_SECONDS", 0.2)
    registry = registry_of(4 * 1024 * 1024)
    async with serve(registry, host="127.0.0.1", port=0, healthy=well, ready=well) as port:
        ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        idle = [await asyncio.open_connection("127.0.0.1", port, limit=1024) for _ in range(8)]
        for _, writer in idle:
            writer.write(ask)
        await asyncio.sleep(0.8)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
            async with asyncio.timeout(20):
                while (await session.get(f"http://127.0.0.1:{port}/metrics")).status != 200:
                    await asyncio.sleep(0.2)
        for _, writer in idle:
            writer.close()


class Reviews:
    """An API server that knows two tokens, one of which may read."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def create(self, resource: Any, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        self.asked.append(resource.kind)
        if self.away:
            raise ServerUnreachable("refused")
        if resource.kind == "TokenReview":
            token = body["spec"]["token"]
            if token == "expired":
                # Whose it was is told though it counts no more.
                return {"status": {"authenticated": False, "user": {"username": "good"}}}
            known = token in ("good", "poor")
            user = {"username": token, "groups": ["g"]}
            return {"status": {"authenticated": known, "user": user if known else {}}}
        spec = body["spec"]
        assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"status": {"allowed": spec["user"] == "good"}}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("good", 401),
        ("Basic good", 401),
        ("Bearer ", 401),
        ("Bearer stranger", 401),
        ("Bearer expired", 401),
        ("Bearer " + "x" * 20_000, 401),
        ("Bearer poor", 403),
        ("Bearer good", None),
    ],
)
async def test_who_may_read(header: str | None, status: int | None) -> None:
    assert await KubeAccess(cast(KubeClient, Reviews())).refusal(header) == status


async def test_answers_are_remembered_and_nobody_new_is_let_in_while_the_server_is_away() -> None:
    server = Reviews()
    access = KubeAccess(cast(KubeClient, server))
    assert [await access.refusal("Bearer good") for _ in range(3)] == [None] * 3
    assert server.asked == ["TokenReview", "SubjectAccessReview"]
    server.away = True
    assert await access.refusal("Bearer good") is None
    assert await access.refusal("Bearer poor") == 503
    server.away = False
    for row in range(400):
        await access.refusal(f"Bearer t{row}")
    assert len(access._refusals._known) <= 256


async def test_the_page_is_refused_and_probes_are_not() -> None:
    access = KubeAccess(cast(KubeClient, Reviews()))
    registry = registry_of(100)
    async with (
        serve(registry, host="127.0.0.1", port=0, healthy=well, ready=well, may_read=access.refusal) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        found = {}
        for token in ("", "stranger", "poor", "good"):
            async with session.get("/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
                found[token] = answer.status
        async with session.get("/healthz") as answer:
            assert answer.status == 200
    assert found == {"": 401, "stranger": 401, "poor": 403, "good": 200}
