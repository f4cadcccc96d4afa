"""Suspends what idles, through the field that its kind has for it, or through Kueue where Kueue queues it.

One patch says it and does it: an owner that was suspended by us carries our words, whoever dies meanwhile. Nothing is
evicted or deleted by us; the owner's own controller ends its pods, and brings them back when it is taken up again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from mfu.act.types import Suspension
from mfu.api.names import decision_annotation
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.held import QUEUE_LABEL
from mfu.cluster.json_patch import annotated, as_read, operation
from mfu.cluster.resources import JSON, KUEUE_WORKLOADS, ResourcePath, runs_pods
from mfu.decide.types import DecisionType

_ANNOTATION: Final = decision_annotation(DecisionType.RECLAIM)
_FIELD: Final = {"PyTorchJob": ("spec", "runPolicy"), "MPIJob": ("spec", "runPolicy")}
"""Where `suspend` stands, where it is not in spec itself."""
_ENDED: Final = frozenset({"Complete", "Completed", "Failed", "Succeeded"})


class Suspended(StrEnum):
    """What became of one owner."""

    SUSPENDED = "Suspended"
    ALREADY = "Already"
    """It is suspended, by us or by somebody else."""
    GONE = "Gone"
    """There is no such object any more, it is going or done, or another one has its name."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


async def suspend(client: KubeClient, asked: Suspension, *, may_write: Callable[[], bool]) -> Suspended:
    """Reads the owner, then patches exactly what was read. Raises ApiError, ServerUnreachable."""
    resource = runs_pods(asked.kind)
    owner = await _read(client, resource, asked.name, asked.namespace)
    if owner is None or _over(owner) or _made_at(owner) > asked.not_younger_than:
        return Suspended.GONE
    queued = await _queued(client, owner, asked.namespace)
    if queued is not None:
        return await _deactivated(client, queued, asked, may_write)
    if _block(owner, asked.kind).get("suspend"):
        return Suspended.ALREADY
    if not may_write():
        return Suspended.HELD_BACK
    path = resource.path(asked.namespace, asked.name)
    field = "/" + "/".join((*_FIELD.get(asked.kind, ("spec",)), "suspend"))
    return await _patched(client, path, patch_of(owner, field, True, asked.words))


async def _read(client: KubeClient, resource: ResourcePath, name: str, namespace: str) -> JSON | None:
    try:
        return await client.get(resource, name, namespace)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _over(owner: JSON) -> bool:
    """It is going, or it has ended by itself."""
    if owner["metadata"].get("deletionTimestamp"):
        return True
    conditions = owner.get("status", {}).get("conditions") or ()
    return any(each.get("type") in _ENDED and each.get("status") == "True" for each in conditions)


def _made_at(owner: JSON) -> float:
    return datetime.fromisoformat(owner["metadata"]["creationTimestamp"]).timestamp()


def _block(owner: JSON, kind: str) -> JSON:
    block: Any = owner
    for key in _FIELD.get(kind, ("spec",)):
        block = block.get(key) or {}
    found: JSON = block
    return found


async def _queued(client: KubeClient, owner: JSON, namespace: str) -> JSON | None:
    """Its Workload: what Kueue queues is Kueue's to suspend, or it would be taken up again at once."""
    if QUEUE_LABEL not in (owner["metadata"].get("labels") or {}):
        return None
    listed = await client.request("GET", KUEUE_WORKLOADS.path(namespace))
    uid = owner["metadata"]["uid"]
    for item in listed.get("items") or ():
        if any(each.get("uid") == uid for each in item["metadata"].get("ownerReferences") or ()):
            found: JSON = item
            return found
    return None


async def _deactivated(
    client: KubeClient, workload: JSON, asked: Suspension, may_write: Callable[[], bool]
) -> Suspended:
    if workload.get("spec", {}).get("active") is False:
        return Suspended.ALREADY
    if not may_write():
        return Suspended.HELD_BACK
    path = KUEUE_WORKLOADS.path(asked.namespace, workload["metadata"]["name"])
    return await _patched(client, path, patch_of(workload, "/spec/active", False, asked.words))


async def _patched(client: KubeClient, path: str, patch: list[JSON]) -> Suspended:
    try:
        await client.request("PATCH", path, body=patch, content_type=JSON_PATCH)
    except ApiError as error:
        if error.status == 404:
            return Suspended.GONE
        raise
    return Suspended.SUSPENDED


def patch_of(read: JSON, field: str, value: bool, words: str) -> list[JSON]:
    """Tests first: that it is this object, as it was read. Words and deed go together."""
    metadata = read["metadata"]
    return [
        *as_read(metadata),
        annotated(metadata, _ANNOTATION, words),
        operation("add", field, value),
    ]
