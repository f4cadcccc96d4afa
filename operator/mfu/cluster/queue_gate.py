"""Our name off Kueue's gate of one owner, in one patch that tests what it read. No other name is ever touched."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mfu.act.queue_gates import GatedOwner, names_on, without_ours
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.held import HOLDABLE, queue_gated
from mfu.cluster.json_patch import operation, place
from mfu.cluster.projection import epoch
from mfu.cluster.resources import JSON, ResourcePath

GATEABLE: Final = HOLDABLE
"""Kinds of which our name is taken off. The chart puts it on no LeaderWorkerSet: Kueue gates the pods of one that has
replicas, and what has replicas is not told any more."""
TRIES: Final = 3
"""Times that an owner is read and patched in a row, where somebody else takes his name off meanwhile."""


class Ungated(StrEnum):
    """What became of one owner."""

    UNGATED = "Ungated"
    NOT_GATED = "NotGated"
    """Our name is not on it, or no longer."""
    GONE = "Gone"
    """There is no such object any more, it is going, or another one has its name."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


def gated_owner(kind: str) -> Callable[[JSON], GatedOwner | None]:
    """A projection for objects of that kind: None for one without our name on its gate, and for one that is going."""

    def project(item: JSON) -> GatedOwner | None:
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp") or not queue_gated(item):
            return None
        named = metadata["namespace"], kind, metadata["name"], metadata["uid"]
        return GatedOwner(*named, epoch(metadata.get("creationTimestamp")))

    return project


def _always() -> bool:
    return True


async def ungate(
    client: KubeClient,
    kind: ResourcePath,
    namespace: str,
    name: str,
    *,
    uid: str | None = None,
    may_write: Callable[[], bool] = _always,
) -> Ungated:
    """Reads the object, then patches exactly what was read; at most TRIES times. Raises ApiError, ServerUnreachable.

    `uid`: another object of that name is left alone.
    """
    path = kind.path(namespace, name)
    for left in reversed(range(TRIES)):
        try:
            metadata = (item := await client.request("GET", path))["metadata"]
            if metadata.get("deletionTimestamp") or (uid is not None and metadata["uid"] != uid):
                return Ungated.GONE
            if not queue_gated(item):
                return Ungated.NOT_GATED
            if not may_write():
                return Ungated.HELD_BACK
            await client.request("PATCH", path, body=patch_of(metadata), content_type=JSON_PATCH)
            return Ungated.UNGATED
        except ApiError as error:
            if error.status == 404:
                return Ungated.GONE
            if not error.outdated or not left:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def patch_of(metadata: JSON) -> list[JSON]:
    """Tests first: that it is this object, and that the gate has the names that were read."""
    gate, where = metadata["annotations"][QUEUE_GATE_ANNOTATION], place(QUEUE_GATE_ANNOTATION)
    assert PLACEMENT_GATE in names_on(gate)
    left = without_ours(gate)
    tests = [operation("test", "/metadata/uid", metadata["uid"]), operation("test", where, gate)]
    return [*tests, operation("replace", where, left) if left else {"op": "remove", "path": where}]
