"""Whether Kueue can keep pods together by host in the queue of an owner, and that its Workload asks for it.

Asked for what it cannot give, Kueue never admits. And it reads annotations of a template once, as it makes the
Workload: of what comes later it compares the containers alone (0.17, `equality.ComparePodSets`), so the Workload is
told as well, while it has no quota.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.held import QUEUE_LABEL
from mfu.cluster.json_patch import operation
from mfu.cluster.projection import requested
from mfu.cluster.resources import (
    JSON,
    KUEUE_CLUSTER_QUEUES,
    KUEUE_FLAVORS,
    KUEUE_LOCAL_QUEUES,
    KUEUE_TOPOLOGIES,
    KUEUE_WORKLOADS,
)
from mfu.decide.fleet.capacity import HOST_LABEL
from mfu.decide.fleet.placement import SLICE_SIZE, SLICE_TOPOLOGY
from mfu.hardware.slices import quantity

_MOST_FLAVORS: Final = 32
_JOB_UID: Final = "kueue.x-k8s.io/job-uid"
"""Label of the Workload that Kueue makes of an object."""


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


async def ask_slices(client: KubeClient, owner: JSON, annotations: Mapping[str, str]) -> bool:
    """Whether what Kueue made of the owner asks for slices now; False where it has its quota already.

    True also where nothing was made of it yet: it will be made of the template. Raises ApiError, ServerUnreachable.
    """
    metadata = owner["metadata"]
    mine = f"{_JOB_UID}={metadata['uid']}"
    items, _ = await client.list(KUEUE_WORKLOADS, namespace=metadata["namespace"], labelSelector=mine)
    if any(_reserved(each) for each in items):
        return False
    for each in items:
        changes = list(_slices(each, annotations))
        if changes:
            await client.change_as_read(KUEUE_WORKLOADS, each["metadata"], changes)
    return True


def _reserved(workload: JSON) -> bool:
    conditions = (workload.get("status") or {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("QuotaReserved", "True") for each in conditions)


def _slices(workload: JSON, annotations: Mapping[str, str]) -> Iterator[JSON]:
    """Additions to pod sets that ask for GPUs and say nothing of slices."""
    wanted = {
        "podSetSliceRequiredTopology": annotations[SLICE_TOPOLOGY],
        "podSetSliceSize": quantity(annotations[SLICE_SIZE]),
    }
    for index, each in enumerate(workload["spec"].get("podSets") or ()):
        known, pointer = each.get("topologyRequest"), f"/spec/podSets/{index}/topologyRequest"
        if not requested((each.get("template") or {}).get("spec") or {}) or (known or {}).keys() & wanted:
            continue
        if known is None:
            yield operation("add", pointer, wanted)
        else:
            yield from (operation("add", f"{pointer}/{name}", value) for name, value in wanted.items())
