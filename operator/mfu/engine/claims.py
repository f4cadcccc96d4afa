"""Which pods belong to which ModelWorkload: label first, then targetRef, then podSelector; the older claim wins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.views import Assignment, PodView, WorkloadView

# Labels that controllers put on the pods of objects which own them only through a chain of other owners.
CHAIN_LABELS: Mapping[str, str] = {
    "JobSet": "jobset.sigs.k8s.io/jobset-name",
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
    "LeaderWorkerSet": "leaderworkerset.sigs.k8s.io/name",
    "PyTorchJob": "training.kubeflow.org/job-name",
    "MPIJob": "training.kubeflow.org/job-name",
    "RayCluster": "ray.io/cluster",
    "InferenceService": "serving.kserve.io/inferenceservice",
}


def assign(workloads: Sequence[WorkloadView], pods: Iterable[PodView]) -> Assignment:
    """Every pod to at most one workload; order of the inputs does not matter."""
    by_namespace: dict[str, list[WorkloadView]] = defaultdict(list)
    for workload in sorted(workloads, key=lambda each: (each.created_at, each.key)):
        by_namespace[workload.namespace].append(workload)
    claimed: dict[str, list[PodView]] = defaultdict(list)
    conflicts: dict[str, str] = {}
    unclaimed: list[PodView] = []
    indexes = {namespace: _Claims(mine) for namespace, mine in by_namespace.items()}
    for pod in sorted(pods, key=lambda each: each.key):
        index = indexes.get(pod.namespace)
        claims = index.of(pod) if index else []
        if not claims:
            unclaimed.append(pod)
            continue
        owner, *others = claims
        claimed[owner.key].append(pod)
        for other in others:
            conflicts.setdefault(other.key, _conflict(pod, owner))
    return Assignment({key: tuple(mine) for key, mine in claimed.items()}, conflicts, tuple(unclaimed))


class _Claims:
    """Claims of one namespace, looked up by label and owner so that 10,000 workloads stay linear."""

    def __init__(self, oldest_first: Sequence[WorkloadView]) -> None:
        self._rank = {workload.key: rank for rank, workload in enumerate(oldest_first)}
        self._by_name = {workload.name: workload for workload in oldest_first}
        self._by_target: dict[tuple[str, str], list[WorkloadView]] = defaultdict(list)
        self._selecting: list[WorkloadView] = []
        for workload in oldest_first:
            spec = workload.spec
            if spec is None:
                continue
            if spec.target_ref is not None:
                self._by_target[(spec.target_ref.kind, spec.target_ref.name)].append(workload)
            if spec.pod_selector is not None and not spec.pod_selector.empty:
                self._selecting.append(workload)

    def of(self, pod: PodView) -> list[WorkloadView]:
        """Who claims this pod, the rightful one first."""
        named = self._by_name.get(pod.labels.get(WORKLOAD_LABEL, ""))
        if named is not None:
            return [named]
        claims = {workload.key: workload for owner in owners_of(pod) for workload in self._by_target.get(owner, ())}
        claims |= {
            workload.key: workload
            for workload in self._selecting
            if workload.spec and workload.spec.pod_selector and workload.spec.pod_selector.matches(pod.labels)
        }
        return sorted(claims.values(), key=lambda workload: self._rank[workload.key])


def owners_of(pod: PodView) -> set[tuple[str, str]]:
    """(kind, name) of everything that owns the pod, as far as its owner references and labels tell."""
    owners = {("Pod", pod.name), *pod.owners}
    template_hash = pod.labels.get("pod-template-hash")
    for kind, name in pod.owners:
        if kind == "ReplicaSet" and template_hash:
            owners.add(("Deployment", name.removesuffix(f"-{template_hash}")))
    for kind, label in CHAIN_LABELS.items():
        if chain := pod.labels.get(label):
            owners.add((kind, chain))
    return owners


def _conflict(pod: PodView, owner: WorkloadView) -> str:
    return (
        f"pod {pod.name} already belongs to the older ModelWorkload {owner.name}; "
        f"point targetRef or podSelector at other pods, or delete one of the two"
    )
