"""Our soft taint on a node, put on, renewed or taken off in one patch of exactly what was read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mfu.act.slowing import EFFECT, SLOW, SlowOrder, expired
from mfu.api.names import decision_annotation
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import Informer
from mfu.cluster.json_patch import annotated, operation, place, put, step
from mfu.cluster.pacing import Attempts
from mfu.cluster.projection import has_our_taint, is_our_taint, slow_until
from mfu.cluster.resources import JSON, NODES
from mfu.decide.types import DecisionType

log = logging.getLogger(__name__)
_ANNOTATION: Final = decision_annotation(DecisionType.PLACEMENT)
_OUTCOME: Final = "nobody says any more that it is slow: it is given back"
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


def marked_node(item: JSON) -> MarkedNode | None:
    until = slow_until(item)
    return None if until is None else MarkedNode(item["metadata"]["name"], item["metadata"]["uid"], until)


@dataclass(slots=True)
class SlowKeeper:
    """`round(nodes)` gives back those whose time is over, though no operator lives."""

    client: KubeClient
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    _seen: dict[MarkedNode, float] = field(default_factory=dict)
    """When we saw a node first as it is, on the loop's clock."""

    def informer(self) -> Informer[MarkedNode]:
        return Informer(self.client, NODES, marked_node, selectors={"labelSelector": SLOW})

    async def round(self, nodes: Mapping[str, MarkedNode], may_write: Callable[[], bool]) -> None:
        now = asyncio.get_running_loop().time()
        self._seen = {each: self._seen.get(each, now) for each in nodes.values()}
        # What watches them goes on meanwhile.
        for each in tuple(nodes.values()):
            over = expired(each.until, self.clock(), now - self._seen[each])
            if over and may_write() and not self._attempts.held_back(each.uid, str(each.until), now):
                await self._give_back(each, now)

    async def _give_back(self, seen: MarkedNode, now: float) -> None:
        """As it is now: what was renewed, or is another node of that name, is left alone."""
        try:
            if marked_node(await self.client.get(NODES, seen.name)) != seen:
                return
            done = await slow(self.client, SlowOrder(seen.name, _OUTCOME, None), may_write=lambda: True)
        except (ApiError, ServerUnreachable) as error:
            wait = self._attempts.failed(seen.uid, str(seen.until), now)
            log.warning("give back node=%s retry_in=%.0fs error=%s", seen.name, wait, error)
            return
        self._attempts.succeeded(seen.uid, str(seen.until), now)
        self.counts[done] += 1
        log.info("give back node=%s result=%s: %s", seen.name, done, _OUTCOME)
