"""Kubernetes objects as what runs: groups of pods with their templates, whichever kind made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from mfu.hardware.labels import WHOLE

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """Pods of one template. `pods` is their number in one replica of a service, or in the whole job."""

    role: str
    pods: int
    spec: Object
    """The pod spec."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that would be declared as one ModelWorkload."""

    name: str
    namespace: str
    target: Mapping[str, str] | None
    """apiVersion, kind and name of the owner; None where pods are selected by `labels`."""
    groups: tuple[PodTemplate, ...]
    serving: bool | None = None
    """Whether the kind serves (True) or trains (False); None where its arguments have to say."""
    replicas: tuple[int, int] = (1, 1)
    labels: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    """What the kind itself says of the model and its layout, by the names of settings, with the source."""
    phase: str = ""


def units(document: Object) -> tuple[Unit, ...]:
    """What one object runs; nothing for kinds that run no pods of a model."""
    maker = _MAKERS.get(str(document.get("kind", "")))
    if maker is not None:
        return tuple(maker(document))
    return tuple(_helm(document)) if "servingEngineSpec" in document else ()


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


def _unit(document: Object, groups: Iterator[PodTemplate] | list[PodTemplate], **more: Any) -> Unit:
    metadata = document.get("metadata") or {}
    name = str(metadata.get("name") or metadata.get("generateName", "workload").rstrip("-"))
    target = {"apiVersion": str(document.get("apiVersion", "v1")), "kind": str(document.get("kind")), "name": name}
    named = dict(more.pop("named", {}))
    return Unit(
        name=named.get("name", name),
        namespace=str(metadata.get("namespace", "")),
        target=target,
        groups=tuple(groups),
        **more,
    )


def _spec(document: Object) -> Object:
    spec = document.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _at(node: Any, *path: str) -> Any:
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node


def _pod_spec(template: Any) -> Object:
    found = _at(template, "spec")
    return found if isinstance(found, Mapping) else {}


def _count(value: Any, default: int = 1) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _pod(document: Object) -> Iterator[Unit]:
    yield _unit(document, [PodTemplate("pod", 1, _spec(document))])


def _deployment(document: Object) -> Iterator[Unit]:
    spec = _spec(document)
    replicas = _count(spec.get("replicas"))
    groups = [PodTemplate("pod", 1, _pod_spec(spec.get("template")))]
    yield _unit(document, groups, serving=None, replicas=(replicas, max(replicas, 1)))


def _job(document: Object) -> Iterator[Unit]:
    spec = _spec(document)
    pods = _count(spec.get("parallelism"), _count(spec.get("completions")))
    yield _unit(document, [PodTemplate("pod", pods, _pod_spec(spec.get("template")))], serving=None)


def _cron_job(document: Object) -> Iterator[Unit]:
    inner = _spec({"spec": _at(document, "spec", "jobTemplate", "spec")})
    pods = _count(inner.get("parallelism"), _count(inner.get("completions")))
    yield _unit(document, [PodTemplate("pod", pods, _pod_spec(inner.get("template")))])


def _job_set(document: Object) -> Iterator[Unit]:
    yield _unit(document, _replicated(_spec(document).get("replicatedJobs")))


def _replicated(jobs: Any) -> Iterator[PodTemplate]:
    for job in jobs or ():
        inner = _at(job, "template", "spec") or {}
        pods = _count(job.get("replicas")) * _count(inner.get("parallelism"), _count(inner.get("completions")))
        yield PodTemplate(str(job.get("name", "")), pods, _pod_spec(inner.get("template")))


def _leader_worker_set(document: Object) -> Iterator[Unit]:
    spec = _spec(document)
    template = spec.get("leaderWorkerTemplate") or {}
    size = max(1, _count(template.get("size")))
    worker = _pod_spec(template.get("workerTemplate"))
    leader = _pod_spec(template.get("leaderTemplate")) or worker
    groups = [PodTemplate("leader", 1, leader)] + ([PodTemplate("worker", size - 1, worker)] if size > 1 else [])
    replicas = _count(spec.get("replicas"))
    yield _unit(document, groups, serving=None, replicas=(replicas, max(replicas, 1)))


def _kubeflow_job(document: Object) -> Iterator[Unit]:
    spec = _spec(document)
    found: Mapping[str, Any] = next((value for key, value in spec.items() if key.endswith("ReplicaSpecs")), {})
    groups = [
        PodTemplate(role, _count(each.get("replicas")), _pod_spec(each.get("template"))) for role, each in found.items()
    ]
    processes = _at(spec, "nprocPerNode")
    given = {"nproc_per_node": (processes, "spec.nprocPerNode")} if processes else {}
    yield _unit(document, groups, serving=False, given=given)


