"""Tenants' own pages: bounded in bytes and time, shared by namespace, read off the loop, at pods' addresses."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.readings import GPURound, ProgressReading
from mfu.telemetry.addresses import is_plain, refusal
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.fair import Allowance, Ask, Queue
from mfu.telemetry.http import RequestLimits
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.sources import PROGRESS_LIMITS, DirectScrape, Endpoint, ProgressScrape, Target
from tests.telemetry.expose import page

MIB = 1024 * 1024
HOSTILE = b"m 1\n" * (255 * 256)
"""As many samples as fit under the cap, all of the wanted name."""


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def hostile(_: web.Request) -> web.Response:
        return web.Response(body=HOSTILE)

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"#" * 65_535 + b"\n")
        return response

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"m ")
            await asyncio.sleep(0.001)

    async def hanging(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def small(_: web.Request) -> web.Response:
        return web.Response(body=b"m 5\n")

    app = web.Application()
    for handler in (hostile, large, trickle, hanging, small):
        app.router.add_get(f"/{handler.__name__}", handler)
    running = TestServer(app)
    async with running:
        yield running


def read(body: bytes, pod: ScrapedPod, at: float) -> ProgressReading:
    return declared(body, pod, at, DeclaredProgress("m"))


def endpoints(server: TestServer, namespace: str, path: str, count: int) -> list[Endpoint]:
    url = str(server.make_url(f"/{path}"))
    return [Endpoint(ScrapedPod(namespace, f"p{row}"), url, read) for row in range(count)]


async def longest_stop(during: Callable[[], object]) -> float:
    """Seconds that the loop was held at most while the work ran."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began - 0.01)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await during()  # type: ignore[misc]
    watching.cancel()
    return longest


@pytest.mark.slow
async def test_no_body_holds_the_loop(server: TestServer) -> None:
    source = ProgressScrape(lambda: endpoints(server, "evil", "hostile", 8))
    began = time.monotonic()
    stopped = await longest_stop(lambda: source.read(1.0))
    # On the loop it would be held nearly as long as all of it takes, however busy the machine is.
    assert stopped < 0.5 * (time.monotonic() - began)
    await source.close()


async def test_bodies_are_read_off_the_loop(server: TestServer) -> None:
    threads: set[int] = set()

    def noting(body: bytes, pod: ScrapedPod, at: float) -> ProgressReading:
        threads.add(threading.get_ident())
        return read(body, pod, at)

    class Noting(DCGMFleet):
        def take(self, name: str, body: bytes, now: float, *, node: str | None = None) -> None:
            threads.add(threading.get_ident())
            super().take(name, body, now, node=node)

        def finish(self, names: Iterable[str], now: float) -> GPURound:
            threads.add(threading.get_ident())
            return super().finish(names, now)

    url = str(server.make_url("/small"))
    progress = ProgressScrape(lambda: [Endpoint(ScrapedPod("a", "p"), url, noting)])
    exporters = DirectScrape(lambda: [Target("n0", url, "n0")], Noting())
    await progress.read(1.0)
    await exporters.read(1.0)
    await progress.close()
    await exporters.close()
    assert threads
    assert threading.get_ident() not in threads


