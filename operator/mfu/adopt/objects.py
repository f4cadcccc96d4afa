"""Kubernetes objects as what runs: groups of pods with their templates, whichever kind made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mfu.adopt.kinds_jobs import (
    cron_job,
    deployment,
    job_or_volcano,
    job_set,
    kubeflow_job,
    leader_worker_set,
    pod,
    train_job,
)
from mfu.adopt.kinds_ray import ray_cluster, ray_fleet, ray_job, ray_service
from mfu.adopt.kinds_serving import (
    dynamo,
    helm,
    inference_service,
    knative_service,
    llm_inference_service,
    nim_service,
    storm_service,
    vllm_runtime,
)
from mfu.adopt.units import Object, Unit


def units(document: Object) -> tuple[Unit, ...]:
    """What one object runs; nothing for kinds that run no pods of a model."""
    maker = _MAKERS.get(str(document.get("kind", "")))
    if maker is not None:
        return tuple(maker(document))
    return tuple(helm(document)) if "servingEngineSpec" in document else ()


def kinds() -> tuple[str, ...]:
    """Every kind that is read."""
    return tuple(sorted(_MAKERS))


def config_maps(documents: Sequence[Object]) -> dict[str, Mapping[str, str]]:
    """Data of the ConfigMaps among the objects, by name."""
    return {
        str((each.get("metadata") or {}).get("name")): {str(k): str(v) for k, v in (each.get("data") or {}).items()}
        for each in documents
        if each.get("kind") == "ConfigMap"
    }


_MAKERS: Mapping[str, Callable[[Object], Iterator[Unit]]] = {
    "Pod": pod,
    "Deployment": deployment,
    "StatefulSet": deployment,
    "ReplicaSet": deployment,
    "Job": job_or_volcano,
    "CronJob": cron_job,
    "JobSet": job_set,
    "LeaderWorkerSet": leader_worker_set,
    "PyTorchJob": kubeflow_job,
    "MPIJob": kubeflow_job,
    "JAXJob": kubeflow_job,
    "TFJob": kubeflow_job,
    "PaddleJob": kubeflow_job,
    "HyperPodPyTorchJob": kubeflow_job,
    "TrainJob": train_job,
    "RayCluster": ray_cluster,
    "RayClusterFleet": ray_fleet,
    "RayJob": ray_job,
    "RayService": ray_service,
    "InferenceService": inference_service,
    "LLMInferenceService": llm_inference_service,
    "NIMService": nim_service,
    "StormService": storm_service,
    "Service": knative_service,
    "VLLMRuntime": vllm_runtime,
    "DynamoGraphDeployment": dynamo,
}
