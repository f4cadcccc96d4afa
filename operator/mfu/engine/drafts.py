"""GPU pods that no ModelWorkload claims, by what owns them: what each seems to be, and the command that adopts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.engine.claims import owners_of
from mfu.engine.views import PodView

MOST_DRAFTS: Final = 20
_OUTERMOST_FIRST: Final = (
    "InferenceService",
    "LLMInferenceService",
    "RayService",
    "RayJob",
    "RayCluster",
    "JobSet",
    "TrainJob",
    "PyTorchJob",
    "MPIJob",
    "LeaderWorkerSet",
    "CronJob",
    "Deployment",
    "StatefulSet",
    "Job",
)
"""Kinds that `mfu adopt KIND/NAME` reads; of a pod's owners the first of these is the one to adopt."""
_CERTAIN_ONLY: Final = frozenset({"RayJob", "RayService", "TrainJob"})
"""Guessed from names and labels that others carry too: taken where an owner reference or origin label says so."""


@dataclass(frozen=True, slots=True)
class UndeclaredPods:
    """GPU pods of one owner without a declaration. `target` is KIND/NAME as `mfu adopt` takes it."""

    namespace: str
    target: str
    pods: int
    gpus: int
    """Devices that they ask for, slices and turns counted as such; 0 where claims (DRA) hide the number."""
    seems: str

    @property
    def command(self) -> str:
        return f"mfu adopt {self.target} -n {self.namespace} | kubectl apply -f -"


def undeclared(unclaimed: Iterable[PodView]) -> tuple[UndeclaredPods, ...]:
    """Most GPUs first, at most 20. Pods that ended, and those that ask for nothing, are left out."""
    found: dict[tuple[str, str], list[PodView]] = defaultdict(list)
    for pod in unclaimed:
        if pod.active and (pod.gpus or pod.claims) and not pod.reserves:
            found[pod.namespace, target_of(pod)].append(pod)
    drafts = [_draft(*key, pods) for key, pods in found.items()]
    return tuple(sorted(drafts, key=lambda each: (-each.gpus, each.namespace, each.target))[:MOST_DRAFTS])


def _draft(namespace: str, target: str, pods: Sequence[PodView]) -> UndeclaredPods:
    gpus = sum(sum(pod.gpus.values()) for pod in pods)
    seen = next((pod.seems for pod in pods if pod.seems), "")
    return UndeclaredPods(namespace, target, len(pods), gpus, seen)


def target_of(pod: PodView) -> str:
    """Such as `deployment/llm`; the pod itself where nothing that can be adopted owns it."""
    owned = dict(pod.owners)
    origin = pod.labels.get("ray.io/originated-from-crd")
    known = {
        kind: name for kind, name in owners_of(pod) if kind not in _CERTAIN_ONLY or kind in owned or kind == origin
    }
    kind = next((each for each in _OUTERMOST_FIRST if each in known), None)
    return f"pod/{pod.name}" if kind is None else f"{kind.lower()}/{known[kind]}"
