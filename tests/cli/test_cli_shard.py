"""`mfu report` and `mfu ui` where several operators share a cluster: each has a report, and people are told of them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mfu.cli.report import no_report
from mfu.cli.ui import ClusterSource
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.said import fleet_status, shards_that_report
from mfu.engine.plan import NO_REPORT


class Reports:
    """A cluster of which only the FleetReports matter."""

    def __init__(self, **reports: str) -> None:
        self.reports = {name.replace("_", "-"): mfu for name, mfu in reports.items()}

    async def get(self, _: Any, name: str) -> dict[str, Any]:
        if name not in self.reports:
            raise ApiError(404, "NotFound", f'fleetreports "{name}" not found', "reading it")
        return {"metadata": {"name": name}, "status": {"summary": {"mfu": self.reports[name]}}}

    async def list(self, resource: Any, **_: Any) -> tuple[list[dict[str, Any]], str]:
        names = self.reports if resource.kind == "FleetReport" else ()
        return [{"metadata": {"name": each}} for each in names], "1"


def client(**reports: str) -> KubeClient:
    return cast(KubeClient, Reports(**reports))


SHARDS = client(fleet_west="20.0%", fleet_east="30.0%")


@pytest.mark.parametrize(("shard", "mfu"), [("east", "30.0%"), ("west", "20.0%")])
def test_each_shard_has_its_own_report(shard: str, mfu: str) -> None:
    status = asyncio.run(fleet_status(SHARDS, shard)).read()
    assert status.summary is not None
    assert status.summary.mfu == mfu
    shown = asyncio.run(ClusterSource(SHARDS, shard=shard).read()).report
    assert shown is not None
    assert shown.read() == status


def test_who_asks_for_the_whole_of_a_shared_cluster_is_told_the_shards() -> None:
    assert asyncio.run(fleet_status(SHARDS)) == NO_REPORT
    assert asyncio.run(shards_that_report(SHARDS)) == ("east", "west")
    assert asyncio.run(no_report(SHARDS)) == "no such report; each shard has its own: --shard east, --shard west"


def test_one_operator_of_all_is_no_shard() -> None:
    one = client(fleet="25.0%")
    assert asyncio.run(shards_that_report(one)) == ()
    assert asyncio.run(fleet_status(one)) != NO_REPORT
    assert asyncio.run(no_report(client())).startswith("no report yet: is the operator running")
