"""Pages that a tenant may serve, in a process of their own: `python -m tests.telemetry.hostile` prints the port."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

HOSTILE: Final = b"m 1\n" * (255 * 256)
"""As many samples as fit under the cap, all of the wanted name."""


async def hostile(_: web.Request) -> web.Response:
    return web.Response(body=HOSTILE)


async def large(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(b"#" * 65_535 + b"\n")
    return response


async def framed(request: web.Request) -> web.StreamResponse:
    """A body of one-byte chunks."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    assert request.transport is not None
    request.transport.write(b"".join(b"1\r\n%c\r\n" % byte for byte in b"m 1\n" * 20_000) + b"0\r\n\r\n")
    return response


async def labels(_: web.Request) -> web.Response:
    return web.Response(body=b'm{l="' + b"x" * 250_000 + b'"} 1\n')


async def comments(_: web.Request) -> web.Response:
    return web.Response(body=b"# TYPE m counter\n" * 15_000)


async def spaces(_: web.Request) -> web.Response:
    return web.Response(body=b"#" + b" " * 250_000 + b"\nm" + b" " * 1000 + b"1\n")


async def digits(_: web.Request) -> web.Response:
    return web.Response(body=b"m " + b"1" * 250_000 + b"\n")


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


PAGES: Final = (hostile, large, framed, labels, comments, spaces, digits, trickle, hanging, small)


def application() -> web.Application:
    app = web.Application()
    for handler in PAGES:
        app.router.add_get(f"/{handler.__name__}", handler)
    return app


async def main() -> None:
    runner = web.AppRunner(application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
