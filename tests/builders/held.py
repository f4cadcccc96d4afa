"""Owners of which nothing runs, as documents, one of each kind that can be held."""

from __future__ import annotations

from typing import Any, Final

JSON = dict[str, Any]
PRODUCT: Final = "nvidia.com/gpu.product"
QUEUE: Final = {"kueue.x-k8s.io/queue-name": "gpus"}


def pods(gpus: int = 8, resource: str = "nvidia.com/gpu", **spec: Any) -> JSON:
    """A pod template; of 0 GPUs it asks for none."""
    amounts = {resource: str(gpus)} if gpus else {}
    container = {"name": "node", "image": "none", "resources": {"limits": amounts, "requests": amounts}}
    return {"spec": {"restartPolicy": "Never", "containers": [container], **spec}}


def job(name: str = "train", *, template: JSON | None = None, suspend: bool = True, **metadata: Any) -> JSON:
    spec = {"suspend": suspend, "parallelism": 2, "completions": 2, "template": template or pods()}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **metadata}, "spec": spec}


def jobset(name: str = "train", *, suspend: bool = True, **metadata: Any) -> JSON:
    """A driver without GPUs, and workers that have some."""
    parts = {"driver": pods(0), "workers": pods()}
    jobs = [{"name": key, "template": {"spec": {"template": each}}} for key, each in parts.items()]
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, **metadata},
        "spec": {"suspend": suspend, "replicatedJobs": jobs},
    }


def group(name: str = "train", *, replicas: int = 0, **metadata: Any) -> JSON:
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "leaderWorkerTemplate": {"size": 2, "workerTemplate": pods(restartPolicy="Always")},
        },
    }


def trainjob(name: str = "train", *, suspend: bool = True, patches: list[JSON] | None = None, **metadata: Any) -> JSON:
    trainer = {"numNodes": 2, "resourcesPerNode": {"limits": {"nvidia.com/gpu": "8"}}}
    spec = {"suspend": suspend, "runtimeRef": {"name": "torch-distributed"}, "trainer": trainer}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, **metadata},
        "spec": {**spec, **({"runtimePatches": patches} if patches else {})},
    }


MADE: Final = {"Job": job, "JobSet": jobset, "LeaderWorkerSet": group, "TrainJob": trainjob}