def _train_job(document: Object) -> Iterator[Unit]:
    """The runtime holds the template; what the TrainJob itself says of its trainer is read."""
    trainer = _spec(document).get("trainer") or {}
    container = {
        "name": "trainer",
        "image": trainer.get("image", ""),
        "command": trainer.get("command"),
        "args": trainer.get("args"),
        "env": trainer.get("env") or [],
        "resources": trainer.get("resourcesPerNode") or {},
    }
    runtime = str(_at(document, "spec", "runtimeRef", "name") or "")
    given: dict[str, Any] = {"runtime": (runtime, f"runtimeRef {runtime}")} if runtime else {}
    source = _at(document, "spec", "initializer", "model", "storageUri")
    if source:
        given["model"] = (source, "spec.initializer.model.storageUri")
    pods = _count(trainer.get("numNodes"))
    yield _unit(document, [PodTemplate("trainer", pods, {"containers": [container]})], serving=False, given=given)


def _volcano_job(document: Object) -> Iterator[Unit]:
    groups = [
        PodTemplate(str(task.get("name", "")), _count(task.get("replicas")), _pod_spec(task.get("template")))
        for task in _spec(document).get("tasks") or ()
    ]
    yield _unit(document, groups)


def _job_or_volcano(document: Object) -> Iterator[Unit]:
    volcano = str(document.get("apiVersion", "")).startswith("batch.volcano.sh/")
    yield from (_volcano_job if volcano else _job)(document)


def _ray_groups(cluster: Any) -> Iterator[PodTemplate]:
    head = _at(cluster, "headGroupSpec", "template")
    if head:
        yield PodTemplate("head", 1, _pod_spec(head))
    for group in _at(cluster, "workerGroupSpecs") or ():
        pods = _count(group.get("replicas")) * max(1, _count(group.get("numOfHosts")))
        yield PodTemplate(str(group.get("groupName", "workers")), pods, _pod_spec(group.get("template")))


def _ray_cluster(document: Object) -> Iterator[Unit]:
    yield _unit(document, _ray_groups(_spec(document)))


def _ray_job(document: Object) -> Iterator[Unit]:
    spec = _spec(document)
    entry = spec.get("entrypoint")
    given = {"entrypoint": (entry, "spec.entrypoint")} if entry else {}
    yield _unit(document, _ray_groups(spec.get("rayClusterSpec")), serving=None, given=given)


def _ray_service(document: Object) -> Iterator[Unit]:
    """One unit for each model of Ray Serve LLM; other Serve applications as one unit without a model."""
    spec = _spec(document)
    groups = list(_ray_groups(spec.get("rayClusterConfig")))
    configs = list(_llm_configs(spec.get("serveConfigV2")))
    for config in configs or [{}]:
        low, high, given = _ray_llm(config)
        named = {"name": _ray_name(document, config, many=len(configs) > 1)}
        yield _unit(document, groups, serving=True, replicas=(low, high), given=given, named=named)


def _ray_name(document: Object, config: Object, *, many: bool) -> str:
    name = str(_at(document, "metadata", "name") or "rayservice")
    return f"{name}-{_at(config, 'model_loading_config', 'model_id')}".lower() if many else name


def _llm_configs(text: Any) -> Iterator[Object]:
    try:
        serve = yaml.safe_load(text) if isinstance(text, str) else text
    except yaml.YAMLError:
        return
    for application in _at(serve, "applications") or ():
        yield from (each for each in _at(application, "args", "llm_configs") or () if isinstance(each, Mapping))


def _ray_llm(config: Object) -> tuple[int, int, dict[str, Any]]:
    where = "serveConfigV2 llm_configs"
    loading, deployment = config.get("model_loading_config") or {}, config.get("deployment_config") or {}
    given = {key: (value, f"{where}: {key}") for key, value in (config.get("engine_kwargs") or {}).items()}
    model = loading.get("model_source") or loading.get("model_id")
    if isinstance(model, str):
        given["model"] = (model, f"{where}: model_loading_config")
    if config.get("accelerator_type"):
        given["accelerator"] = (config["accelerator_type"], f"{where}: accelerator_type")
    scaling = deployment.get("autoscaling_config") or {}
    ongoing = scaling.get("target_ongoing_requests") or deployment.get("max_ongoing_requests")
    if ongoing:
        given["ongoing"] = (ongoing, f"{where}: target_ongoing_requests")
    fixed = _count(deployment.get("num_replicas"), 1)
    return _count(scaling.get("min_replicas"), fixed), max(1, _count(scaling.get("max_replicas"), fixed)), given


