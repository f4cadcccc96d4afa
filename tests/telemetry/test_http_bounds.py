"""The network door against bad endpoints: errors, redirects, endless and oversized bodies, slow ones, compression."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mfu.observe.readings import Counter, ProgressReading, SourceState
from mfu.telemetry.errors import Redirected, TelemetryError, TooLarge, Unreachable
from mfu.telemetry.fair import Ask, gather_fair
from mfu.telemetry.http import Backoff, RequestLimits, fetch, session
from mfu.telemetry.http_get import RawAnswer, get
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.sources import DirectScrape, Endpoint, ProgressScrape, Target
from tests.telemetry.expose import page

LIMITS = RequestLimits(deadline_seconds=0.3, max_body_bytes=10_000, concurrency=4)


async def by_client(url: str) -> bytes:
    async with session(LIMITS) as client:
        return await fetch(client, url, LIMITS)


async def by_hand(url: str) -> bytes:
    return (await get(url, LIMITS)).body()


DOORS = pytest.mark.parametrize("door", [by_client, by_hand])
Door = Callable[[str], Awaitable[bytes]]


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"DCGM_FI_DEV_GPU_TEMP 1\n" * 1000)


async def _slow(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"#")
        await asyncio.sleep(0.02)


async def _zipped(request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b"a 1\n"), headers={"Content-Encoding": "gzip"})


async def _redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("/ok")


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b"a 1\n")
    assert request.transport is not None
    request.transport.close()
    return response


def _text(text: str, status: int = 200) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return answer


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    handlers = {
        "ok": _text("train_tokens_total 5\n"),
        "dcgm": _text(page({"PROF_PIPE_TENSOR_ACTIVE": 0.4}).decode()),
        "large": _text("#" * 10_001),
        "broken": _text("boom", status=500),
        "endless": _endless,
        "slow": _slow,
        "zipped": _zipped,
        "moved": _redirect,
        "cut": _cut,
    }
    for name, handler in handlers.items():
        app.router.add_get(f"/{name}", handler)
    running = TestServer(app)
    async with running:
        yield running


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("broken", Unreachable), ("absent", Unreachable), ("moved", Redirected), ("large", TooLarge),
        ("endless", TooLarge), ("slow", Unreachable), ("zipped", Unreachable), ("cut", Unreachable),
    ],
)  # fmt: skip
@DOORS
async def test_each_bad_endpoint_is_a_typed_error(
    server: TestServer, path: str, error: type[TelemetryError], door: Door
) -> None:
    with pytest.raises(error) as raised:
        await door(str(server.make_url(f"/{path}")))
    assert path in raised.value.source


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://", "nonsense", "http://[::1", "ftp://127.0.0.1/"])
@DOORS
async def test_bad_addresses_are_unreachable(url: str, door: Door) -> None:
    with pytest.raises(Unreachable):
        await door(url)


async def test_many_at_once_keep_their_names(server: TestServer) -> None:
    asks = [Ask(f"t{k}", str(server.make_url("/ok" if k % 2 else "/broken"))) for k in range(20)]
    good = {f"t{k}" for k in range(1, 20, 2)}
    found: dict[str, bytes | RawAnswer | TelemetryError] = {}

    async def consume(name: str, answer: RawAnswer | TelemetryError) -> float:
        found[name] = answer.body() if isinstance(answer, RawAnswer) and name in good else answer
        return 0.0

    await gather_fair(asks, LIMITS, consume)
    await gather_fair([], LIMITS, consume)
    assert set(found) == {ask.name for ask in asks}
    assert {name for name, each in found.items() if each == b"train_tokens_total 5\n"} == good


async def test_direct_scrape_goes_on_beside_a_broken_target(server: TestServer) -> None:
    targets = [Target("good", str(server.make_url("/dcgm")), "node-1"), Target("bad", str(server.make_url("/moved")))]
    source = DirectScrape(lambda: targets, limits=LIMITS)
    found = await source.read(100.0)
    assert (found.state, [device.node for device in found.devices]) == (SourceState.OK, ["node-1"])
    assert "redirect" in source.problems["bad"]
    targets.pop()
    await source.read(101.0)
    assert source.problems == {}
    await source.close()


async def test_a_failing_target_is_asked_less_and_less(server: TestServer) -> None:
    asked: list[float] = []

    class Counting(Backoff):
        def failed(self, target: str, now: float) -> None:
            asked.append(now)
            super().failed(target, now)

    source = DirectScrape(
        lambda: [Target("bad", str(server.make_url("/broken")))], limits=LIMITS, backoff=Counting(15.0)
    )
    for now in range(0, 300, 15):
        assert (await source.read(float(now))).state is SourceState.UNREACHABLE
    await source.close()
    assert asked == [0, 15, 45, 105, 165, 225, 285]


async def test_progress_of_pods_that_answer(server: TestServer) -> None:
    def read(body: bytes, pod: ScrapedPod, at: float) -> ProgressReading:
        return declared(body, pod, at, DeclaredProgress("train_tokens_total"))

    endpoints = [
        Endpoint(ScrapedPod("n", "good"), str(server.make_url("/ok")), read),
        Endpoint(ScrapedPod("n", "engine"), str(server.make_url("/ok")), read_engine),
        Endpoint(ScrapedPod("n", "bad"), str(server.make_url("/broken")), read),
    ]
    source = ProgressScrape(lambda: endpoints, limits=LIMITS)
    found = await source.read(7.0)
    await source.close()
    assert [(each.pod, each.counters) for each in found] == [("good", {Counter.TRAINED_TOKENS: 5})]
    # Dated when its page came, not when the round began.
    assert found[0].observed_at >= 7.0
    assert set(source.problems) == {"n/engine", "n/bad"}


async def test_a_round_ends_in_time_and_what_it_left_out_comes_first(server: TestServer) -> None:
    limits = RequestLimits(deadline_seconds=5.0, round_seconds=0.2, concurrency=1)
    targets = [Target("slow", str(server.make_url("/slow"))), Target("good", str(server.make_url("/dcgm")))]
    source = DirectScrape(lambda: targets, limits=limits)
    first = await source.read(0.0)
    targets[0] = Target("slow", str(server.make_url("/dcgm")))
    second = await source.read(15.0)
    await source.close()
    assert (first.state, first.devices) == (SourceState.UNREACHABLE, ())
    assert second.state is SourceState.OK
    assert source.problems == {}


@DOORS
async def test_a_proxy_of_the_environment_is_not_used(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, door: Door
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert await door(str(server.make_url("/ok"))) == b"train_tokens_total 5\n"
