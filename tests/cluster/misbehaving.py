"""An HTTP server in the API server's place that answers as it is told, for the real client and the real informers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from mfu.cluster.client import KubeClient
from mfu.cluster.connection import Connection

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
OBJECTS = [{"metadata": {"name": f"n{row}", "resourceVersion": "1", "labels": {"a": str(row)}}} for row in range(3)]
LIST = {"metadata": {"resourceVersion": "10"}, "items": OBJECTS}


def raw(body: bytes, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def said(document: Any, status: int = 200, **headers: str) -> Answer:
    return raw(json.dumps(document).encode(), status, **headers)


def stream(*lines: bytes, then_wait: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        if then_wait:
            await asyncio.sleep(3600)
        return response

    return answer


@dataclass
class Misbehaving:
    """`lists` and `watches` are answered in order, the last of each for ever."""

    lists: list[Answer] = field(default_factory=lambda: [said(LIST)])
    watches: list[Answer] = field(default_factory=lambda: [stream(then_wait=True)])
    others: Answer = field(default_factory=lambda: said({"metadata": {"name": "x"}}))
    asked: Counter[str] = field(default_factory=Counter)
    queries: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.paths.append(request.path)
        if request.method != "GET":
            self.asked[request.method] += 1
            return await self.others(request)
        kind, answers = ("watch", self.watches) if request.query.get("watch") else ("list", self.lists)
        self.asked[kind] += 1
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return await answer(request)


@asynccontextmanager
async def serving(server: Misbehaving) -> AsyncIterator[KubeClient]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", server.handle)
    async with TestServer(app) as running:
        url = str(running.make_url("")).rstrip("/")
        async with KubeClient(Connection(url, None, _NoCredentials())) as client:
            yield client


class _NoCredentials:
    def get_api_key_with_prefix(self, _: str) -> None:
        return None
