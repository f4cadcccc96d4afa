"""The release keeper: watches pods behind our gate and takes it off those whose deadline is over. It does no more.

Kubernetes has no timer for a scheduling gate: without this, a pod whose operator is gone would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from mfu.act import checks
from mfu.act.checks import CheckQuestion, unheld
from mfu.act.gates import HeldPod, deadlines, overdue
from mfu.cluster import projection
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.forsaken import ReshapedNode
from mfu.cluster.informer import Informer
from mfu.cluster.kueue_check import answer, question_of
from mfu.cluster.lease import Lease
from mfu.cluster.node_keeper import NodeKeeper
from mfu.cluster.pacing import Attempts
from mfu.cluster.queue_keeper import QueueKeeper
from mfu.cluster.release import release
from mfu.cluster.resources import JSON, KUEUE_WORKLOADS, MFUPOLICIES, NAMESPACES, PODS
from mfu.cluster.slowing import MarkedNode
from mfu.cluster.stopping import until_stopped
from mfu.engine.views import PolicyView

log = logging.getLogger(__name__)

UNBOUND: Final = "spec.nodeName=,status.phase=Pending"
"""Only pods without a node can be behind a gate; the API server leaves out all others."""
EVERY_SECONDS: Final = 0.5
POLICIES_WITHIN_SECONDS: Final = 10.0
"""After that, pods are released by the default deadline where policies can not be read."""
IN_FLIGHT: Final = 20


def held_pod(item: JSON) -> HeldPod | None:
    """None for a pod that is not behind our gate, or is going."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp") or not projection.has_our_gate(item.get("spec") or {}):
        return None
    created = projection.epoch(metadata.get("creationTimestamp"))
    return HeldPod(metadata["namespace"], metadata["name"], metadata["uid"], created)


