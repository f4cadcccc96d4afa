"""The operator's own configuration: one YAML file, every field optional, unknown fields refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class BadConfig(Exception):
    """The configuration can not be used; the message names file, field and what is wrong."""


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_camel, validate_by_name=True)


class PodDiscovery(_Section):
    """Exporters found as pods: scraped at their own address, known to speak for the node they run on."""

    label_selector: str = "app=nvidia-dcgm-exporter"
    port: Port = 9400
    path: str = "/metrics"


class DCGM(_Section):
    """dcgm-exporter. `url_template` ({node} is the node's name) wins over discovery of exporter pods."""

    enabled: bool = True
    url_template: str | None = None
    discovery: PodDiscovery = PodDiscovery()
    scrape_interval_seconds: Seconds = 15.0
    collection_interval_seconds: Seconds = 30.0

    @field_validator("url_template")
    @classmethod
    def _names_the_node(cls, value: str | None) -> str | None:
        if value is not None and "{node}" not in value:
            raise ValueError("must contain {node}, such as http://{node}:9400/metrics")
        return value


class Agent(_Section):
    """Our own node agent's exposition, for clusters without DCGM."""

    enabled: bool = False
    url_template: str | None = None
    discovery: PodDiscovery = PodDiscovery(label_selector="app.kubernetes.io/component=mfu-agent", port=9401)
    scrape_interval_seconds: Seconds = 15.0


class PrometheusServer(_Section):
    """A Prometheus-compatible HTTP API instead of direct scrapes."""

    url: str | None = None
    interval_seconds: Seconds = 30.0
    bearer_token_file: Path | None = None


class Progress(_Section):
    """Workload-reported progress, read from the workload's own pods.

    `url_template` ({namespace}, {pod}) is for places where pod addresses can not be reached.
    """

    enabled: bool = True
    url_template: str | None = None
    scrape_interval_seconds: Seconds = 15.0


class Cycle(_Section):
    """How often the loop runs: after `idle_seconds` of quiet, at most `longest_wait_seconds` after the first change."""

    idle_seconds: Seconds = 1.0
    longest_wait_seconds: Seconds = 10.0
    resync_seconds: Seconds = 30.0
    warm_up_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """After a start nothing is said of readings that just have not come yet, for at most this long."""


class Server(_Section):
    """Where /metrics, /healthz and /readyz are served; port 0 takes a free one."""

    host: str = "0.0.0.0"
    port: Port = 8080


class LeaderElection(_Section):
    enabled: bool = True
    namespace: str | None = None
    name: str = "mfu-operator"


class Config(_Section):
    """`mfu operator --config FILE`; the chart renders it from its values."""

    dcgm: DCGM = DCGM()
    agent: Agent = Agent()
    prometheus: PrometheusServer = PrometheusServer()
    progress: Progress = Progress()
    cycle: Cycle = Cycle()
    server: Server = Server()
    leader_election: LeaderElection = LeaderElection()
    dry_run: bool = False
    """Evaluate and publish metrics, write nothing to the cluster."""


def load(path: Path | None) -> Config:
    """The file's configuration, the defaults without one. Raises BadConfig."""
    if path is None:
        return Config()
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise BadConfig(f"{path}: can not be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    return parse(document, str(path))


def parse(document: Mapping[str, Any] | Any, name: str) -> Config:
    """Raises BadConfig with every wrong field."""
    if not isinstance(document, Mapping):
        raise BadConfig(f"{name}: is a {type(document).__name__}; write a mapping such as 'dcgm: {{enabled: true}}'")
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadConfig(f"{name}: {problems}") from error
