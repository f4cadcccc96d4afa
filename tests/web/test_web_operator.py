"""What the operator itself serves: the newest plan, made for the page once, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from mfu.cluster.client import KubeClient
from mfu.controller.config import OperatorConfig, PageSettings
from mfu.controller.loop import Loop
from mfu.controller.operator import Moments, _page, rights_of
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.saved import load
from mfu.web.rights import KubeRights
from mfu.web.seen import Rights, Unavailable

EXAMPLE = Path(__file__).parents[2] / "examples" / "snapshot.json"


@dataclass
class Planned:
    """As much of a loop as the page looks at."""

    plan: Plan | None = None


async def test_the_page_follows_the_plan_and_is_made_once_for_each() -> None:
    loop = Planned()
    moments = Moments(cast(Loop, loop))
    with pytest.raises(Unavailable, match="judged nothing yet"):
        await moments()
    loop.plan = evaluate(*load(EXAMPLE.read_text()))
    first = await moments()
    assert {each.name for each in first.workloads} >= {"faulty-training", "mig-small"}
    assert first.find("team-llm", "dense-training") is not None
    assert await moments() is first
    loop.plan = Plan()
    assert (await moments()).workloads == ()


async def test_it_is_served_where_it_is_wanted_and_to_nobody_without_a_token() -> None:
    loop, rights = cast(Loop, Planned(evaluate(*load(EXAMPLE.read_text())))), KubeRights(cast(KubeClient, object()))
    async with _page(loop, rights, PageSettings()) as port:
        assert port is None
    async with (
        _page(loop, rights, PageSettings(enabled=True, host="127.0.0.1", port=0)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get("/view/workloads") as answer,
    ):
        assert answer.status == 401
        assert "team-" not in await answer.text()


class Reviews:
    """An API server by which everybody may read one FleetReport, and nothing else."""

    def __init__(self, report: str) -> None:
        self.report = report

    async def create(self, resource: Any, body: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
        if resource.kind == "TokenReview":
            return {"status": {"authenticated": True, "user": {"username": "reader"}}}
        wanted = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (wanted["resource"], wanted.get("name")) == ("fleetreports", self.report)}}


EAST = {"shard": {"name": "east", "namespaceSelector": {"matchLabels": {"region": "east"}}}}


@pytest.mark.parametrize(("said", "report"), [({}, "fleet"), (EAST, "fleet-east")], ids=["all", "a shard"])
async def test_who_may_read_a_report_sees_the_fleet_of_the_operator_that_writes_it(
    said: dict[str, Any], report: str
) -> None:
    config = OperatorConfig.model_validate(said)
    for known in ("fleet", "fleet-east"):
        answer = await rights_of(cast(KubeClient, Reviews(known)), config)("Bearer reader", frozenset())
        assert answer == (Rights(fleet=True) if known == report else 403)
