"""Whether Kueue may be asked to keep pods together by host: only where every flavor of the queue knows hosts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.queue_topology import takes_hosts
from mfu.cluster.resources import ResourcePath
from tests.builders.held import QUEUE, job

HOSTS = [{"nodeLabel": "example.com/rack"}, {"nodeLabel": "kubernetes.io/hostname"}]


class Server:
    def __init__(self, **objects: dict[str, Any]) -> None:
        self.objects = objects

    async def get(self, resource: ResourcePath, name: str, namespace: str | None = None) -> dict[str, Any]:
        try:
            return {"spec": self.objects[f"{resource.plural}_{name}"]}
        except KeyError:
            raise ApiError(404, "NotFound", "no such object", "GET") from None


def queue(*flavors: str) -> dict[str, Any]:
    return {"resourceGroups": [{"flavors": [{"name": each} for each in flavors]}]}


FULL: dict[str, dict[str, Any]] = {
    "localqueues_gpus": {"clusterQueue": "all"},
    "clusterqueues_all": queue("h100"),
    "resourceflavors_h100": {"topologyName": "racks"},
    "resourceflavors_plain": {},
    "topologies_racks": {"levels": HOSTS},
}


@pytest.mark.parametrize(
    ("changed", "takes"),
    [
        ({}, True),
        ({"clusterqueues_all": queue("h100", "plain")}, False),
        ({"clusterqueues_all": queue()}, False),
        ({"topologies_racks": {"levels": HOSTS[:1]}}, False),
        ({"resourceflavors_h100": {"topologyName": "gone"}}, False),
        ({"localqueues_gpus": {"clusterQueue": "gone"}}, False),
    ],
    ids=["hosts", "a flavor without topology", "no flavor", "racks only", "no such topology", "no such queue"],
)
def test_every_flavor_has_to_know_hosts(changed: dict[str, dict[str, Any]], takes: bool) -> None:
    owner = job(labels=QUEUE, namespace="team")
    server = cast(KubeClient, Server(**{**FULL, **changed}))
    assert asyncio.run(takes_hosts(server, owner)) is takes
