"""A web application that is served for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(
    application: web.Application, *, host: str, port: int, shutdown_seconds: float = 1.0
) -> AsyncIterator[int]:
    """Gives the port that was taken; 0 asks for a free one. Open answers have `shutdown_seconds` to end."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_seconds)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
