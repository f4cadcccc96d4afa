"""Kinds that serve a model as units: KServe, the vLLM production stack, Dynamo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mfu.adopt.units import Object, PodTemplate, Unit, at, count, spec_of, template_of, unit_of
from mfu.hardware.labels import WHOLE

_NIM = "nvidia-nim-"
"""How NVIDIA's ClusterServingRuntimes begin, the model after it (github.com/NVIDIA/nim-deploy, kserve/runtimes)."""


def inference_service(document: Object) -> Iterator[Unit]:
    predictor = spec_of(document).get("predictor") or {}
    low, high = count(predictor.get("minReplicas")), count(predictor.get("maxReplicas"))
    model = predictor.get("model") or {}
    given: dict[str, Any] = {}
    if model.get("storageUri"):
        given["model"] = (model["storageUri"], "spec.predictor.model.storageUri")
    form, runtime = at(model, "modelFormat", "name"), model.get("runtime")
    if form:
        given["format"] = (form, "spec.predictor.model.modelFormat")
    if runtime:
        given["serving_runtime"] = (runtime, "spec.predictor.model.runtime")
    if str(form).startswith(_NIM):
        if release := re.search(r"-(\d+\.\d+\.\d+)$", str(runtime)):
            given["version"] = (release[1], "spec.predictor.model.runtime")
        given["nim_image"] = (str(form).removeprefix(_NIM), "spec.predictor.model.modelFormat")
    listed = predictor.get("containers") or [{**model, "name": model.get("name", "kserve-container")}]
    annotations = {**(at(document, "metadata", "annotations") or {}), **(predictor.get("annotations") or {})}
    groups = [PodTemplate("predictor", 1, {**predictor, "containers": listed}, annotations)]
    worker = predictor.get("workerSpec") or {}
    if worker:
        size = count(worker.get("pipelineParallelSize"), 2) - 1
        given |= _sizes(worker, "spec.predictor.workerSpec")
        groups.append(PodTemplate("worker", max(1, size), {"containers": worker.get("containers") or listed}))
    yield unit_of(document, groups, serving=True, replicas=(low, max(low, high, 1)), given=given)


def _sizes(block: Object, where: str) -> dict[str, Any]:
    names = {"tensorParallelSize": "tensor_parallel_size", "pipelineParallelSize": "pipeline_parallel_size"}
    return {key: (block[name], f"{where}.{name}") for name, key in names.items() if name in block}


def llm_inference_service(document: Object) -> Iterator[Unit]:
    """KServe's LLMInferenceService: the decode (or whole) deployment, and prefill where it is split off."""
    spec = spec_of(document)
    split = isinstance(spec.get("prefill"), Mapping)
    yield _llm_unit(document, spec, phase="Decode" if split else "")
    if split:
        yield _llm_unit(document, {**spec["prefill"], "model": spec.get("model")}, phase="Prefill")


def _llm_unit(document: Object, part: Object, *, phase: str) -> Unit:
    layout, replicas = part.get("parallelism") or {}, count(part.get("replicas"))
    data, local = count(layout.get("data")), count(layout.get("dataLocal"), 0)
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
    uri = at(part, "model", "uri")
    if uri:
        given["model"] = (uri, "spec.model.uri")
    if at(part, "model", "name"):
        given["served_model_name"] = (part["model"]["name"], "spec.model.name")
    claims = next((key for key in at(document, "metadata", "annotations") or {} if "dra-device" in key), None)
    if claims:
        given["claims"] = (True, f"annotation {claims}")
    template = part.get("template")
    groups = [PodTemplate("main", 1, template if isinstance(template, Mapping) else {})]
    if pods > 1:
        worker = part.get("worker") or template
        groups.append(PodTemplate("worker", pods - 1, worker if isinstance(worker, Mapping) else {}))
    found = unit_of(document, groups, serving=True, replicas=(replicas, max(replicas, 1)), given=given)
    if not phase:
        return found
    name = f"{found.name}-{phase.lower()}"
    selector = {"app.kubernetes.io/name": found.name, "llm-d.ai/role": phase.lower()}
    return Unit(
        name, found.namespace, None, found.groups, True, found.replicas, labels=selector, given=given, phase=phase
    )


def nim_service(document: Object) -> Iterator[Unit]:
    """NVIDIA's NIM operator."""
    spec = spec_of(document)
    image = spec.get("image") or {}
    container = {
        "name": "nim",
        "image": f"{image.get('repository', '')}:{image.get('tag', '')}",
        "args": spec.get("args"),
        "env": spec.get("env") or [],
        "resources": spec.get("resources") or {},
    }
    template = {"containers": [container], "nodeSelector": spec.get("nodeSelector") or {}}
    replicas = count(spec.get("replicas"))
    bounds = (replicas, max(replicas, 1))
    yield unit_of(document, [PodTemplate("nim", 1, template)], serving=True, replicas=bounds)


