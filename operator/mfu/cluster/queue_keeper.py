"""Jobs that wait behind Kueue's gate because of us, and nobody answers: the release keeper takes our name off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.act.gates import overdue
from mfu.act.queue_gates import GatedJob
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.informer import Informer
from mfu.cluster.pacing import Attempts
from mfu.cluster.queue_gate import JOBS, gated_job, ungate

log = logging.getLogger(__name__)
IN_FLIGHT: Final = 20


@dataclass(slots=True)
class QueueKeeper:
    """`round(jobs, deadlines)` takes our name off those whose deadline is over; what failed is tried again later."""

    client: KubeClient
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    _seen: dict[str, float] = field(default_factory=dict)
    """When we saw a Job first, on the loop's clock, by uid."""

    def informer(self) -> Informer[GatedJob]:
        return Informer(self.client, JOBS, gated_job)

    async def round(
        self, jobs: Mapping[str, GatedJob], deadline_seconds: Mapping[str, float], may_write: Callable[[], bool]
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._seen = {job.uid: self._seen.get(job.uid, now) for job in jobs.values()}
        waited = {uid: now - since for uid, since in self._seen.items()}
        due = overdue(jobs.values(), deadline_seconds, self.clock(), waited)
        if not due or not may_write():
            return
        gate = asyncio.Semaphore(IN_FLIGHT)
        open_ = [job for job in due if not self._attempts.held_back(job.uid, "", now)]
        await asyncio.gather(*(self._ungate(job, gate, may_write) for job in open_))
        self._attempts.forget(now)

    async def _ungate(self, job: GatedJob, gate: asyncio.Semaphore, may_write: Callable[[], bool]) -> None:
        clock = asyncio.get_running_loop().time
        async with gate:
            try:
                done = await ungate(self.client, job.namespace, job.name, uid=job.uid, may_write=may_write)
            except (ApiError, ServerUnreachable) as error:
                wait = self._attempts.failed(job.uid, "", clock())
                log.warning("ungate job=%s retry_in=%.0fs error=%s", job.key, wait, error)
                return
        self._attempts.succeeded(job.uid, "", clock())
        self.counts[done] += 1
        log.info("ungate job=%s result=%s: its deadline is over", job.key, done)
