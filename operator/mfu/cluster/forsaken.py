"""Nodes on their way to another MIG layout that nobody takes further: the release keeper gives them back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mfu.act.reshape import Reshape, forsaken, read_back
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import Informer
from mfu.cluster.pacing import Attempts
from mfu.cluster.reshaping import RESHAPE, give_back
from mfu.cluster.resources import JSON, NODES

log = logging.getLogger(__name__)
_OUTCOME = "nobody took it further; it is given back as it is"


@dataclass(frozen=True, slots=True)
class ReshapedNode:
    """A node on its way, as its annotation says; None where that is not to be read."""

    name: str
    uid: str
    going: Reshape | None

    @property
    def place(self) -> str:
        """Where on its way it is: while that changes, somebody is at it."""
        return f"{self.uid} {self.going and (self.going.phase, self.going.since)}"


def reshaped_node(item: JSON) -> ReshapedNode | None:
    metadata = item["metadata"]
    if RESHAPE not in (metadata.get("labels") or {}):
        return None
    going = read_back((metadata.get("annotations") or {}).get(RESHAPE, ""))
    return ReshapedNode(metadata["name"], metadata["uid"], going)


@dataclass(slots=True)
class NodeKeeper:
    """`round(nodes)` uncordons those that stand still for longer than any part of the way takes."""

    client: KubeClient
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    _seen: dict[str, float] = field(default_factory=dict)
    """When we saw a node first where it is, on the loop's clock."""

    def informer(self) -> Informer[ReshapedNode]:
        return Informer(self.client, NODES, reshaped_node, selectors={"labelSelector": RESHAPE})

    async def round(self, nodes: Mapping[str, ReshapedNode], may_write: Callable[[], bool]) -> None:
        now = asyncio.get_running_loop().time()
        self._seen = {each.place: self._seen.get(each.place, now) for each in nodes.values()}
        # What watches them goes on meanwhile.
        for each in tuple(nodes.values()):
            due = forsaken(each.going, self.clock(), now - self._seen[each.place])
            if due and may_write() and not self._attempts.held_back(each.uid, "", now):
                await self._give_back(each, now)

    async def _give_back(self, seen: ReshapedNode, now: float) -> None:
        """As it is now: what went on, or is another node of that name, is left alone."""
        try:
            node = await self.client.get(NODES, seen.name)
            if reshaped_node(node) != seen:
                return
            await give_back(self.client, node, _OUTCOME)
        except (ApiError, ServerUnreachable) as error:
            wait = self._attempts.failed(seen.uid, "", now)
            log.warning("give back node=%s retry_in=%.0fs error=%s", seen.name, wait, error)
            return
        self._attempts.succeeded(seen.uid, "", now)
        self.counts["GivenBack"] += 1
