"""Progress that a TrainJob reports in its own status, for workloads that aim at one and declare no counter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.resources import JSON, TRAINJOBS
from mfu.cluster.state import ClusterState
from mfu.engine.snapshot import PodView
from mfu.observe.readings import ProgressReading
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.pods import trainjob
from mfu.telemetry.pods.progress import ScrapedPod

INTERVAL_SECONDS: Final = 30.0
"""Trainers report every five seconds at most; two readings within a minute are enough for a rate."""


@dataclass(slots=True)
class TrainJobStatuses:
    """Lists the TrainJobs of those namespaces alone in which a workload needs one."""

    client: KubeClient
    state: ClusterState
    problems: dict[str, str] = field(default_factory=dict)
    """Why a workload's TrainJob told nothing, by "namespace/name" of the pod that would have been its reporter."""

    async def read(self, now: float) -> tuple[ProgressReading, ...]:
        """A reading a workload, dated by the status itself. What cannot be read is a problem, never an error."""
        wanted = self._wanted()
        self.problems = {}
        found: list[ProgressReading] = []
        for namespace in sorted({namespace for namespace, _ in wanted}):
            mine = _of(wanted, namespace)
            jobs = await self._jobs(namespace, [pod for _, pod in mine.values()])
            for (_, name), (workload, pod) in mine.items():
                reading = None if jobs is None else self._reading(workload, pod, jobs.get(name))
                found += [reading] if reading is not None else []
        return tuple(found)

    def _wanted(self) -> dict[tuple[str, str], tuple[str, PodView]]:
        """Workload and first running pod, by namespace and name of the TrainJob."""
        claims, wanted = self.state.claims(), {}
        for view in self.state.workloads.objects.values():
            target = None if view.spec is None or view.spec.progress is not None else view.spec.target_ref
            running = [pod for pod in claims.pods.get(view.key, ()) if pod.phase == "Running"]
            if target is not None and target.kind == TRAINJOBS.kind and running:
                wanted[view.namespace, target.name] = view.key, min(running, key=lambda pod: pod.name)
        return wanted

    async def _jobs(self, namespace: str, pods: list[PodView]) -> dict[str, JSON] | None:
        try:
            items, _ = await self.client.list(TRAINJOBS, namespace=namespace)
        except (ApiError, ServerUnreachable) as error:
            why = f"TrainJobs of {namespace} cannot be listed: {error}"
            self.problems.update({_reporter(pod): why for pod in pods})
            return None
        return {item["metadata"]["name"]: item for item in items}

    def _reading(self, workload: str, pod: PodView, job: JSON | None) -> ProgressReading | None:
        status = ((job or {}).get("status") or {}).get("trainerStatus")
        if not isinstance(status, Mapping):
            self.problems[_reporter(pod)] = f"{workload}: its TrainJob has no trainerStatus; declare spec.progress"
            return None
        try:
            return replace(trainjob.read(status, ScrapedPod(pod.namespace, pod.name)), pod_uid=pod.uid)
        except TelemetryError as error:
            self.problems[_reporter(pod)] = str(error)
            return None

    async def close(self) -> None:
        """The client is the operator's own."""


def _reporter(pod: PodView) -> str:
    return f"{pod.namespace}/{pod.name}"


def _of(
    wanted: Mapping[tuple[str, str], tuple[str, PodView]], namespace: str
) -> dict[tuple[str, str], tuple[str, PodView]]:
    return {key: value for key, value in wanted.items() if key[0] == namespace}
