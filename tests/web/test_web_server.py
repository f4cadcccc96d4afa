"""Who is shown what: the API server's answers decide, and nothing can be written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import aiohttp
import pytest

from mfu.api.decisions import Decision, DecisionMode, DecisionType
from mfu.api.workload_status import WorkloadStatus
from mfu.cli.ui import may_show
from mfu.cluster.client import KubeClient, ServerUnreachable
from mfu.engine.packed import Packed
from mfu.web.rights import KubeRights
from mfu.web.seen import MayShow, Seen, Unavailable
from mfu.web.server import Site, asset, serve_page
from tests.builders.seen import many

ADMIN, TENANT, NOBODY = ("Bearer admin", "Bearer tenant", "Bearer nobody")


class Reviews:
    """An API server that knows three tokens: one sees all, one sees team-02, one sees nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.away = False

    async def create(self, resource: Any, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        if self.away:
            raise ServerUnreachable("refused")
        spec = body["spec"]
        self.asked.append(resource.kind)
        if resource.kind == "TokenReview":
            known = spec["token"] in ("admin", "tenant", "nobody")
            return {"status": {"authenticated": known, "user": {"username": spec["token"]} if known else {}}}
        wanted = spec["resourceAttributes"]
        assert wanted["group"] == "mfu.gpuaas.io"
        mine = wanted.get("namespace") == "team-02" and wanted["resource"] == "modelworkloads"
        return {"status": {"allowed": spec["user"] == "admin" or (spec["user"] == "tenant" and mine)}}


HOLD = Decision(type=DecisionType.ADMISSION, outcome="Hold", mode=DecisionMode.RECOMMEND, reason="R", message="why")


async def source() -> Seen:
    """Forty workloads, each of which is asked for something."""
    seen = many(40)
    asked = (replace(each, status=Packed.of(_held(each.status.read()))) for each in seen.workloads)
    return replace(seen, workloads=tuple(asked))


def _held(status: WorkloadStatus) -> WorkloadStatus:
    return status.model_copy(update={"decisions": (HOLD,)})


@asynccontextmanager
async def served(allow: MayShow) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serve_page(Site(source, allow), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


def rights(server: Reviews) -> KubeRights:
    return KubeRights(cast(KubeClient, server))


@pytest.mark.parametrize(
    ("header", "path", "status", "there", "absent"),
    [
        (None, "/view/workloads", 401, "Sign in", "job-"),
        ("Bearer stranger", "/view/workloads", 401, "Sign in", "job-"),
        ("Basic admin", "/view/workloads", 401, "Sign in", "job-"),
        (NOBODY, "/view/workloads", 403, "modelworkload-viewer", "job-"),
        (NOBODY, "/view/fleet", 403, "modelworkload-viewer", "%"),
        (TENANT, "/view/workloads", 200, "job-0002", "job-0004"),
        (TENANT, "/view/workloads?namespace=team-04", 200, "<dd>0</dd>", "job-0004"),
        (TENANT, "/view/workloads/team-02/job-0002", 200, "team-02/job-0002", "job-0004"),
        (TENANT, "/view/workloads/team-04/job-0004", 404, "no such workload", "job-0004"),
        (TENANT, "/view/decisions", 200, "team-02", "team-04"),
        (TENANT, "/view/changes", 200, "Changes", "team-04"),
        (TENANT, "/view/questions", 200, "team-02", "team-04"),
        (TENANT, "/view/fleet", 200, "may not see", "%"),
        (ADMIN, "/view/workloads", 200, "job-0004", "may not see"),
        (ADMIN, "/view/workloads/team-04/job-0004", 200, "team-04/job-0004", "job-0002"),
        (ADMIN, "/view/fleet", 200, "Fleet MFU", "may not see"),
        (ADMIN, "/view/workloads/team-04/absent", 404, "no such workload", "job-"),
    ],
)
async def test_who_sees_what(header: str | None, path: str, status: int, there: str, absent: str) -> None:
    async with served(rights(Reviews())) as session:
        headers = {"Authorization": header} if header else {}
        async with session.get(path, headers=headers) as answer:
            text = await answer.text()
            assert answer.status == status
            assert there in text
            assert absent not in text
            assert answer.headers["Cache-Control"] == "no-store"


async def test_answers_are_asked_once_a_minute_and_only_for_namespaces_that_are_there() -> None:
    server = Reviews()
    allow = rights(server)
    for _ in range(3):
        await allow(TENANT, frozenset({"team-02", "team-04"}))
    assert server.asked.count("TokenReview") == 1
    assert server.asked.count("SubjectAccessReview") == 4
    await allow(TENANT, frozenset({"team-02", "team-05"}))
    assert server.asked.count("SubjectAccessReview") == 5
    await allow(ADMIN, frozenset({"team-02", "team-04"}))
    assert server.asked.count("SubjectAccessReview") == 7


async def test_nobody_new_is_let_in_while_the_api_server_is_away() -> None:
    server = Reviews()
    allow = rights(server)
    await allow(TENANT, frozenset({"team-02"}))
    server.away = True
    async with served(allow) as session, session.get("/view/workloads", headers={"Authorization": ADMIN}) as answer:
        assert answer.status == 503
        assert "job-" not in await answer.text()


async def test_an_answer_is_forgotten_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Reviews()
    allow = rights(server)
    monkeypatch.setattr("mfu.cluster.reviews.REMEMBERED_SECONDS", 0.0)
    for _ in range(2):
        await allow(TENANT, frozenset({"team-02"}))
    assert server.asked.count("TokenReview") == 2


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
async def test_the_shell_is_open_and_says_nothing(path: str) -> None:
    async with served(rights(Reviews())) as session, session.get(path) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "team-" not in text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_written(method: str) -> None:
    headers = {"Authorization": ADMIN}
    async with (
        served(rights(Reviews())) as session,
        session.request(method, "/view/workloads", headers=headers) as answer,
    ):
        assert answer.status == 405


async def test_a_source_that_has_nothing_says_why() -> None:
    async def none() -> Seen:
        raise Unavailable("The operator has judged nothing yet.")

    async with (
        serve_page(Site(none, rights(Reviews())), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/view/fleet", headers={"Authorization": ADMIN}) as answer,
    ):
        assert answer.status == 503
        assert "judged nothing yet" in await answer.text()


async def test_the_local_page_is_for_whoever_has_its_key() -> None:
    async with served(partial(may_show, "key")) as session:
        for header, status in ((None, 401), ("Bearer", 401), ("Bearer other", 401), ("Bearer key", 200)):
            headers = {"Authorization": header} if header else {}
            async with session.get("/view/workloads", headers=headers) as answer:
                assert answer.status == status


def test_assets_are_there_and_whole() -> None:
    assert asset("page.html").rstrip().endswith("</html>")
    for name in ("page.css", "page.js"):
        assert name in asset("page.html")
