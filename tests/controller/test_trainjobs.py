"""TrainJob status as a source of progress: who is asked, what is dated by whom, and what is said when nothing comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from mfu.cluster.client import ApiError
from mfu.controller.trainjobs import TrainJobStatuses
from mfu.observe.readings import Counter

REPORTED = {
    "lastUpdatedTime": "2026-11-22T06:00:00Z",
    "metrics": [{"name": "num_input_tokens_seen", "value": "1048576"}],
}


def view(name: str, *, kind: str = "TrainJob", progress: object = None) -> SimpleNamespace:
    spec = SimpleNamespace(target_ref=SimpleNamespace(kind=kind, name=name), progress=progress)
    return SimpleNamespace(namespace="team-a", key=f"team-a/{name}", spec=spec)


def pod(name: str, phase: str = "Running") -> SimpleNamespace:
    return SimpleNamespace(namespace="team-a", name=name, phase=phase, uid=f"uid-{name}")


@dataclass
class Cluster:
    """A client and a state in one; `jobs` by name, or the error that listing gives."""

    views: list[Any]
    pods: dict[str, tuple[Any, ...]]
    jobs: dict[str, Any] | ApiError
    listed: list[str] = field(default_factory=list)

    @property
    def workloads(self) -> SimpleNamespace:
        return SimpleNamespace(objects={each.key: each for each in self.views})

    def claims(self) -> SimpleNamespace:
        return SimpleNamespace(pods=self.pods)

    async def list(self, _: object, *, namespace: str) -> tuple[list[Any], str]:
        self.listed.append(namespace)
        if isinstance(self.jobs, ApiError):
            raise self.jobs
        return [{"metadata": {"name": name}, "status": status} for name, status in self.jobs.items()], "1"


def read(cluster: Cluster) -> tuple[TrainJobStatuses, tuple[Any, ...]]:
    source = TrainJobStatuses(cluster, cluster)  # type: ignore[arg-type]
    return source, asyncio.run(source.read(0.0))


def test_the_status_is_progress_of_the_first_running_pod() -> None:
    pods = {"team-a/llama": (pod("llama-1"), pod("llama-0"), pod("a", "Pending"))}
    source, (found,) = read(Cluster([view("llama")], pods, {"llama": {"trainerStatus": REPORTED}}))
    assert (found.pod, found.pod_uid, found.scope_total, found.source) == (
        "llama-0",
        "uid-llama-0",
        True,
        "trainerStatus",
    )
    assert found.counters == {Counter.TRAINED_TOKENS: 1_048_576}
    assert found.observed_at == 1795327200.0
    assert not source.problems


def test_nobody_is_asked_without_need() -> None:
    views = [view("declared", progress=object()), view("job", kind="Job"), view("waiting")]
    cluster = Cluster(views, {"team-a/declared": (pod("a"),), "team-a/job": (pod("b"),)}, {})
    assert read(cluster)[1] == ()
    assert cluster.listed == []


def test_what_is_missing_is_said() -> None:
    pods = {"team-a/llama": (pod("llama-0"),)}
    source, found = read(Cluster([view("llama")], pods, {"llama": {}}))
    assert found == () and "no trainerStatus" in source.problems["team-a/llama-0"]
    source, found = read(Cluster([view("llama")], pods, {"llama": {"trainerStatus": {"metrics": []}}}))
    assert found == () and "lastUpdatedTime" in source.problems["team-a/llama-0"]
    source, found = read(Cluster([view("llama")], pods, ApiError(404, "NotFound", "no such kind", "list trainjobs")))
    assert found == () and "cannot be listed" in source.problems["team-a/llama-0"]
