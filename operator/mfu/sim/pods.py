"""What runs on the fleet: pods with their planted truth, and the workloads that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mfu.sim.inventory import GPU_RESOURCE
from mfu.sim.truth import Truth


@dataclass(frozen=True, slots=True)
class Work:
    """Tokens that a pod's counters show."""

    trained: float = 0.0
    prompt: float = 0.0
    generated: float = 0.0


@dataclass(frozen=True, slots=True)
class SimPod:
    """One pod that holds devices of one resource on one node. `owner` names the Job or Deployment."""

    namespace: str
    name: str
    owner: str
    truth: Truth
    count: int
    resource: str = GPU_RESOURCE
    node: str | None = None
    container: str = "main"
    started: float = 0.0
    done: Work = Work()
    """What its counters showed at `started`: more than nothing where the truth was changed while it ran."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def workload(self) -> str:
        return f"{self.namespace}/{self.owner}"


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload for tests and benchmarks, placed by the fleet itself: `pods` pods of `gpus` devices each."""

    namespace: str
    name: str
    truth: Truth
    pods: int = 1
    gpus: int = 8
    resource: str = GPU_RESOURCE
    nodes: tuple[str, ...] = field(default=())
    """Where the pods go, in order; empty: first fit."""
    started: float = 0.0

    def sim_pods(self) -> Iterator[SimPod]:
        for number in range(self.pods):
            node = self.nodes[number % len(self.nodes)] if self.nodes else None
            yield SimPod(
                namespace=self.namespace,
                name=f"{self.name}-{number}",
                owner=self.name,
                truth=self.truth,
                count=self.gpus,
                resource=self.resource,
                node=node,
                started=self.started,
            )
