"""Our soft taint on a node, put on, renewed or taken off in one patch of exactly what was read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mfu.act.slowing import EFFECT, SLOW, SlowOrder, expired
from mfu.api.names import decision_annotation
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.json_patch import annotated, operation, place, put, step
from mfu.cluster.node_keeper import Leaving
from mfu.cluster.projection import has_our_taint, is_our_taint, slow_until
from mfu.cluster.resources import JSON, NODES
from mfu.decide.types import DecisionType

_ANNOTATION: Final = decision_annotation(DecisionType.PLACEMENT)
_LABEL: Final = f"/metadata/labels/{step(SLOW)}"


class Slowed(StrEnum):
    """What became of one node."""

    TAINTED = "Tainted"
    RENEWED = "Renewed"
    GIVEN_BACK = "GivenBack"
    ALREADY = "Already"
    GONE = "Gone"
    """There is no such node any more."""
    HELD_BACK = "HeldBack"
    """We may not write any more."""


async def slow(client: KubeClient, asked: SlowOrder, *, may_write: Callable[[], bool]) -> Slowed:
    """Reads the node, then patches exactly what was read. Raises ApiError, ServerUnreachable."""
    try:
        node = await client.get(NODES, asked.node)
        tainted, until = has_our_taint(node.get("spec") or {}), slow_until(node)
        if (asked.until is None and until is None) or (asked.until is not None and tainted and until == asked.until):
            return Slowed.ALREADY
        if not may_write():
            return Slowed.HELD_BACK
        changes = _off(node) if asked.until is None else _on(node, asked)
        await client.change_as_read(NODES, node["metadata"], changes)
    except ApiError as error:
        if error.status == 404:
            return Slowed.GONE
        raise
    if asked.until is None:
        return Slowed.GIVEN_BACK
    return Slowed.RENEWED if tainted else Slowed.TAINTED


def _on(node: JSON, asked: SlowOrder) -> list[JSON]:
    metadata, spec = node["metadata"], node.get("spec") or {}
    changes = [annotated(metadata, _ANNOTATION, asked.words), *put(metadata, "labels", {SLOW: str(asked.until)})]
    if not has_our_taint(spec):
        taint = {"key": SLOW, "effect": EFFECT}
        known = spec.get("taints")
        changes.append(
            operation("add", "/spec/taints/-", taint) if known else operation("add", "/spec/taints", [taint])
        )
    return changes


def _off(node: JSON) -> list[JSON]:
    """The highest place first: each removal moves those behind it."""
    metadata, taints = node["metadata"], (node.get("spec") or {}).get("taints") or ()
    places = [index for index, each in enumerate(taints) if is_our_taint(each)]
    changes: list[JSON] = [{"op": "remove", "path": f"/spec/taints/{index}"} for index in reversed(places)]
    if SLOW in (metadata.get("labels") or {}):
        changes.append({"op": "remove", "path": _LABEL})
    if _ANNOTATION in (metadata.get("annotations") or {}):
        changes.append({"op": "remove", "path": place(_ANNOTATION)})
    return changes


@dataclass(frozen=True, slots=True)
class MarkedNode:
    """A node with our label, and until when it says that the taint stands."""

    name: str
    uid: str
    until: int

    @property
    def place(self) -> str:
        """While it moves, somebody renews it."""
        return f"{self.uid} {self.until}"


def marked_node(item: JSON) -> MarkedNode | None:
    until = slow_until(item)
    return None if until is None else MarkedNode(item["metadata"]["name"], item["metadata"]["uid"], until)


async def _take_off(client: KubeClient, node: JSON) -> Slowed:
    await client.change_as_read(NODES, node["metadata"], _off(node))
    return Slowed.GIVEN_BACK


MARKED: Final = Leaving(SLOW, marked_node, lambda node, now, waited: expired(node.until, now, waited), _take_off)
"""Our taint, taken off where nobody renews it."""
