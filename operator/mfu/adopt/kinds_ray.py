"""Ray's clusters, jobs and services as units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from mfu.adopt.units import Object, PodTemplate, Unit, at, count, spec_of, template_of, unit_of


def _ray_groups(cluster: Any) -> Iterator[PodTemplate]:
    head = at(cluster, "headGroupSpec", "template")
    if head:
        yield template_of("head", 1, head)
    for group in at(cluster, "workerGroupSpecs") or ():
        pods = count(group.get("replicas")) * max(1, count(group.get("numOfHosts")))
        yield template_of(str(group.get("groupName", "workers")), pods, group.get("template"))


def ray_cluster(document: Object) -> Iterator[Unit]:
    yield unit_of(document, _ray_groups(spec_of(document)))


def ray_fleet(document: Object) -> Iterator[Unit]:
    """AIBrix: replicas of a Ray cluster, each of which serves one copy of a model."""
    spec = spec_of(document)
    replicas = count(spec.get("replicas"))
    groups = _ray_groups(at(spec, "template", "spec"))
    yield unit_of(document, groups, serving=True, replicas=(replicas, max(replicas, 1)))


def ray_job(document: Object) -> Iterator[Unit]:
    spec = spec_of(document)
    entry = spec.get("entrypoint")
    given = {"entrypoint": (entry, "spec.entrypoint")} if entry else {}
    yield unit_of(document, _ray_groups(spec.get("rayClusterSpec")), serving=None, given=given)


def ray_service(document: Object) -> Iterator[Unit]:
    """One unit for each model of Ray Serve LLM; other Serve applications as one unit without a model."""
    spec = spec_of(document)
    groups = list(_ray_groups(spec.get("rayClusterConfig")))
    configs = list(_llm_configs(spec.get("serveConfigV2")))
    settings = _ray_environment(spec.get("serveConfigV2"))
    for config in configs or [{}]:
        low, high, given = _ray_llm(config)
        named = {"name": _ray_name(document, config, many=len(configs) > 1)}
        yield unit_of(document, groups, serving=True, replicas=(low, high), given=settings | given, named=named)


def _ray_name(document: Object, config: Object, *, many: bool) -> str:
    name = str(at(document, "metadata", "name") or "rayservice")
    return f"{name}-{at(config, 'model_loading_config', 'model_id')}".lower() if many else name


def _applications(text: Any) -> list[Object]:
    try:
        serve = yaml.safe_load(text) if isinstance(text, str) else text
    except yaml.YAMLError:
        return []
    return [each for each in at(serve, "applications") or () if isinstance(each, Mapping)]


def _ray_environment(text: Any) -> dict[str, Any]:
    """What the runtime environments of Serve's applications set and install, where there is one application."""
    applications = _applications(text)
    if len(applications) != 1:
        return {}
    runtime = applications[0].get("runtime_env") or {}
    where = "serveConfigV2 runtime_env"
    variables = at(runtime, "env_vars") or {}
    given = {f"env.{str(name).lower()}": (value, f"{where}: {name}") for name, value in variables.items()}
    packages = at(runtime, "pip")
    if isinstance(packages, list):
        given["packages"] = (" ".join(map(str, packages)), f"{where}: pip")
    return given


def _llm_configs(text: Any) -> Iterator[Object]:
    for application in _applications(text):
        yield from (each for each in at(application, "args", "llm_configs") or () if isinstance(each, Mapping))


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
    fixed = count(deployment.get("num_replicas"), 1)
    return count(scaling.get("min_replicas"), fixed), max(1, count(scaling.get("max_replicas"), fixed)), given