def knative_service(document: Object) -> Iterator[Unit]:
    """Knative's Service, not the one of Kubernetes."""
    if not str(document.get("apiVersion", "")).startswith("serving.knative.dev/"):
        return
    template = spec_of(document).get("template")
    scale = at(template, "metadata", "annotations") or {}
    low, high = (_whole(scale.get(f"autoscaling.knative.dev/{key}")) for key in ("minScale", "maxScale"))
    group = template_of("pod", 1, template)
    yield unit_of(document, [group], serving=True, replicas=(low, max(low, high, 1)))


def _whole(value: Any) -> int:
    return int(value) if str(value).isdecimal() else 0


def vllm_runtime(document: Object) -> Iterator[Unit]:
    """The vLLM production stack's operator."""
    spec = spec_of(document)
    model, deployment = spec.get("model") or {}, spec.get("deploymentConfig") or {}
    given = _vllm_config({**(spec.get("vllmConfig") or {}), **model}, "spec")
    if model.get("modelURL"):
        given["model"] = (model["modelURL"], "spec.model.modelURL")
    resources = deployment.get("resources") or {}
    resource = resources.get("gpuType", WHOLE)
    image = at(deployment, "image", "name") or ""
    container = {"name": "vllm", "image": image, "resources": {"limits": {resource: resources.get("gpu", "0")}}}
    replicas = count(deployment.get("replicas"))
    groups = [PodTemplate("vllm", 1, {"containers": [container]})]
    name = str(at(document, "metadata", "name") or "vllm")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    namespace = str(at(document, "metadata", "namespace") or "")
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


def helm(values: Object) -> Iterator[Unit]:
    """Values of the vLLM production stack's chart: one unit for each entry of `modelSpec`."""
    for entry in at(values, "servingEngineSpec", "modelSpec") or ():
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
        head = at(entry, "raySpec", "headNode") if at(entry, "raySpec", "enabled") else None
        groups = [PodTemplate("vllm", 1, {"containers": [container], "nodeSelector": entry.get("nodeSelector") or {}})]
        if head:
            limits = {_gpu_type(entry): str(head.get("requestGPU", 0))}
            groups.append(PodTemplate("head", pods, {"containers": [{**container, "resources": {"limits": limits}}]}))
        replicas = count(entry.get("replicaCount"))
        labels = {"model": name}
        bounds = (replicas, max(replicas, 1))
        yield Unit(name, "", None, tuple(groups), True, bounds, labels=labels, given=given)


def storm_service(document: Object) -> Iterator[Unit]:
    """AIBrix: each role with its own pods is a workload of its own, in every replica of the whole."""
    owner, space = (str(at(document, "metadata", key) or "") for key in ("name", "namespace"))
    copies = count(spec_of(document).get("replicas"))
    for role in at(document, "spec", "template", "spec", "roles") or ():
        name = str(role.get("name", ""))
        replicas = copies * count(role.get("replicas"))
        phase = _PHASE_OF.get(name.lower(), "")
        group = template_of("main", max(1, count(role.get("podGroupSize"))), role.get("template"))
        labels = {"storm-service-name": owner, "role-name": name}
        bounds = (replicas, max(replicas, 1))
        yield Unit(f"{owner}-{name}", space, None, (group,), True, bounds, labels=labels, phase=phase)


_PHASE_OF = {"prefill": "Prefill", "decode": "Decode"}


def _gpu_type(entry: Object) -> str:
    return str(entry.get("requestGPUType") or WHOLE)


def dynamo(document: Object) -> Iterator[Unit]:
    """NVIDIA Dynamo: each service with GPUs is a workload of its own."""
    for name, service in (spec_of(document).get("services") or {}).items():
        container = at(service, "extraPodSpec", "mainContainer") or {}
        gpus = at(service, "resources", "limits", "gpu") or at(service, "resources", "requests", "gpu")
        if not gpus:
            continue
        filled = {"name": name, **container, "resources": {"limits": {WHOLE: str(gpus)}}}
        nodes = max(1, count(at(service, "multinode", "nodeCount")))
        replicas = count(service.get("replicas"))
        role = str(service.get("subComponentType") or name).lower()
        phase = "Prefill" if "prefill" in role else "Decode" if "decode" in role and "prefill" in str(document) else ""
        owner = str(at(document, "metadata", "name") or "dynamo")
        labels = {"nvidia.com/dynamo-graph-deployment-name": owner, "nvidia.com/dynamo-component": str(name)}
        yield Unit(
            f"{owner}-{name}".lower(),
            str(at(document, "metadata", "namespace") or ""),
            None,
            (PodTemplate("main", nodes, {"containers": [filled]}),),
            True,
            (replicas, max(replicas, 1)),
            labels=labels,
            phase=phase,
        )