def _inference_service(document: Object) -> Iterator[Unit]:
    predictor = _spec(document).get("predictor") or {}
    low, high = _count(predictor.get("minReplicas")), _count(predictor.get("maxReplicas"))
    model = predictor.get("model") or {}
    given: dict[str, Any] = {}
    if model.get("storageUri"):
        given["model"] = (model["storageUri"], "spec.predictor.model.storageUri")
    form = _at(model, "modelFormat", "name")
    if form:
        given["format"] = (form, "spec.predictor.model.modelFormat")
    listed = predictor.get("containers") or [{**model, "name": model.get("name", "kserve-container")}]
    groups = [PodTemplate("predictor", 1, {**predictor, "containers": listed})]
    worker = predictor.get("workerSpec") or {}
    if worker:
        size = _count(worker.get("pipelineParallelSize"), 2) - 1
        given |= _sizes(worker, "spec.predictor.workerSpec")
        groups.append(PodTemplate("worker", max(1, size), {"containers": worker.get("containers") or listed}))
    yield _unit(document, groups, serving=True, replicas=(low, max(low, high, 1)), given=given)


def _sizes(block: Object, where: str) -> dict[str, Any]:
    names = {"tensorParallelSize": "tensor_parallel_size", "pipelineParallelSize": "pipeline_parallel_size"}
    return {key: (block[name], f"{where}.{name}") for name, key in names.items() if name in block}


def _llm_inference_service(document: Object) -> Iterator[Unit]:
    """KServe's LLMInferenceService: the decode (or whole) deployment, and prefill where it is split off."""
    spec = _spec(document)
    split = isinstance(spec.get("prefill"), Mapping)
    yield _llm_unit(document, spec, phase="Decode" if split else "")
    if split:
        yield _llm_unit(document, {**spec["prefill"], "model": spec.get("model")}, phase="Prefill")


def _llm_unit(document: Object, part: Object, *, phase: str) -> Unit:
    layout, replicas = part.get("parallelism") or {}, _count(part.get("replicas"))
    data, local = _count(layout.get("data")), _count(layout.get("dataLocal"), 0)
    pods = data // local if local and data % local == 0 else 1
    given = {
        key: (layout[name], f"spec.parallelism.{name}")
        for name, key in (
            ("tensor", "tensor_parallel_size"),
            ("pipeline", "pipeline_parallel_size"),
            ("data", "data_parallel_size"),
            ("expert", "enable_expert_parallel"),
        )
        if name in layout
    }
    uri = _at(part, "model", "uri")
    if uri:
        given["model"] = (uri, "spec.model.uri")
    claims = next((key for key in _at(document, "metadata", "annotations") or {} if "dra-device" in key), None)
    if claims:
        given["claims"] = (True, f"annotation {claims}")
    template = part.get("template")
    groups = [PodTemplate("main", 1, template if isinstance(template, Mapping) else {})]
    if pods > 1:
        worker = part.get("worker") or template
        groups.append(PodTemplate("worker", pods - 1, worker if isinstance(worker, Mapping) else {}))
    found = _unit(document, groups, serving=True, replicas=(replicas, max(replicas, 1)), given=given)
    if not phase:
        return found
    name = f"{found.name}-{phase.lower()}"
    selector = {"app.kubernetes.io/name": found.name, "llm-d.ai/role": phase.lower()}
    return Unit(
        name, found.namespace, None, found.groups, True, found.replicas, labels=selector, given=given, phase=phase
    )


def _vllm_runtime(document: Object) -> Iterator[Unit]:
    """The vLLM production stack's operator."""
    spec = _spec(document)
    model, deployment = spec.get("model") or {}, spec.get("deploymentConfig") or {}
    given = _vllm_config({**(spec.get("vllmConfig") or {}), **model}, "spec")
    if model.get("modelURL"):
        given["model"] = (model["modelURL"], "spec.model.modelURL")
    resources = deployment.get("resources") or {}
    resource = resources.get("gpuType", WHOLE)
    image = _at(deployment, "image", "name") or ""
    container = {"name": "vllm", "image": image, "resources": {"limits": {resource: resources.get("gpu", "0")}}}
    replicas = _count(deployment.get("replicas"))
    groups = [PodTemplate("vllm", 1, {"containers": [container]})]
    name = str(_at(document, "metadata", "name") or "vllm")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    namespace = str(_at(document, "metadata", "namespace") or "")
    yield Unit(name, namespace, target, tuple(groups), True, (replicas, max(replicas, 1)), given=given)


