"""Our name off Kueue's gate of one Job, in one patch that tests what it read. No other name is ever touched."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from mfu.act.queue_gates import GatedJob, names_on, without_ours
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.held import queue_gated
from mfu.cluster.json_patch import operation, place
from mfu.cluster.projection import epoch
from mfu.cluster.resources import JSON, RUNS_PODS

JOBS: Final = RUNS_PODS["job"]
TRIES: Final = 3
"""Times that a Job is read and patched in a row, where somebody else takes his name off meanwhile."""


class Ungated(StrEnum):
    """What became of one Job."""

    UNGATED = "Ungated"
    NOT_GATED = "NotGated"
    """Our name is not on it, or no longer."""
    GONE = "Gone"
    """There is no such Job any more, it is going, or another one has its name."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


def gated_job(item: JSON) -> GatedJob | None:
    """None for a Job without our name on its gate, and for one that is going."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp") or not queue_gated(item, JOBS.kind):
        return None
    return GatedJob(metadata["namespace"], metadata["name"], metadata["uid"], epoch(metadata.get("creationTimestamp")))


def _always() -> bool:
    return True


async def ungate(
    client: KubeClient, namespace: str, name: str, *, uid: str | None = None, may_write: Callable[[], bool] = _always
) -> Ungated:
    """Reads the Job, then patches exactly what was read; at most TRIES times. Raises ApiError, ServerUnreachable.

    `uid`: another Job of that name is left alone.
    """
    path = JOBS.path(namespace, name)
    for left in reversed(range(TRIES)):
        try:
            item = await client.request("GET", path)
            metadata = item["metadata"]
            if metadata.get("deletionTimestamp") or (uid is not None and metadata["uid"] != uid):
                return Ungated.GONE
            if not queue_gated(item, JOBS.kind):
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
    """Tests first: that it is this Job, and that the gate has the names that were read."""
    gate, where = metadata["annotations"][QUEUE_GATE_ANNOTATION], place(QUEUE_GATE_ANNOTATION)
    assert PLACEMENT_GATE in names_on(gate)
    left = without_ours(gate)
    tests = [operation("test", "/metadata/uid", metadata["uid"]), operation("test", where, gate)]
    return [*tests, operation("replace", where, left) if left else {"op": "remove", "path": where}]
