"""The page over HTTP: a shell that says nothing, and views for those who may see them. Nothing can be written.

The shell, its style and its script are the same for all and open to all; every figure comes from a view, and a view
asks whose token it was sent and what they may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final

from aiohttp import web

from mfu.web import views
from mfu.web.markup import Markup, tag
from mfu.web.seen import MayShow, Rights, Seen, Source, Unavailable
from mfu.web.serving import Handler, served
from mfu.web.workload import workload

READERS: Final = 4
"""Views that are made at the same time: each is built off the loop that answers probes."""
SHELL_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
VIEW_HEADERS: Final = {**SHELL_HEADERS, "Cache-Control": "no-store"}
_WORDS: Final = {
    401: "Sign in with a token that the cluster knows.",
    403: "This account may see no ModelWorkloads: ask for the ClusterRole mfu-operator-modelworkload-viewer, which the "
    "chart adds to the built-in view.",
    503: "The API server does not answer, so nobody can be recognised now.",
}


@dataclass(slots=True)
class Site:
    """Handlers over one source and one answer to who may see what."""

    source: Source
    may_show: MayShow
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", _asset("page.html", "text/html")),
            web.get("/page.css", _asset("page.css", "text/css")),
            web.get("/page.js", _asset("page.js", "text/javascript")),
            web.get("/view/workloads", self._view(lambda seen, ask: views.workloads(seen, _namespace(ask)))),
            web.get("/view/workloads/{namespace}/{name}", self._view(_workload)),
            web.get("/view/fleet", self._view(lambda seen, _: views.fleet(seen))),
            web.get("/view/decisions", self._view(lambda seen, ask: views.decisions(seen, _namespace(ask)))),
            web.get("/view/changes", self._view(lambda seen, ask: views.changes(seen, _namespace(ask)))),
            web.get("/view/questions", self._view(lambda seen, ask: views.questions(seen, _namespace(ask)))),
        ]

    def _view(self, make: Callable[[Seen, web.Request], Markup | None]) -> Handler:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                seen = await self._seen(request)
            except Unavailable as error:
                return _answer(str(error), 503)
            if isinstance(seen, int):
                return _answer(_WORDS[seen], seen)
            async with self._places:
                made = await asyncio.to_thread(make, seen, request)
            if made is None:
                return _answer("There is no such workload, or this account may not see it.", 404)
            return _answer(made, 200)

        return handler

    async def _seen(self, request: web.Request) -> Seen | int:
        """What the bearer may see. Who is not known at all learns nothing of what there is."""
        authorization = request.headers.get("Authorization")
        seen = await self.source()
        rights = await self.may_show(authorization, frozenset(each.namespace for each in seen.workloads))
        return rights.of(seen) if isinstance(rights, Rights) else rights


def _namespace(request: web.Request) -> str | None:
    return request.query.get("namespace") or None


def _workload(seen: Seen, request: web.Request) -> Markup | None:
    known = seen.find(request.match_info["namespace"], request.match_info["name"])
    return None if known is None else workload(known, seen.at)


def _answer(said: str, status: int) -> web.Response:
    text = said if isinstance(said, Markup) else tag("p", said, class_="note")
    challenge = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    answer = web.Response(text=text, status=status, content_type="text/html", headers={**VIEW_HEADERS, **challenge})
    answer.enable_compression()
    return answer


def _asset(name: str, content_type: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=asset(name), content_type=content_type, headers=SHELL_HEADERS)

    return handler


@cache
def asset(name: str) -> str:
    """A file that is the same for everybody."""
    return files("mfu.web").joinpath("assets", name).read_text()


@asynccontextmanager
async def serve_page(site: Site, *, host: str, port: int) -> AsyncIterator[int]:
    """Serves for the length of the block; gives the port that was taken."""
    app = web.Application()
    app.add_routes(site.routes())
    async with served(app, host=host, port=port) as taken:
        yield taken
