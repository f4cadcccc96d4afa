"""Every query of every dashboard gives data from a real Prometheus that scrapes the simulated fleet's operator."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry

from e2e.testbed.prometheus import running
from mfu.api.mfupolicy import PerWorkload
from mfu.controller.metric_names import documented
from mfu.controller.metrics import OperatorMetrics
from mfu.controller.server import serve
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.saved import load
from mfu.engine.snapshot import PolicyView
from mfu.observe.readings import Counter, Gauge, WorkloadSeries
from tools.generate.dashboards import DASHBOARDS
from tools.generate.gen_dashboards import TARGET, rendered

ROOT = Path(__file__).parents[2]
QUERIES = [
    pytest.param(query, id=f"{board.uid}: {panel.title}")
    for board in DASHBOARDS
    for panel in board.panels
    for query, _ in panel.queries
]


def plan() -> Plan:
    """The example fleet, charged for, its services timed, with all that a policy can ask of single workloads."""
    snapshot, now = load((ROOT / "examples" / "snapshot.json").read_text())
    made = replace(
        snapshot,
        policies=tuple(map(charging, snapshot.policies)),
        series={key: timed(each) for key, each in snapshot.series.items()},
    )
    found = evaluate(made, now)
    full = tuple(replace(each, policy=replace(each.policy, per_workload=PerWorkload.FULL)) for each in found.workloads)
    return replace(found, workloads=full)


def charging(policy: PolicyView) -> PolicyView:
    assert policy.spec is not None
    prices = tuple(each.model_copy(update={"charged_per_gpu_hour": "3.00"}) for each in policy.spec.prices)
    return replace(policy, spec=policy.spec.model_copy(update={"prices": prices}))


def timed(series: WorkloadSeries) -> WorkloadSeries:
    """Ten requests more with each reading, nine of them in time: the promises of the two services."""
    readings = []
    for number, each in enumerate(series.progress):
        first = {Counter.FIRST_TOKENS_TIMED: 10.0 * number, Counter.FIRST_TOKENS_IN_TIME: 9.0 * number}
        token = {Counter.TOKENS_TIMED: 10.0 * number, Counter.TOKENS_IN_TIME: 9.9 * number}
        limits = {Gauge.FIRST_TOKEN_LIMIT_SECONDS: 2.0, Gauge.TOKEN_LIMIT_SECONDS: 0.05}
        readings.append(replace(each, counters={**each.counters, **first, **token}, gauges={**each.gauges, **limits}))
    return replace(series, progress=tuple(readings))


def registry() -> CollectorRegistry:
    """The operator's page with every gauge of the process set as a running one sets it."""
    shown = plan()
    metrics = OperatorMetrics(lambda: shown)
    metrics.readings.set(64)
    metrics.silenced.labels("dcgm").set(0)
    metrics.source_state.labels("dcgm", "Fresh").set(1)
    metrics.cycle_seconds.labels("evaluate").observe(0.2)
    return metrics.registry


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """Address of, and a session with, a Prometheus that has scraped the saved fleet's page twice."""
    async with serve(registry(), host="127.0.0.1", port=0, healthy=lambda: None, ready=lambda: None) as page:
        job = {"job_name": "mfu", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{page}"]}]}
        config = folder / "prometheus.yaml"
        config.write_text(yaml.safe_dump({"scrape_configs": [job]}))
        with running(config) as url:
            async with aiohttp.ClientSession(url) as session:
                await scraped(session)
                yield url, session


async def answers(folder: Path, queries: list[str]) -> dict[str, Any]:
    """What Prometheus answers to each."""
    async with watching(folder) as (_, session):
        return {query: await asked(session, query) for query in queries}


async def scraped(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(90):
        while True:
            try:
                found = await asked(session, "count_over_time(mfu_fleet_gpus[1m]) >= 3")
                if found:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.3)


async def asked(session: aiohttp.ClientSession, query: str) -> Any:
    chosen = re.sub(r'="\$(namespace|workload)"', '=~".*"', query)
    async with session.get("/api/v1/query", params={"query": chosen}) as answer:
        body = await answer.json()
        assert body["status"] == "success", (chosen, body)
        return body["data"]["result"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    queries = [query for each in QUERIES for query in map(str, each.values)]
    yield asyncio.run(answers(tmp_path_factory.mktemp("dashboards"), queries))


@pytest.mark.integration
@pytest.mark.parametrize("query", QUERIES)
def test_every_panel_has_data(query: str, found: dict[str, Any]) -> None:
    assert found[query], query


@pytest.mark.integration
@pytest.mark.parametrize("query", QUERIES)
def test_no_panel_doubles_when_the_operator_starts_anew(query: str, found: dict[str, Any]) -> None:
    """A new process has an address of its own, and its predecessor's series are there for as long as one looks back."""
    assert all("instance" not in each["metric"] for each in found[query]), found[query]


def test_dashboards_are_those_of_the_panels() -> None:
    assert {path.stem for path in TARGET.glob("*.json")} == {each.uid for each in DASHBOARDS}
    for each in DASHBOARDS:
        assert json.loads((TARGET / f"{each.uid}.json").read_text()) == rendered(each)


def test_panels_stand_side_by_side_and_none_on_another() -> None:
    for board in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in rendered(board)["panels"]:
            place = panel["gridPos"]
            mine = {(x, place["y"]) for x in range(place["x"], place["x"] + place["w"])}
            assert not mine & taken
            assert max(x for x, _ in mine) < 24
            taken |= mine


def test_queries_ask_for_metrics_that_the_operator_serves() -> None:
    served = {each.name for each in documented()}
    served |= {f"{name}{suffix}" for name in served for suffix in ("_total", "_sum", "_count")}
    for each in QUERIES:
        (query,) = map(str, each.values)
        assert set(re.findall(r"\bmfu_\w+", query)) <= served, query
