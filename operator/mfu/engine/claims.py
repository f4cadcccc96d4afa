"""Which pods belong to which ModelWorkload: label first, then targetRef, then podSelector; the older claim wins."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.views import Assignment, PodView, WorkloadView
from mfu.hardware.problem import Problem, ProblemReason

# Labels that controllers put on the pods of objects which own them only through a chain of other owners.
CHAIN_LABELS: Mapping[str, str] = {
    "JobSet": "jobset.sigs.k8s.io/jobset-name",
    "TrainJob": "jobset.sigs.k8s.io/jobset-name",
    "LeaderWorkerSet": "leaderworkerset.sigs.k8s.io/name",
    "PyTorchJob": "training.kubeflow.org/job-name",
    "MPIJob": "training.kubeflow.org/job-name",
    "JAXJob": "training.kubeflow.org/job-name",
    "Job.batch.volcano.sh": "volcano.sh/job-name",
    "Workflow": "workflows.argoproj.io/workflow",
    "Notebook": "notebook-name",
    "RayCluster": "ray.io/cluster",
    "InferenceService": "serving.kserve.io/inferenceservice",
    "LLMInferenceService": "app.kubernetes.io/name",
    "DynamoGraphDeployment": "nvidia.com/dynamo-graph-deployment-name",
}
_NEEDS_PART_OF = {"LLMInferenceService": ("app.kubernetes.io/part-of", "llminferenceservice")}
"""A label that many things carry names the owner only beside one that says what it is."""

_GROUPS: Mapping[str, str] = {
    "Job": "batch",
    "CronJob": "batch",
    "Deployment": "apps",
    "StatefulSet": "apps",
    "ReplicaSet": "apps",
    "DaemonSet": "apps",
    "JobSet": "jobset.x-k8s.io",
    "TrainJob": "trainer.kubeflow.org",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io",
    "PyTorchJob": "kubeflow.org",
    "MPIJob": "kubeflow.org",
    "RayCluster": "ray.io",
    "RayJob": "ray.io",
    "RayService": "ray.io",
    "InferenceService": "serving.kserve.io",
    "LLMInferenceService": "serving.kserve.io",
}

_RAY_CLUSTER_OF = re.compile(r"(?P<owner>.+?)(-raycluster)?-[a-z0-9]{5}")
"""KubeRay names the cluster of a RayJob or RayService NAME-raycluster-xxxxx, in newer versions NAME-xxxxx."""
_RAY_ORIGIN = ("ray.io/originated-from-crd", "ray.io/originated-from-cr-name")
_JOB_OF_CRON = re.compile(r"(?P<owner>.+)-\d{8,10}")
"""The CronJob controller ends a Job's name with its minutes since 1970."""


def qualified(kind: str, api_version: str) -> str:
    """The kind as claims compare it: bare in its usual API group, `Job.batch.volcano.sh` in another one."""
    group = api_version.rpartition("/")[0]
    usual = _GROUPS.get(kind)
    return kind if usual is None or group in ("", usual) else f"{kind}.{group}"


def claim_of(spec: WorkloadSpec | None) -> tuple[object, ...]:
    """What of a declaration decides which pods are its own."""
    return () if spec is None else (spec.target_ref, spec.pod_selector)


def assign(workloads: Sequence[WorkloadView], pods: Iterable[PodView]) -> Assignment:
    """Every pod to at most one workload; order of the inputs does not matter."""
    by_namespace: dict[str, list[WorkloadView]] = defaultdict(list)
    for workload in sorted(workloads, key=lambda each: (each.created_at, each.key)):
        by_namespace[workload.namespace].append(workload)
    claimed: dict[str, list[PodView]] = defaultdict(list)
    conflicts: dict[str, Problem] = {}
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
            conflicts.setdefault(other.key, _conflict(pod, other, owner))
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
                kind = qualified(spec.target_ref.kind, spec.target_ref.api_version)
                self._by_target[(kind, spec.target_ref.name)].append(workload)
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
        if kind == "Job" and (job := _JOB_OF_CRON.fullmatch(name)):
            owners.add(("CronJob", job["owner"]))
    for kind, label in CHAIN_LABELS.items():
        beside, value = _NEEDS_PART_OF.get(kind, ("", None))
        if (chain := pod.labels.get(label)) and pod.labels.get(beside) == value:
            owners.add((kind, chain))
    return owners | _ray_owners(pod)


def _ray_owners(pod: PodView) -> set[tuple[str, str]]:
    """The RayJob or RayService behind a RayCluster: by KubeRay's origin labels, else by how it names the cluster."""
    origin, name = (pod.labels.get(label) for label in _RAY_ORIGIN)
    if origin and name:
        return {(origin, name)}
    made = _RAY_CLUSTER_OF.fullmatch(pod.labels.get("ray.io/cluster", ""))
    return {(kind, made["owner"]) for kind in ("RayJob", "RayService")} if made else set()


def _conflict(pod: PodView, loser: WorkloadView, owner: WorkloadView) -> Problem:
    by_target = loser.spec is not None and loser.spec.target_ref is not None
    return Problem(
        ProblemReason.PODS_CLAIMED,
        "targetRef" if by_target else "podSelector",
        f"claims pod {pod.name}, which already belongs to the older ModelWorkload {owner.name}",
        "point it at other pods, or delete one of the two",
    )