_VLLM_KEYS = {
    "tensorParallelSize": "tensor_parallel_size",
    "pipelineParallelSize": "pipeline_parallel_size",
    "maxModelLen": "max_model_len",
    "maxNumSeqs": "max_num_seqs",
    "dtype": "dtype",
}


def _vllm_config(values: Object, where: str) -> dict[str, Any]:
    return {key: (values[name], f"{where}: {name}") for name, key in _VLLM_KEYS.items() if name in values}


def _helm(values: Object) -> Iterator[Unit]:
    """Values of the vLLM production stack's chart: one unit for each entry of `modelSpec`."""
    for entry in _at(values, "servingEngineSpec", "modelSpec") or ():
        name = str(entry.get("name", "vllm"))
        config = entry.get("vllmConfig") or {}
        given = _vllm_config(config, f"modelSpec {name}")
        if entry.get("modelURL"):
            given["model"] = (entry["modelURL"], f"modelSpec {name}: modelURL")
        container = {
            "name": "vllm",
            "image": f"{entry.get('repository', '')}:{entry.get('tag', '')}",
            "args": list(config.get("extraArgs") or ()),
            "env": entry.get("env") or [],
            "resources": {"limits": {_gpu_type(entry): str(entry.get("requestGPU", 0))}},
        }
        pods = 1
        head = _at(entry, "raySpec", "headNode") if _at(entry, "raySpec", "enabled") else None
        groups = [PodTemplate("vllm", 1, {"containers": [container], "nodeSelector": entry.get("nodeSelector") or {}})]
        if head:
            limits = {_gpu_type(entry): str(head.get("requestGPU", 0))}
            groups.append(PodTemplate("head", pods, {"containers": [{**container, "resources": {"limits": limits}}]}))
        replicas = _count(entry.get("replicaCount"))
        labels = {"model": name}
        bounds = (replicas, max(replicas, 1))
        yield Unit(name, "", None, tuple(groups), True, bounds, labels=labels, given=given)


def _gpu_type(entry: Object) -> str:
    return str(entry.get("requestGPUType") or WHOLE)


def _dynamo(document: Object) -> Iterator[Unit]:
    """NVIDIA Dynamo: each service with GPUs is a workload of its own."""
    for name, service in (_spec(document).get("services") or {}).items():
        container = _at(service, "extraPodSpec", "mainContainer") or {}
        gpus = _at(service, "resources", "limits", "gpu") or _at(service, "resources", "requests", "gpu")
        if not gpus:
            continue
        filled = {"name": name, **container, "resources": {"limits": {WHOLE: str(gpus)}}}
        nodes = max(1, _count(_at(service, "multinode", "nodeCount")))
        replicas = _count(service.get("replicas"))
        role = str(service.get("subComponentType") or name).lower()
        phase = "Prefill" if "prefill" in role else "Decode" if "decode" in role and "prefill" in str(document) else ""
        owner = str(_at(document, "metadata", "name") or "dynamo")
        labels = {"nvidia.com/dynamo-graph-deployment-name": owner, "nvidia.com/dynamo-component": str(name)}
        yield Unit(
            f"{owner}-{name}".lower(),
            str(_at(document, "metadata", "namespace") or ""),
            None,
            (PodTemplate("main", nodes, {"containers": [filled]}),),
            True,
            (replicas, max(replicas, 1)),
            labels=labels,
            phase=phase,
        )


_MAKERS: Mapping[str, Callable[[Object], Iterator[Unit]]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "StatefulSet": _deployment,
    "ReplicaSet": _deployment,
    "Job": _job_or_volcano,
    "CronJob": _cron_job,
    "JobSet": _job_set,
    "LeaderWorkerSet": _leader_worker_set,
    "PyTorchJob": _kubeflow_job,
    "MPIJob": _kubeflow_job,
    "JAXJob": _kubeflow_job,
    "TrainJob": _train_job,
    "RayCluster": _ray_cluster,
    "RayJob": _ray_job,
    "RayService": _ray_service,
    "InferenceService": _inference_service,
    "LLMInferenceService": _llm_inference_service,
    "VLLMRuntime": _vllm_runtime,
    "DynamoGraphDeployment": _dynamo,
}
