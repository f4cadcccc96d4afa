"""Our gate off one pod, with a hint in the same patch or without any. No other gate is ever touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mfu.api.names import PLACEMENT_GATE, RANK_ORDER_ANNOTATION, decision_annotation
from mfu.cluster.affinity import hinted
from mfu.cluster.client import JSON_PATCH, ApiError, KubeClient
from mfu.cluster.json_patch import annotated, operation, place
from mfu.cluster.resources import JSON, PODS
from mfu.decide.types import DecisionType, NodeView

TRIES: Final = 3
"""Times that a pod is read and patched in a row, where somebody else writes to it meanwhile."""
_ANNOTATION: Final = decision_annotation(DecisionType.PLACEMENT)
WEAKENED: Final = "as a preference only: its own constraints, or who else holds it, may want another node"


class Opened(StrEnum):
    """What became of one pod."""

    RELEASED = "Released"
    NOT_GATED = "NotGated"
    """It does not carry our gate, or no longer."""
    GONE = "Gone"
    """There is no such pod any more, it is going, or another one has its name."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What goes into the patch beside the gate's removal, and what is said of it."""

    affinity: JSON
    words: str
    nodes: Iterable[NodeView] = ()
    rank_order: str = ""
    """Which ranks of its job go to which node; empty says nothing of it."""


def _always() -> bool:
    return True


async def release(
    client: KubeClient,
    namespace: str,
    name: str,
    *,
    uid: str | None = None,
    hint: Hint | None = None,
    may_write: Callable[[], bool] = _always,
) -> Opened:
    """Reads the pod, then patches exactly what was read; at most TRIES times. Raises ApiError, ServerUnreachable.

    `uid`: another pod of that name is left alone.
    """
    for left in reversed(range(TRIES)):
        try:
            pod = await client.get(PODS, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return Opened.GONE
            raise
        done = _done(pod, uid)
        if done is not None:
            return done
        if not may_write():
            return Opened.HELD_BACK
        try:
            path = PODS.path(namespace, name)
            await client.request("PATCH", path, body=patch_of(pod, hint), content_type=JSON_PATCH)
            return Opened.RELEASED
        except ApiError as error:
            if error.status == 404:
                return Opened.GONE
            if not error.outdated or not left:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def _done(pod: JSON, uid: str | None) -> Opened | None:
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp") or (uid is not None and metadata["uid"] != uid):
        return Opened.GONE
    return None if _index(pod) is not None else Opened.NOT_GATED


def patch_of(pod: JSON, hint: Hint | None) -> list[JSON]:
    """Tests first: that it is this pod, as it was read, and that the gate at that place is ours."""
    index = _index(pod)
    gate = f"/spec/schedulingGates/{index}"
    metadata = pod["metadata"]
    tests = [operation("test", "/metadata/uid", metadata["uid"]), operation("test", f"{gate}/name", PLACEMENT_GATE)]
    remove = {"op": "remove", "path": gate}
    if hint is None:
        return [*tests, remove]
    tests.append(operation("test", "/metadata/resourceVersion", metadata["resourceVersion"]))
    made = hinted(pod["spec"], hint.affinity, hint.nodes)
    words = f"{hint.words} ({WEAKENED})" if made.weakened else hint.words
    said = [annotated(metadata, _ANNOTATION, words)]
    if hint.rank_order:
        # By now there are annotations.
        said.append(operation("add", place(RANK_ORDER_ANNOTATION), hint.rank_order))
    return [*tests, *said, operation("add", "/spec/affinity", made.affinity), remove]


def _index(pod: JSON) -> int | None:
    gates = pod["spec"].get("schedulingGates") or ()
    return next((index for index, gate in enumerate(gates) if gate.get("name") == PLACEMENT_GATE), None)
