"""Real tokens on a real API server: a tenant's shows its own namespace alone, in every view."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import pytest

from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.web.rights import KubeRights
from mfu.web.seen import Seen
from mfu.web.server import Site, serve_page
from tests.builders.kube import install_definitions
from tests.builders.seen import many

pytestmark = pytest.mark.integration

VIEWS = ("workloads", "fleet", "decisions", "changes", "questions")
READ = [{"apiGroups": ["mfu.gpuaas.io"], "resources": ["modelworkloads"], "verbs": ["get", "list"]}]
ALL = [{"apiGroups": ["mfu.gpuaas.io"], "resources": ["modelworkloads", "fleetreports"], "verbs": ["get", "list"]}]


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    install_definitions(api_server_only)
    return api_server_only


@dataclass(frozen=True)
class People:
    """Two namespaces, and the token of each account by its name."""

    mine: str
    other: str
    tokens: dict[str, str]


@pytest.fixture
def people(server: ControlPlane) -> People:
    mine, other = server.new_namespace("mine"), server.new_namespace("other")
    tokens = {}
    for name in ("tenant", "admin", "nobody"):
        server.kubectl("create", "serviceaccount", name, "-n", mine)
        tokens[name] = server.kubectl("create", "token", name, "-n", mine).strip()
    grant(server, "Role", f"tenant-{mine}", READ, ("tenant", mine))
    grant(server, "ClusterRole", f"admin-{mine}", ALL, ("admin", mine))
    return People(mine, other, tokens)


def grant(server: ControlPlane, kind: str, name: str, rules: list[dict[str, list[str]]], who: tuple[str, str]) -> None:
    account, namespace = who
    inside = {"namespace": namespace} if kind == "Role" else {}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    server.apply({**api, "kind": kind, "metadata": {"name": name, **inside}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    subjects = [{"kind": "ServiceAccount", "name": account, "namespace": namespace}]
    binding = {"kind": f"{kind}Binding", "metadata": {"name": name, **inside}, "roleRef": reference}
    server.apply({**api, **binding, "subjects": subjects})


@asynccontextmanager
async def served(server: ControlPlane, people: People) -> AsyncIterator[aiohttp.ClientSession]:
    seen = many(12, namespaces=2)
    names = {"team-00": people.mine, "team-01": people.other}
    mine = tuple(replace(each, namespace=names[each.namespace]) for each in seen.workloads)

    async def source() -> Seen:
        return replace(seen, workloads=mine)

    async with (
        KubeClient(connect(server.kubeconfig)) as client,
        serve_page(Site(source, KubeRights(client)), host="127.0.0.1", port=0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def get(session: aiohttp.ClientSession, path: str, token: str) -> tuple[int, str]:
    async with session.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status, await answer.text()


async def test_a_tenants_token_sees_no_other_namespace(server: ControlPlane, people: People) -> None:
    async with served(server, people) as session:
        said = [await get(session, f"/view/{view}", people.tokens["tenant"]) for view in VIEWS]
        assert [status for status, _ in said] == [200] * len(VIEWS)
        assert people.mine in said[0][1]
        assert not [text for _, text in said if people.other in text]
        assert "Fleet MFU" not in said[1][1]
        there = await get(session, f"/view/workloads/{people.other}/job-0001", people.tokens["tenant"])
        nowhere = await get(session, f"/view/workloads/{people.other}/job-9999", people.tokens["tenant"])
        assert there == nowhere
        assert there[0] == 404


async def test_an_admins_token_sees_all(server: ControlPlane, people: People) -> None:
    async with served(server, people) as session:
        _, workloads = await get(session, "/view/workloads", people.tokens["admin"])
        assert people.mine in workloads
        assert people.other in workloads
        _, fleet = await get(session, "/view/fleet", people.tokens["admin"])
        assert "Fleet MFU" in fleet


async def test_tokens_without_rights_or_of_nobody_see_nothing(server: ControlPlane, people: People) -> None:
    forged = people.tokens["admin"][:-6] + "AAAAAA"
    async with served(server, people) as session:
        for token, status in ((people.tokens["nobody"], 403), (forged, 401), (json.dumps({}), 401)):
            for view in VIEWS:
                found, text = await get(session, f"/view/{view}", token)
                assert found == status
                assert people.mine not in text
                assert people.other not in text
