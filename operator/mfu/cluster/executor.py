"""Plan → pods behind our gate: opens what the plan says, one patch a pod, again until the cluster shows it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.act.types import Release
from mfu.cluster.client import JSON, ApiError, KubeClient, ServerUnreachable
from mfu.cluster.pacing import Attempts
from mfu.cluster.release import Hint, Opened, release
from mfu.cluster.resources import PODS
from mfu.decide.types import NodeView
from mfu.engine.plan import Event, Plan

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 20
RESULTS: Final = (*(str(each) for each in Opened), "Failed")

Note = Callable[[JSON, str, Event], None]
"""Keeps an event about an object for the next round of writing: (regarding, namespace, event)."""


@dataclass(slots=True)
class Executor:
    """`apply(plan)` opens gates. It knows nothing between calls but what failed or was just done.

    Each pod is read again by its uid before it is patched; what fails waits 5, 10, 20 … seconds. What is still behind
    its gate at the deadline is the release keeper's.
    """

    client: KubeClient
    nodes: Callable[[], Mapping[str, NodeView]]
    note: Note
    may_write: Callable[[], bool] = lambda: True
    counts: Counter[str] = field(default_factory=Counter)
    """Of RESULTS, since start."""
    _attempts: Attempts = field(default_factory=Attempts)

    async def apply(self, plan: Plan) -> None:
        now = asyncio.get_running_loop().time()
        due = [each for each in plan.releases if not self._attempts.held_back(each.key, _digest(each), now)]
        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(*(self._open(each, gate) for each in due))
        self._attempts.forget(now)

    async def _open(self, due: Release, gate: asyncio.Semaphore) -> None:
        clock = asyncio.get_running_loop().time
        async with gate:
            if not self.may_write():
                self.counts[Opened.HELD_BACK] += 1
                return
            try:
                opened = await self._release(due)
            except (ApiError, ServerUnreachable) as error:
                self.counts["Failed"] += 1
                wait = self._attempts.failed(due.key, _digest(due), clock())
                log.warning("release pod=%s/%s retry_in=%.0fs error=%s", due.namespace, due.pod, wait, error)
                return
        self.counts[opened] += 1
        if opened is Opened.HELD_BACK:
            return
        self._attempts.succeeded(due.key, _digest(due), clock())
        if opened is Opened.RELEASED:
            log.info("release pod=%s/%s workload=%s: %s", due.namespace, due.pod, due.workload, due.words)
            self.note(_regarding(due), due.namespace, Event("Normal", "GateOpened", due.words))

    async def _release(self, due: Release) -> Opened:
        hint = None
        if due.affinity is not None:
            hint = Hint(dict(due.affinity), due.words, tuple(self.nodes().values()))
        return await release(self.client, due.namespace, due.pod, uid=due.uid, hint=hint, may_write=self.may_write)


def _digest(due: Release) -> str:
    return json.dumps([due.words, due.affinity], sort_keys=True)


def _regarding(due: Release) -> JSON:
    named = {"namespace": due.namespace, "name": due.pod, "uid": due.uid}
    return {"apiVersion": PODS.api_version, "kind": PODS.kind, **named}
