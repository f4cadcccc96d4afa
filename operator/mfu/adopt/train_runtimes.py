"""Kubeflow Trainer's jobs with what the runtime that they name fills in: image, command, nodes, resources and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfu.adopt.units import Object, at, first_container

_STEP = "trainer.kubeflow.org/trainjob-ancestor-step"


def runtime_of(job: Object) -> tuple[str, str]:
    """Kind and name of the runtime that a TrainJob names."""
    reference = at(job, "spec", "runtimeRef") or {}
    return str(reference.get("kind") or "ClusterTrainingRuntime"), str(reference.get("name") or "")


def with_runtimes(documents: Sequence[Object]) -> list[Object]:
    """The same objects, TrainJobs filled in where their runtime is among them."""
    runtimes = {(str(each.get("kind")), str(at(each, "metadata", "name"))): each for each in documents}
    return [
        _filled(each, runtimes[runtime_of(each)])
        if each.get("kind") == "TrainJob" and runtime_of(each) in runtimes
        else each
        for each in documents
    ]


def _filled(job: Object, runtime: Object) -> Object:
    own = at(job, "spec", "trainer") or {}
    pod = _pod(runtime, "trainer")
    container = first_container(pod)
    usual = {
        "numNodes": at(runtime, "spec", "mlPolicy", "numNodes"),
        **{key: container.get(key) for key in ("image", "command", "args")},
        "resourcesPerNode": container.get("resources"),
    }
    trainer = {**usual, **{key: value for key, value in own.items() if value}}
    trainer |= {"env": [*(container.get("env") or ()), *(own.get("env") or ())], "podSpec": pod}
    return {**job, "spec": {**job["spec"], "trainer": trainer, "initializer": _initializer(job, runtime)}}


def _initializer(job: Object, runtime: Object) -> Object:
    """The model that is loaded: the job's own word, else what the runtime's initializer is told."""
    own = at(job, "spec", "initializer") or {}
    told = first_container(_pod(runtime, "model-initializer")).get("env") or ()
    uri = next((each.get("value") for each in told if each.get("name") == "STORAGE_URI"), None)
    return own if at(own, "model", "storageUri") or uri is None else {**own, "model": {"storageUri": uri}}


def _pod(runtime: Object, step: str) -> Mapping[str, Any]:
    """The pod spec of the job that does this step, by its label."""
    for each in at(runtime, "spec", "template", "spec", "replicatedJobs") or ():
        if (at(each, "template", "metadata", "labels") or {}).get(_STEP) == step:
            return at(each, "template", "spec", "template", "spec") or {}
    return {}
