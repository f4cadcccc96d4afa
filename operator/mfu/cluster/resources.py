"""The kinds that we read and write, as REST paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mfu.api import names

JSON = dict[str, Any]
"""An object, or a part of one, as the API server takes and gives it."""


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """One kind of object: `path()` is its collection, `path(namespace, name, subresource)` one object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        parts = [root + scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


def _ours(kind: names.Kind) -> ResourcePath:
    return ResourcePath(names.GROUP, names.VERSION, kind.plural, kind.kind, kind.namespaced)


NODES: Final = ResourcePath("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES: Final = ResourcePath("", "v1", "namespaces", "Namespace", namespaced=False)
PODS: Final = ResourcePath("", "v1", "pods", "Pod")
CONFIGMAPS: Final = ResourcePath("", "v1", "configmaps", "ConfigMap")
DEVICE_SLICES: Final = ResourcePath("resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False)
LEASES: Final = ResourcePath("coordination.k8s.io", "v1", "leases", "Lease")
TOKENREVIEWS: Final = ResourcePath("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
ACCESSREVIEWS: Final = ResourcePath(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
EVENTS: Final = ResourcePath("events.k8s.io", "v1", "events", "Event")
TRAINJOBS: Final = ResourcePath("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
TRAINING_RUNTIMES: Final = (
    ResourcePath("trainer.kubeflow.org", "v1alpha1", "trainingruntimes", "TrainingRuntime"),
    ResourcePath(
        "trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes", "ClusterTrainingRuntime", namespaced=False
    ),
)
"""What a TrainJob leaves to its platform: image, command, nodes."""
RUNS_PODS: Final[Mapping[str, ResourcePath]] = {
    "deployment": ResourcePath("apps", "v1", "deployments", "Deployment"),
    "statefulset": ResourcePath("apps", "v1", "statefulsets", "StatefulSet"),
    "job": ResourcePath("batch", "v1", "jobs", "Job"),
    "cronjob": ResourcePath("batch", "v1", "cronjobs", "CronJob"),
    "jobset": ResourcePath("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),
    "leaderworkerset": ResourcePath("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"),
    "trainjob": TRAINJOBS,
    "pytorchjob": ResourcePath("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob"),
    "mpijob": ResourcePath("kubeflow.org", "v1", "mpijobs", "MPIJob"),
    "raycluster": ResourcePath("ray.io", "v1", "rayclusters", "RayCluster"),
    "rayjob": ResourcePath("ray.io", "v1", "rayjobs", "RayJob"),
    "rayservice": ResourcePath("ray.io", "v1", "rayservices", "RayService"),
    "inferenceservice": ResourcePath("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"),
    "llminferenceservice": ResourcePath("serving.kserve.io", "v1alpha1", "llminferenceservices", "LLMInferenceService"),
    "pod": PODS,
}
"""What people call the kinds whose pods may hold GPUs, by the word of kubectl."""


def runs_pods(kind: str) -> ResourcePath:
    """Of an owner, by its kind as objects write it: `runs_pods("RayJob").plural == "rayjobs"`. KeyError for another."""
    return RUNS_PODS[kind.lower()]


AUTOSCALERS: Final = (
    ResourcePath("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ResourcePath("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),
)
"""Who else may set the replicas of an owner; both name it in spec.scaleTargetRef."""
KUEUE_WORKLOADS: Final = ResourcePath("kueue.x-k8s.io", "v1beta2", "workloads", "Workload")
KUEUE_CHECKS: Final = ResourcePath("kueue.x-k8s.io", "v1beta2", "admissionchecks", "AdmissionCheck", namespaced=False)
KUEUE_LOCAL_QUEUES: Final = ResourcePath("kueue.x-k8s.io", "v1beta2", "localqueues", "LocalQueue")
KUEUE_CLUSTER_QUEUES: Final = ResourcePath(
    "kueue.x-k8s.io", "v1beta2", "clusterqueues", "ClusterQueue", namespaced=False
)
KUEUE_TOPOLOGIES: Final = ResourcePath("kueue.x-k8s.io", "v1beta2", "topologies", "Topology", namespaced=False)
KUEUE_FLAVORS: Final = ResourcePath("kueue.x-k8s.io", "v1beta2", "resourceflavors", "ResourceFlavor", namespaced=False)
MODELWORKLOADS: Final = _ours(names.MODEL_WORKLOAD)
MFUPOLICIES: Final = _ours(names.MFU_POLICY)
GPUNODES: Final = _ours(names.GPU_NODE)
FLEETREPORTS: Final = _ours(names.FLEET_REPORT)
