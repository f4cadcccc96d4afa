"""/metrics, /healthz and /readyz. The page is rendered once for all who ask, and few are served at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import thread_time
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from mfu.controller.page import rendered
from mfu.web.serving import Handler, served

Check = Callable[[], str | None]
"""What is wrong, None when all is well."""
MayRead = Callable[[str | None], Awaitable[int | None]]
"""HTTP status to refuse the bearer of an Authorization header with, None where it may read."""

PAGE_SECONDS: Final = 5.0
"""A page is served for this long before it is rendered anew; scrapes are further apart."""
PAGE_REST: Final = 9.0
"""Rendering takes a tenth of a core at most: after each, so many times as long is rested."""
READERS: Final = 2
"""How many may read the page at once: each holds what its socket holds, and a slow one holds its place."""
READER_SECONDS: Final = 20.0
"""Who has not read the page by then is cut off; longer than any scrape waits."""
QUEUE_SECONDS: Final = 2.0
CHUNK_BYTES: Final = 64 * 1024


@asynccontextmanager
async def serve(
    registry: CollectorRegistry, *, host: str, port: int, healthy: Check, ready: Check, may_read: MayRead | None = None
) -> AsyncIterator[int]:
    """Serves for the length of the block; gives the port that was taken. Probes are open to all, they say little."""
    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", MetricsPage(registry, may_read).handle),
            web.get("/healthz", _check(healthy)),
            web.get("/readyz", _check(ready)),
        ]
    )
    async with served(app, host=host, port=port) as taken:
        yield taken


def _check(check: Check) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        problem = check()
        return web.Response(text="ok\n") if problem is None else web.Response(status=503, text=f"{problem}\n")

    return handler


@dataclass(slots=True)
class MetricsPage:
    """One rendering in memory, whoever asks and however slowly they read."""

    registry: CollectorRegistry
    may_read: MayRead | None = None
    _rendered: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    """By content type: the page, and until when it is served."""
    _rendering: asyncio.Lock = field(default_factory=asyncio.Lock)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.may_read is not None:
            status = await self.may_read(request.headers.get("Authorization"))
            if status is not None:
                return web.Response(status=status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            return web.Response(status=503, headers={"Retry-After": "5"}, text="others are reading\n")
        try:
            return await self._stream(request)
        finally:
            self._places.release()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await self._body(encode, content_type)
        response = web.StreamResponse(headers={"Content-Type": content_type, "Content-Length": str(len(body))})
        try:
            async with asyncio.timeout(READER_SECONDS):
                await response.prepare(request)
                for at in range(0, len(body), CHUNK_BYTES):
                    await response.write(memoryview(body)[at : at + CHUNK_BYTES])
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _body(self, encode: Callable[[CollectorRegistry], bytes], content_type: str) -> bytes:
        """Rendered off the loop that answers probes: ten thousand workloads take a second or two."""
        async with self._rendering:
            now = asyncio.get_running_loop().time()
            known = self._rendered.get(content_type)
            if known is None or now >= known[1]:
                # One page at a time: whoever asks for another kind of it has it made anew.
                self._rendered.clear()
                page, seconds = await asyncio.to_thread(_timed, encode, self.registry)
                known = self._rendered[content_type] = (page, now + max(PAGE_SECONDS, PAGE_REST * seconds))
            return known[0]


def _timed(encode: Callable[[CollectorRegistry], bytes], registry: CollectorRegistry) -> tuple[bytes, float]:
    """The page, and the processor time that it took."""
    began = thread_time()
    return rendered(encode, registry), thread_time() - began