async def test_six_hundred_pods_of_four_mebibytes_cost_little(server: TestServer) -> None:
    source = ProgressScrape(lambda: endpoints(server, "evil", "large", 600))
    tracemalloc.start()
    await source.read(1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await source.close()
    # The server that sends 600 × 4 MiB is in this process, too.
    assert peak < 160 * MIB
    assert PROGRESS_LIMITS.max_body_bytes * PROGRESS_LIMITS.concurrency <= 16 * MIB


async def test_a_tenant_that_hangs_does_not_take_the_turns_of_another(server: TestServer) -> None:
    limits = RequestLimits(deadline_seconds=0.4, round_seconds=1.0, concurrency=8)
    both = [*endpoints(server, "evil", "hanging", 200), *endpoints(server, "good", "small", 20)]
    source = ProgressScrape(lambda: both, limits)
    found = await source.read(1.0)
    await source.close()
    assert len(found) == 20


async def test_a_namespace_over_its_share_is_not_asked_until_it_has_paid(server: TestServer) -> None:
    both = [*endpoints(server, "evil", "hostile", 30), *endpoints(server, "good", "small", 3)]
    allowance = Allowance(bytes_per_round=2 * MIB, seconds_per_round=60.0)
    source = ProgressScrape(lambda: both, RequestLimits(max_body_bytes=256 * 1024, concurrency=2), allowance)
    first = await source.read(1.0)
    assert sum(each.namespace == "good" for each in first) == 3
    # A share is 1 MiB: four or five bodies, not thirty.
    assert 4 <= sum(each.namespace == "evil" for each in first) <= 6
    assert "evil" in allowance.over
    assert any("over its share" in why for why in source.problems.values())
    asked = [each for each in await source.read(20.0) if each.namespace == "evil"]
    assert {each.pod for each in asked}.isdisjoint({each.pod for each in first if each.namespace == "evil"})
    await source.close()


async def test_reading_time_counts_against_the_share(server: TestServer) -> None:
    allowance = Allowance(bytes_per_round=1e12, seconds_per_round=0.01)
    source = ProgressScrape(
        lambda: endpoints(server, "evil", "hostile", 30),
        RequestLimits(concurrency=1, max_body_bytes=256 * 1024),
        allowance,
    )
    assert len(await source.read(1.0)) <= 2
    await source.close()


async def test_a_reader_that_breaks_its_promise_is_that_pods_problem_alone(server: TestServer) -> None:
    def broken(body: bytes, pod: ScrapedPod, at: float) -> ProgressReading:
        raise RecursionError("deep")

    url = str(server.make_url("/small"))
    both = [Endpoint(ScrapedPod("a", "bad"), url, broken), Endpoint(ScrapedPod("a", "good"), url, read)]
    source = ProgressScrape(lambda: both)
    assert [each.pod for each in await source.read(1.0)] == ["good"]
    assert "RecursionError" in source.problems["a/bad"]
    await source.close()


async def test_an_answer_of_an_address_that_changed_hands_is_dropped(server: TestServer) -> None:
    url = str(server.make_url("/small"))
    both = [
        Endpoint(ScrapedPod("a", "moved"), url, read, "uid-1", lambda: False),
        Endpoint(ScrapedPod("a", "stays"), url, read, "uid-2"),
        Endpoint(ScrapedPod("a", "refused"), url, read, "uid-3", refused="a node's address"),
    ]
    source = ProgressScrape(lambda: both)
    assert [(each.pod, each.pod_uid) for each in await source.read(1.0)] == [("stays", "uid-2")]
    assert source.problems == {"a/refused": "a node's address"}
    await source.close()


async def test_what_a_round_of_progress_left_out_comes_first_in_the_next(server: TestServer) -> None:
    limits = RequestLimits(deadline_seconds=5.0, round_seconds=0.3, concurrency=1)
    one = [
        *endpoints(server, "a", "hanging", 1),
        Endpoint(ScrapedPod("a", "late"), str(server.make_url("/small")), read),
    ]
    source = ProgressScrape(lambda: one, limits)
    assert await source.read(1.0) == ()
    one[0] = Endpoint(ScrapedPod("a", "p0"), str(server.make_url("/hanging")), read)
    one.insert(0, Endpoint(ScrapedPod("a", "newer"), str(server.make_url("/hanging")), read))
    # Both that were left out come before the newcomer.
    asked: list[str] = []
    source.endpoints = lambda: [
        Endpoint(each.pod, str(server.make_url("/small")), lambda b, p, t: asked.append(p.name) or read(b, p, t))  # type: ignore[func-returns-value]
        for each in one
    ]
    await source.read(20.0)
    await source.close()
    assert asked == ["p0", "late", "newer"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), min_size=1, max_size=30, unique_by=lambda x: x[0])
)
def test_groups_take_turns_however_many_they_are(sizes: list[tuple[str, int]]) -> None:
    queue = Queue()
    queue.add(Ask(f"{group}{row}", "", group) for group, count in sizes for row in range(count))
    order = []
    while (ask := queue.next()) is not None:
        order.append(ask.group)
        queue.done(ask, 0, 0.0)
    served = dict.fromkeys((group for group, _ in sizes), 0)
    for group in order:
        served[group] += 1
        waiting = [name for name, count in sizes if served[name] < count]
        assert all(served[group] <= served[name] + 1 for name in waiting)
    assert served == dict(sizes)


@pytest.mark.parametrize(
    ("address", "host", "allowed", "read_"),
    [
        ("10.1.2.3", False, False, True),
        ("fd00::7", False, False, True),
        ("127.0.0.1", False, True, False),
        ("127.8.8.8", False, True, False),
        ("::1", False, True, False),
        ("::ffff:127.0.0.1", False, True, False),
        ("169.254.169.254", False, True, False),
        ("::ffff:169.254.169.254", False, True, False),
        ("fe80::1", False, True, False),
        ("fe80::1%eth0", False, True, False),
        ("0.0.0.0", False, True, False),
        ("::", False, True, False),
        ("224.0.0.1", False, True, False),
        ("evil.example", False, True, False),
        ("10.1.2.3/../x", False, True, False),
        ("", False, True, False),
        ("192.168.0.1", False, False, False),
        ("192.168.0.1", False, True, True),
        ("::ffff:192.168.0.1", False, False, False),
        ("10.1.2.3", True, False, False),
        ("10.1.2.3", True, True, True),
    ],
)
def test_addresses(address: str, host: bool, allowed: bool, read_: bool) -> None:
    why = refusal(address, host_network=host, host_allowed=allowed, nodes={"192.168.0.1"})
    assert (why is None) is read_


@given(st.text(max_size=40))
def test_what_is_no_address_is_never_read(text: str) -> None:
    assert not is_plain(text) or not set(text) & set("/@?#% ")


def test_exporters_pages_are_not_of_that_size() -> None:
    assert len(page({"PROF_PIPE_TENSOR_ACTIVE": 0.4})) < PROGRESS_LIMITS.max_body_bytes
    assert issubclass(NotExposition, Exception)
