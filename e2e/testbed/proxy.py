"""A proxy between a program and its API server that sees each request before it goes and after it was answered.

For tests that end a program at one step of what it does: the step is the request, so no hook in the program is needed.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

_PRIVATE: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `answered`: whether the API server has done it already; the caller has not heard of it yet."""

    method: str
    path: str
    answered: bool = False


Watcher = Callable[[Call], bool]
"""Told of each request twice; where it gives False the connection is cut instead."""


@dataclass(slots=True)
class Proxy:
    """Plain HTTP on loopback in front of an API server. `calls` is what was answered, watches left out.

    `instead` may answer in the API server's place; where it gives None the API server does.
    """

    upstream: str
    ca_file: Path
    watcher: Watcher = lambda _: True
    instead: Callable[[web.Request], web.Response | None] = lambda _: None
    calls: list[Call] = field(default_factory=list)
    url: str = ""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _watches: set[asyncio.Transport] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None

    @contextmanager
    def run(self) -> Iterator[Proxy]:
        loop, started = self._loop, threading.Event()
        thread = threading.Thread(target=self._serve, args=(loop, started), name="proxy", daemon=True)
        thread.start()
        started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    def cut_watches(self) -> None:
        """Every watch that is open ends as when a network parts; returns when they have."""

        async def cut() -> None:
            for each in tuple(self._watches):
                each.abort()

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

    def _serve(self, loop: asyncio.AbstractEventLoop, started: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._start())
        started.set()
        loop.run_forever()
        # Whole: what is left pending is collected at a moment of Python's choice, and tells of it then.
        loop.run_until_complete(self._stop())
        loop.close()

    async def _start(self) -> None:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        self._session = aiohttp.ClientSession(
            self.upstream, connector=connector, timeout=timeout, auto_decompress=False
        )
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method, request.path)
        if not self.watcher(call):
            return _cut(request)
        if (made_up := self.instead(request)) is not None:
            return made_up
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _PRIVATE}
        assert self._session is not None
        try:
            async with self._session.request(
                request.method,
                request.rel_url,
                headers=headers,
                data=await request.read() or None,
                skip_auto_headers=("Content-Type", "Accept", "Accept-Encoding", "User-Agent"),
            ) as answer:
                return await self._answer(request, call, answer)
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)

    async def _answer(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _PRIVATE}
        if "watch" not in request.query:
            body = await answer.read()
            done = Call(call.method, call.path, answered=True)
            self.calls.append(done)
            return web.Response(status=answer.status, headers=kept, body=body) if self.watcher(done) else _cut(request)
        if not self.watcher(call):
            # Asked for before the connection was to be cut, and answered after.
            return _cut(request)
        stream = web.StreamResponse(status=answer.status, headers=kept)
        if (transport := request.transport) is not None:
            self._watches.add(transport)
        try:
            await stream.prepare(request)
            async for chunk in answer.content.iter_any():
                await stream.write(chunk)
        finally:
            if transport is not None:
                self._watches.discard(transport)
        return stream


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)
