"""What an operator that is gone left on nodes, given back by the release keeper: one way for all that is left so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import Informer
from mfu.cluster.pacing import Attempts
from mfu.cluster.resources import JSON, NODES

log = logging.getLogger(__name__)


class LeftNode(Protocol):
    """A node as it was left."""

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...

    @property
    def place(self) -> str:
        """Which node it is, and where it stands: while that changes, somebody is at it."""
        ...


N = TypeVar("N", bound=LeftNode)


@dataclass(frozen=True, slots=True)
class Leaving(Generic[N]):
    """What may be left on a node: how it is found, when nobody comes back for it, and how it is given back."""

    label: str
    """Nodes that carry it are watched."""
    read: Callable[[JSON], N | None]
    """None for a node on which nothing of it is."""
    over: Callable[[N, float, float], bool]
    """By the wall clock, and by the seconds for which we have seen it where it is."""
    give_back: Callable[[KubeClient, JSON], Awaitable[str]]
    """Of exactly the node that is given; what was done, in a word."""


@dataclass(slots=True)
class NodeKeeper(Generic[N]):
    """`round(nodes)` gives back those whose time is over, though no operator lives; what fails, ever later again."""

    client: KubeClient
    leaving: Leaving[N]
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    _seen: dict[str, float] = field(default_factory=dict)
    """When we saw a node first where it is, on the loop's clock."""

    def informer(self) -> Informer[N]:
        return Informer(self.client, NODES, self.leaving.read, selectors={"labelSelector": self.leaving.label})

    async def round(self, nodes: Mapping[str, N], may_write: Callable[[], bool]) -> None:
        now = asyncio.get_running_loop().time()
        self._seen = {each.place: self._seen.get(each.place, now) for each in nodes.values()}
        self._attempts.forget(now)
        # What watches them goes on meanwhile.
        for each in tuple(nodes.values()):
            over = self.leaving.over(each, self.clock(), now - self._seen[each.place])
            if over and may_write() and not self._attempts.held_back(each.uid, each.place, now):
                await self._give_back(each, now)

    async def _give_back(self, seen: N, now: float) -> None:
        """As it is now: what went on, or is another node of that name, is left alone."""
        try:
            node = await self.client.get(NODES, seen.name)
            if self.leaving.read(node) != seen:
                return
            done = await self.leaving.give_back(self.client, node)
        except (ApiError, ServerUnreachable) as error:
            wait = self._attempts.failed(seen.uid, seen.place, now)
            log.warning("give back node=%s retry_in=%.0fs error=%s", seen.name, wait, error)
            return
        self._attempts.succeeded(seen.uid, seen.place, now)
        self.counts[done] += 1
        log.info("give back node=%s result=%s label=%s: nobody came back for it", seen.name, done, self.leaving.label)
