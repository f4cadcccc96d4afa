"""A pod's deletion cost, set or taken back in one patch, and only from what was seen of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from mfu.act.costs import MARK, PodMark
from mfu.api.names import DELETION_COST_ANNOTATION, decision_annotation
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.json_patch import as_read, operation, place
from mfu.cluster.resources import JSON, PODS
from mfu.decide.types import DecisionType

_ANNOTATION: Final = decision_annotation(DecisionType.SCALING)


class Marked(StrEnum):
    """What became of one pod."""

    MARKED = "Marked"
    UNMARKED = "Unmarked"
    ALREADY = "Already"
    GONE = "Gone"
    """There is no such pod any more, it is going, or another one has its name."""
    OWN_WORDS = "OwnWords"
    """It has a cost of somebody else's."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


async def mark(client: KubeClient, asked: PodMark, *, may_write: Callable[[], bool]) -> Marked:
    """Reads the pod, then patches exactly what was read. Raises ApiError, ServerUnreachable."""
    try:
        pod = await client.get(PODS, asked.pod, asked.namespace)
        done = _done(pod, asked)
        if done is not None:
            return done
        if not may_write():
            return Marked.HELD_BACK
        path = PODS.path(asked.namespace, asked.pod)
        await client.request("PATCH", path, body=patch_of(pod, asked), content_type=JSON_PATCH)
    except ApiError as error:
        if error.status == 404:
            return Marked.GONE
        raise
    return Marked.UNMARKED if asked.cost is None else Marked.MARKED


def _done(pod: JSON, asked: PodMark) -> Marked | None:
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp") or metadata["uid"] != asked.uid:
        return Marked.GONE
    said = (metadata.get("annotations") or {}).get(DELETION_COST_ANNOTATION)
    if said == (None if asked.cost is None else str(asked.cost)):
        return Marked.ALREADY
    return Marked.OWN_WORDS if said not in (None, str(MARK)) else None


def patch_of(pod: JSON, asked: PodMark) -> list[JSON]:
    """Tests first: that it is this pod, as it was read."""
    metadata = pod["metadata"]
    return [*as_read(metadata), *_annotations(metadata.get("annotations") or {}, asked)]


def _annotations(known: dict[str, Any], asked: PodMark) -> list[JSON]:
    if asked.cost is None:
        return [
            {"op": "remove", "path": place(name)} for name in (DELETION_COST_ANNOTATION, _ANNOTATION) if name in known
        ]
    said = {DELETION_COST_ANNOTATION: str(asked.cost), _ANNOTATION: asked.words}
    if not known:
        return [operation("add", "/metadata/annotations", said)]
    return [operation("add", place(name), text) for name, text in said.items()]
