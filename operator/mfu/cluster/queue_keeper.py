"""What waits behind Kueue's gate because of us, and nobody answers: the release keeper takes our name off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.act.gates import overdue
from mfu.act.queue_gates import GatedOwner
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import Informer
from mfu.cluster.pacing import Attempts
from mfu.cluster.queue_gate import GATEABLE, gated_owner, ungate
from mfu.cluster.resources import runs_pods

log = logging.getLogger(__name__)
IN_FLIGHT: Final = 20


@dataclass(slots=True)
class QueueKeeper:
    """`round(owners, deadlines)` takes our name off those whose deadline is over; what failed is tried again later."""

    client: KubeClient
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    _seen: dict[str, float] = field(default_factory=dict)
    """When we saw each first, on the loop's clock, by uid."""

    def informers(self) -> tuple[Informer[GatedOwner], ...]:
        """One a kind. Kinds of other projects are not served everywhere."""
        return tuple(
            Informer(self.client, each, gated_owner(each.kind), optional=each.kind != "Job") for each in GATEABLE
        )

    async def round(
        self, owners: Iterable[GatedOwner], deadline_seconds: Mapping[str, float], may_write: Callable[[], bool]
    ) -> None:
        now = asyncio.get_running_loop().time()
        waiting = tuple(owners)
        self._seen = {each.uid: self._seen.get(each.uid, now) for each in waiting}
        waited = {uid: now - since for uid, since in self._seen.items()}
        due = overdue(waiting, deadline_seconds, self.clock(), waited)
        if not due or not may_write():
            return
        gate = asyncio.Semaphore(IN_FLIGHT)
        open_ = [each for each in due if not self._attempts.held_back(each.uid, "", now)]
        await asyncio.gather(*(self._ungate(each, gate, may_write) for each in open_))
        self._attempts.forget(now)

    async def _ungate(self, owner: GatedOwner, gate: asyncio.Semaphore, may_write: Callable[[], bool]) -> None:
        clock = asyncio.get_running_loop().time
        async with gate:
            try:
                where = runs_pods(owner.kind), owner.namespace, owner.name
                done = await ungate(self.client, *where, uid=owner.uid, may_write=may_write)
            except (ApiError, ServerUnreachable) as error:
                wait = self._attempts.failed(owner.uid, "", clock())
                log.warning("ungate owner=%s retry_in=%.0fs error=%s", owner.key, wait, error)
                return
        self._attempts.succeeded(owner.uid, "", clock())
        self.counts[done] += 1
        log.info("ungate owner=%s result=%s: its deadline is over", owner.key, done)
