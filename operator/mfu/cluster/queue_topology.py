"""Whether Kueue can keep pods together by host in the queue of an owner: asked for what it cannot, it never admits."""

from __future__ import annotations

from typing import Final

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.held import QUEUE_LABEL
from mfu.cluster.resources import JSON, KUEUE_CLUSTER_QUEUES, KUEUE_FLAVORS, KUEUE_LOCAL_QUEUES, KUEUE_TOPOLOGIES
from mfu.decide.fleet.capacity import HOST_LABEL

_MOST_FLAVORS: Final = 32


async def takes_hosts(client: KubeClient, owner: JSON) -> bool:
    """Every flavor of its queue has a topology that goes down to hosts. False where one is not there.

    Raises ApiError, ServerUnreachable.
    """
    metadata = owner["metadata"]
    queue = (metadata.get("labels") or {}).get(QUEUE_LABEL, "")
    try:
        local = await client.get(KUEUE_LOCAL_QUEUES, queue, metadata["namespace"])
        cluster = await client.get(KUEUE_CLUSTER_QUEUES, local["spec"]["clusterQueue"])
        flavors = _flavors(cluster)
        return 0 < len(flavors) <= _MOST_FLAVORS and all([await _down_to_hosts(client, each) for each in flavors])
    except ApiError as error:
        if error.status == 404:
            return False
        raise


def _flavors(queue: JSON) -> list[str]:
    groups = queue["spec"].get("resourceGroups") or ()
    return sorted({flavor["name"] for group in groups for flavor in group.get("flavors") or ()})


async def _down_to_hosts(client: KubeClient, name: str) -> bool:
    topology = (await client.get(KUEUE_FLAVORS, name))["spec"].get("topologyName")
    if not topology:
        return False
    levels = (await client.get(KUEUE_TOPOLOGIES, topology))["spec"].get("levels") or ()
    return any(level.get("nodeLabel") == HOST_LABEL for level in levels)