@dataclass(slots=True)
class Keeper:
    """`run` never ends. `may_write`: whether the lease is ours; a standby watches and waits.

    `check` is the name of Kueue's AdmissionCheck that the operator answers; what waits for it too long may start.
    `nodes` where the operator changes MIG layouts: what it leaves cordoned is given back; `slow` where it puts its soft
    taint on nodes: what nobody renews is taken off. `jobs` where our name is put
    on Kueue's gate: it is taken off.
    """

    client: KubeClient
    check: str = ""
    nodes: NodeKeeper[ReshapedNode] | None = None
    slow: NodeKeeper[MarkedNode] | None = None
    jobs: QueueKeeper | None = None
    may_write: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = time.time
    counts: Counter[str] = field(default_factory=Counter)
    _attempts: Attempts = field(default_factory=Attempts)
    rounds_at: float | None = None
    """When the last round was done, on the loop's clock; None before the first."""
    _seen: dict[str, float] = field(default_factory=dict)
    """When we saw a pod first, on the loop's clock, by uid."""
    _asked: dict[str, float] = field(default_factory=dict)
    """The same of questions of Kueue, by key."""

    async def run(self) -> None:
        pods: Informer[HeldPod] = self._informer(PODS, held_pod, fieldSelector=UNBOUND)
        policies: Informer[PolicyView] = self._informer(MFUPOLICIES, projection.policy_view)
        namespaces: Informer[Mapping[str, str]] = self._informer(NAMESPACES, projection.namespace_labels)
        asked: Informer[CheckQuestion] = self._informer(KUEUE_WORKLOADS, lambda item: question_of(item, self.check))
        reshaped = self.nodes.informer() if self.nodes else None
        tainted = self.slow.informer() if self.slow else None
        gated = self.jobs.informers() if self.jobs else ()
        watched = (pods, policies, namespaces, *((asked,) if self.check else ()), *_these(reshaped, tainted), *gated)
        async with asyncio.TaskGroup() as group:
            for each in watched:
                group.create_task(each.run())
            await pods.synced.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLICIES_WITHIN_SECONDS):
                    await asyncio.gather(policies.synced.wait(), namespaces.synced.wait())
            log.info("keeping gates=%d policies=%d", len(pods.objects), len(policies.objects))
            while True:
                specs = {name: view.spec for name, view in policies.objects.items()}
                patience = deadlines(specs, namespaces.objects)
                await self.round(pods.objects, patience)
                await self.answer_all(asked.objects.values(), patience)
                if self.nodes and reshaped:
                    await self.nodes.round(reshaped.objects, self.may_write)
                if self.slow and tainted:
                    await self.slow.round(tainted.objects, self.may_write)
                if self.jobs:
                    waiting = chain.from_iterable(each.objects.values() for each in gated)
                    await self.jobs.round(waiting, patience, self.may_write)
                self.rounds_at = asyncio.get_running_loop().time()
                await asyncio.sleep(EVERY_SECONDS)

    def _informer(self, resource: Any, project: Callable[[JSON], Any], **selectors: str) -> Informer[Any]:
        return Informer(self.client, resource, project, changed=lambda: None, selectors=selectors)

    async def round(self, held: Mapping[str, HeldPod], deadline_seconds: Mapping[str, float]) -> None:
        """Release what is overdue now; what failed is tried again later."""
        now = asyncio.get_running_loop().time()
        self._seen = {pod.uid: self._seen.get(pod.uid, now) for pod in held.values()}
        waited = {uid: now - since for uid, since in self._seen.items()}
        due = overdue(held.values(), deadline_seconds, self.clock(), waited)
        if not due or not self.may_write():
            return
        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(
            *(self._release(pod, gate) for pod in due if not self._attempts.held_back(pod.uid, "", now))
        )
        self._attempts.forget(now)

    async def answer_all(self, asked: Iterable[CheckQuestion], deadline_seconds: Mapping[str, float]) -> None:
        """Let start what waits for a check of ours longer than a pod would behind our gate: Kueue has no timer."""
        now = asyncio.get_running_loop().time()
        open_ = [each for each in asked if each.asked]
        self._asked = {each.key: self._asked.get(each.key, now) for each in open_}
        waited = {key: now - since for key, since in self._asked.items()}
        due = checks.overdue(open_, deadline_seconds, self.clock(), waited)
        if not due or not self.may_write():
            return
        gate = asyncio.Semaphore(IN_FLIGHT)
        await asyncio.gather(*(self._let_start(each, gate) for each in due))

    async def _let_start(self, asked: CheckQuestion, gate: asyncio.Semaphore) -> None:
        clock = asyncio.get_running_loop().time
        if self._attempts.held_back(asked.key, asked.version, clock()):
            return
        async with gate:
            try:
                due = unheld(asked, "not answered within its deadline: it starts as it is")
                done = await answer(self.client, due, may_write=self.may_write)
            except (ApiError, ServerUnreachable) as error:
                wait = self._attempts.failed(asked.key, asked.version, clock())
                log.warning("answer workload=%s retry_in=%.0fs error=%s", asked.key, wait, error)
                return
        self._attempts.succeeded(asked.key, asked.version, clock())
        self.counts[done] += 1
        log.info("answer workload=%s result=%s: its deadline is over", asked.key, done)

    async def _release(self, pod: HeldPod, gate: asyncio.Semaphore) -> None:
        clock = asyncio.get_running_loop().time
        async with gate:
            try:
                opened = await release(self.client, pod.namespace, pod.name, uid=pod.uid, may_write=self.may_write)
            except (ApiError, ServerUnreachable) as error:
                wait = self._attempts.failed(pod.uid, "", clock())
                log.warning("release pod=%s retry_in=%.0fs error=%s", pod.key, wait, error)
                return
        self._attempts.succeeded(pod.uid, "", clock())
        self.counts[opened] += 1
        log.info("release pod=%s result=%s: its deadline is over", pod.key, opened)


def _these(*informers: Informer[Any] | None) -> tuple[Informer[Any], ...]:
    return tuple(each for each in informers if each is not None)


async def keep(keeper: Keeper, lease: Lease, stop: asyncio.Event) -> int:
    """Keep until told to stop; 1 when a part ended by itself (a lost lease: the next one starts in seconds)."""
    keeper.may_write = lambda: lease.fresh
    try:
        return await until_stopped(_kept(keeper, lease), stop, name="keeper")
    finally:
        await lease.release()


async def _kept(keeper: Keeper, lease: Lease) -> None:
    """A standby watches from the start, so that it can release the moment the lease is its own."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run(), name="keeper")
            await lease.acquire()
            group.create_task(lease.hold(), name="lease")
    except* Exception as failed:
        for error in failed.exceptions:
            log.error("part ended: %r", error, exc_info=error)
