"""Pods, jobs and sets of jobs as units: Kubernetes' own kinds, JobSet, LeaderWorkerSet, Kubeflow, Volcano."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mfu.adopt.units import Object, PodTemplate, Unit, at, count, first_container, spec_of, template_of, unit_of


def pod(document: Object) -> Iterator[Unit]:
    yield unit_of(document, [template_of("pod", 1, document)])


def deployment(document: Object) -> Iterator[Unit]:
    spec = spec_of(document)
    replicas = count(spec.get("replicas"))
    groups = [template_of("pod", 1, spec.get("template"))]
    yield unit_of(document, groups, serving=None, replicas=(replicas, max(replicas, 1)))


def _job(document: Object) -> Iterator[Unit]:
    spec = spec_of(document)
    pods = count(spec.get("parallelism"), count(spec.get("completions")))
    yield unit_of(document, [template_of("pod", pods, spec.get("template"))], serving=None)


def cron_job(document: Object) -> Iterator[Unit]:
    inner = spec_of({"spec": at(document, "spec", "jobTemplate", "spec")})
    pods = count(inner.get("parallelism"), count(inner.get("completions")))
    yield unit_of(document, [template_of("pod", pods, inner.get("template"))])


def job_set(document: Object) -> Iterator[Unit]:
    yield unit_of(document, _replicated(spec_of(document).get("replicatedJobs")))


def _replicated(jobs: Any) -> Iterator[PodTemplate]:
    for job in jobs or ():
        inner = at(job, "template", "spec") or {}
        pods = count(job.get("replicas")) * count(inner.get("parallelism"), count(inner.get("completions")))
        yield template_of(str(job.get("name", "")), pods, inner.get("template"))


def leader_worker_set(document: Object) -> Iterator[Unit]:
    spec = spec_of(document)
    template = spec.get("leaderWorkerTemplate") or {}
    size = max(1, count(template.get("size")))
    worker = _told_size(template.get("workerTemplate"), size)
    groups = [template_of("leader", 1, _told_size(template.get("leaderTemplate"), size) or worker)]
    groups += [template_of("worker", size - 1, worker)] if size > 1 else []
    replicas = count(spec.get("replicas"))
    yield unit_of(document, groups, serving=None, replicas=(replicas, max(replicas, 1)))


def _told_size(template: Any, size: int) -> Any:
    """With the environment that the controller gives every container of a group."""
    containers = at(template, "spec", "containers")
    if not isinstance(containers, list):
        return template
    told = {"name": "LWS_GROUP_SIZE", "value": str(size)}
    with_size = [{**each, "env": [told, *(each.get("env") or ())]} for each in containers if isinstance(each, Mapping)]
    return {**template, "spec": {**template["spec"], "containers": with_size}}


def kubeflow_job(document: Object) -> Iterator[Unit]:
    """A job of Kubeflow's first trainer: one key for each role; SageMaker HyperPod's own lists them."""
    spec = spec_of(document)
    found: Mapping[str, Any] = next((value for key, value in spec.items() if key.endswith("ReplicaSpecs")), {})
    listed = [(str(each.get("name", "")), each) for each in spec.get("replicaSpecs") or ()] or list(found.items())
    groups = [template_of(role, count(each.get("replicas")), each.get("template")) for role, each in listed]
    processes = at(spec, "nprocPerNode")
    given = {"nproc_per_node": (processes, "spec.nprocPerNode")} if processes else {}
    yield unit_of(document, groups, serving=False, given=given)


def train_job(document: Object) -> Iterator[Unit]:
    """What the TrainJob itself says of its trainer, and what its runtime filled in where that was at hand."""
    trainer = spec_of(document).get("trainer") or {}
    pod = trainer.get("podSpec") or {}
    container = {
        "name": "trainer",
        "image": trainer.get("image", ""),
        "command": trainer.get("command"),
        "args": trainer.get("args"),
        "env": trainer.get("env") or [],
        "resources": trainer.get("resourcesPerNode") or {},
        "volumeMounts": at(first_container(pod), "volumeMounts"),
    }
    runtime = str(at(document, "spec", "runtimeRef", "name") or "")
    given: dict[str, Any] = {"runtime": (runtime, f"runtimeRef {runtime}")} if runtime else {}
    source = at(document, "spec", "initializer", "model", "storageUri")
    if source:
        given["model"] = (source, "spec.initializer.model.storageUri")
    pods = count(trainer.get("numNodes"))
    yield unit_of(
        document, [PodTemplate("trainer", pods, {**pod, "containers": [container]})], serving=False, given=given
    )


def _volcano_job(document: Object) -> Iterator[Unit]:
    groups = [
        template_of(str(task.get("name", "")), count(task.get("replicas")), task.get("template"))
        for task in spec_of(document).get("tasks") or ()
    ]
    yield unit_of(document, groups)


def job_or_volcano(document: Object) -> Iterator[Unit]:
    volcano = str(document.get("apiVersion", "")).startswith("batch.volcano.sh/")
    yield from (_volcano_job if volcano else _job)(document)
