"""One run on the wall clock: jobs arrive, run as fast as the truth says where their pods are, and end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.placement.contenders import NAMESPACE, Contender, objects_of
from benchmarks.placement.fleet import FleetNode
from benchmarks.placement.work import Work
from benchmarks.placement_truth import Spot, Truth
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.connection import connect
from mfu.cluster.informer import Informer
from mfu.cluster.resources import EVENTS, MODELWORKLOADS, PODS, RUNS_PODS

STEP_SECONDS: Final = 0.1
SAMPLE_SECONDS: Final = 1.0
_SUCCEED: Final = "mfu.gpuaas.io/e2e-succeed"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True, slots=True)
class SeenPod:
    """What the bench sees of a pod."""

    name: str
    job: str
    index: int
    node: str | None
    running: bool
    gated: bool


@dataclass(slots=True)
class JobRun:
    """What became of one job. Times are seconds after the start."""

    work: Work
    submitted_at: float | None = None
    complete_at: float | None = None
    """All of its pods are there."""
    open_at: float | None = None
    """No gate holds any of them."""
    bound_at: dict[int, float] = field(default_factory=dict)
    """By index of the pod."""
    nodes: dict[int, str] = field(default_factory=dict)
    started_at: float | None = None
    flops_per_s: float = 0.0
    ended_at: float | None = None

    @property
    def ends_at(self) -> float | None:
        return None if self.started_at is None else self.started_at + self.work.flops / self.flops_per_s

    @property
    def wait_seconds(self) -> float | None:
        if self.started_at is None or self.submitted_at is None:
            return None
        return self.started_at - self.submitted_at


@dataclass(slots=True)
class Drive:
    """`run` plays all of the work and returns after the last job, or at the limit."""

    contender: Contender
    client: KubeClient
    nodes: dict[str, FleetNode]
    truth: Truth
    runs: dict[str, JobRun]
    limit_seconds: float
    free_while_waiting: list[int] = field(default_factory=list)
    """A sample a second: free GPUs of products that some waiting job allows, where one waits."""
    unschedulable: Counter[str] = field(default_factory=Counter)
    """Times that the scheduler found no node for a pod, by job: each costs at least a second of back-off."""
    now: float = 0.0
    _began: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        pods: Informer[SeenPod] = Informer(self.client, PODS, _seen, namespace=NAMESPACE)
        watching = asyncio.create_task(pods.run())
        await pods.synced.wait()
        self._began = time.monotonic()
        sampled = 0.0
        while any(each.ended_at is None for each in self.runs.values()) and self.now < self.limit_seconds:
            self.now = time.monotonic() - self._began
            self._submit()
            self._look(list(pods.objects.values()))
            self._end()
            if self.now - sampled >= SAMPLE_SECONDS:
                sampled = self.now
                self._sample()
            await asyncio.sleep(STEP_SECONDS)
        watching.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._count_failures()

    async def _count_failures(self) -> None:
        events, _ = await self.client.list(EVENTS, namespace=NAMESPACE)
        for each in events:
            if each.get("reason") == "FailedScheduling":
                name = each["regarding"]["name"].rsplit("-", 2)[0]
                self.unschedulable[name] += (each.get("series") or {}).get("count", 1)

    def _submit(self) -> None:
        for each in self.runs.values():
            if each.submitted_at is None and each.work.arrives_at <= self.now:
                each.submitted_at = self.now
                self._do(self._created(each.work))

    async def _created(self, job: Work) -> None:
        for each in objects_of(self.contender, job):
            resource = MODELWORKLOADS if each["kind"] == "ModelWorkload" else RUNS_PODS["job"]
            await self.client.create(resource, each, NAMESPACE)

    def _look(self, pods: Sequence[SeenPod]) -> None:
        running: dict[str, int] = {}
        self._follow(pods)
        for pod in pods:
            each = self.runs[pod.job]
            if each.ended_at is not None or pod.node is None:
                continue
            each.bound_at.setdefault(pod.index, self.now)
            each.nodes[pod.index] = pod.node
            running[pod.job] = running.get(pod.job, 0) + pod.running
        for name, count in running.items():
            each = self.runs[name]
            if each.started_at is None and count == each.work.pods:
                self._start(each)

    def _follow(self, pods: Sequence[SeenPod]) -> None:
        """How far those have come that have not started."""
        there, gated = Counter(pod.job for pod in pods), Counter(pod.job for pod in pods if pod.gated)
        for name, count in there.items():
            each = self.runs[name]
            if count < each.work.pods or each.started_at is not None:
                continue
            each.complete_at = self.now if each.complete_at is None else each.complete_at
            if each.open_at is None and not gated[name]:
                each.open_at = self.now

    def _start(self, each: JobRun) -> None:
        names = [each.nodes[index] for index in range(each.work.pods)]
        spots = [Spot(name, self.nodes[name].hardware.label) for name in names]
        each.started_at = self.now
        each.flops_per_s = self.truth.flops_per_s(each.work.kind, spots)

    def _end(self) -> None:
        for each in self.runs.values():
            ends_at = each.ends_at
            if each.ended_at is None and ends_at is not None and ends_at <= self.now:
                each.ended_at = self.now
                self._do(self._finished(each.work))

    async def _finished(self, job: Work) -> None:
        pods, _ = await self.client.list(PODS, namespace=NAMESPACE, labelSelector=f"job={job.name}")
        done = {"metadata": {"annotations": {_SUCCEED: "true"}}}
        names = [pod["metadata"]["name"] for pod in pods]
        await asyncio.gather(*(self.client.merge(PODS, name, done, namespace=NAMESPACE) for name in names))
        if self.contender is Contender.OURS:
            await self.client.delete(MODELWORKLOADS, job.name, NAMESPACE)

    def _sample(self) -> None:
        waiting = [each for each in self.runs.values() if each.submitted_at is not None and each.started_at is None]
        if not waiting:
            return
        allowed = {label for each in waiting for label in each.work.products}
        free = {name: node.gpus for name, node in self.nodes.items() if node.hardware.label in allowed}
        for each in self.runs.values():
            if each.ended_at is None:
                for node in each.nodes.values():
                    if node in free:
                        free[node] -= each.work.kind.piece
        self.free_while_waiting.append(sum(free.values()))

    def _do(self, what: Any) -> None:
        task = asyncio.create_task(_told(what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _told(what: Any) -> None:
    try:
        await what
    except (ApiError, ServerUnreachable) as error:
        print(f"  {error}", flush=True)


def _seen(item: dict[str, Any]) -> SeenPod | None:
    metadata, status = item["metadata"], item.get("status") or {}
    labels = metadata.get("labels") or {}
    if "job" not in labels or metadata.get("deletionTimestamp"):
        return None
    node, gated = item["spec"].get("nodeName"), bool(item["spec"].get("schedulingGates"))
    return SeenPod(metadata["name"], labels["job"], int(labels[_INDEX]), node, status.get("phase") == "Running", gated)


async def play(
    kubeconfig: Path,
    contender: Contender,
    *,
    nodes: Sequence[FleetNode],
    jobs: Sequence[Work],
    truth: Truth,
    limit_seconds: float,
) -> Drive:
    async with KubeClient(connect(kubeconfig)) as client:
        by_name = {node.name: node for node in nodes}
        drive = Drive(contender, client, by_name, truth, {job.name: JobRun(job) for job in jobs}, limit_seconds)
        await drive.run()
        return drive
