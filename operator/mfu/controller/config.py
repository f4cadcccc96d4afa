"""The operator's own configuration: one YAML file, every field optional, unknown fields refused."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mfu.api.metadata import LabelSelector, SelectorOperator
from mfu.api.powers import ActionType

API_TOKENS = "/var/run/secrets/kubernetes.io"
"""Where a pod finds its own tokens for the API server."""
WHOLE_CLUSTER = (ActionType.MIG_LAYOUT, ActionType.PREFER_NO_SCHEDULE, ActionType.KUEUE_CHECK)
"""Actions on nodes, or on the one check of a cluster: two operators would undo each other's."""
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class BadConfig(Exception):
    """The configuration can not be used; the message names file, field and what is wrong."""


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=_camel, validate_by_name=True, use_attribute_docstrings=True
    )


class PodDiscovery(_Section):
    """Exporters found as pods: scraped at their own address, known to speak for the node they run on.

    Only pods count that a DaemonSet of this namespace put there and that run; where two speak for one node, none does.
    """

    namespace: str | None = None
    """Namespace of the exporter pods; null is the operator's own. Nobody but admins should be able to write there."""
    label_selector: str = "app=nvidia-dcgm-exporter"
    """Labels of the exporter pods, as in `kubectl get pods -l`."""
    port: Port = 9400
    """Port that they serve on."""
    path: str = "/metrics"
    """Path of their metrics."""


class DCGMPods(PodDiscovery):
    """Where the GPU operator runs them."""

    namespace: str | None = "gpu-operator"
    """Namespace of the exporter pods; null is the operator's own. Nobody but admins should be able to write there."""


class DCGMSettings(_Section):
    """dcgm-exporter. `url_template` ({node} is the node's name) wins over discovery of exporter pods."""

    enabled: bool = True
    """Read dcgm-exporter."""
    url_template: str | None = None
    """Address of a node's exporter, with {node} for its name, such as http://{node}:9400/metrics."""
    discovery: DCGMPods = DCGMPods()
    """How exporter pods are found where there is no urlTemplate."""
    scrape_interval_seconds: Seconds = 15.0
    """Seconds between two rounds of reading."""
    collection_interval_seconds: Seconds = 30.0
    """Seconds between two samples of the exporter itself (its --collect-interval)."""

    @field_validator("url_template")
    @classmethod
    def _names_the_node(cls, value: str | None) -> str | None:
        if value is not None and "{node}" not in value:
            raise ValueError("must contain {node}, such as http://{node}:9400/metrics")
        return value


class AgentSettings(_Section):
    """Our own node agent's exposition, for clusters without DCGM."""

    enabled: bool = False
    """Read the node agent; where both read a GPU, the agent wins."""
    url_template: str | None = None
    """Address of a node's agent, with {node} for its name."""
    discovery: PodDiscovery = PodDiscovery(label_selector="app.kubernetes.io/component=mfu-agent", port=9401)
    """How agent pods are found where there is no urlTemplate."""
    scrape_interval_seconds: Seconds = 15.0
    """Seconds between two rounds of reading."""


class PrometheusServer(_Section):
    """A Prometheus-compatible HTTP API instead of direct scrapes."""

    url: str | None = None
    """Base URL of the server, such as http://prometheus.monitoring:9090; none reads no server."""
    interval_seconds: Seconds = 30.0
    """Seconds between two rounds of queries."""
    job: str | None = None
    """Value of the label `job` of the series that count, such as nvidia-dcgm-exporter; null counts every job."""
    namespace: str | None = None
    """Value of the label `namespace` that the scrape gave them; null where honorLabels puts the workload's there."""
    bearer_token_file: Path | None = None
    """File with the token to send, never the operator's own API token; read anew for each round."""

    @field_validator("bearer_token_file")
    @classmethod
    def _is_not_our_own(cls, value: Path | None) -> Path | None:
        if value is not None and PurePosixPath(normpath(value)).is_relative_to(API_TOKENS):
            raise ValueError("is the operator's own API token, which no other server may see: mount one made for it")
        return value


class ProgressSettings(_Section):
    """Workload-reported progress, read from the workload's own pods.

    `url_template` ({namespace}, {pod}) is for places where pod addresses can not be reached.
    """

    enabled: bool = True
    """Read what workloads declare in spec.progress."""
    url_template: str | None = None
    """Address to read instead of the pod's own, with {namespace} and {pod}."""
    scrape_interval_seconds: Seconds = 15.0
    """Seconds between two rounds of reading."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 256 * 1024
    """Largest page of one pod that is read."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 64
    """Pages that are read at the same time: this many of maxBodyBytes are what reading may hold in memory."""
    max_round_bytes: Annotated[int, Field(ge=1024 * 1024)] = 64 * 1024 * 1024
    """Bytes of one round; every namespace has the same share of them, and waits once it is over."""
    max_round_seconds: Annotated[float, Field(gt=0, le=600)] = 6.0
    """Processor time of one round, shared in the same way."""
    host_network_namespaces: tuple[str, ...] = ()
    """Namespaces whose pods are read on their node's network too, as RDMA jobs need it; nobody else's are."""


class Kueue(_Section):
    """Kueue's Workloads, for clusters that queue with it."""

    enabled: bool = False
    """Read the priority of what Kueue holds back before it has pods; needs kueue.x-k8s.io/v1beta2."""
    check: str = ""
    """Name of the AdmissionCheck with controllerName mfu.gpuaas.io/admission, for the action KueueCheck."""


class Cycle(_Section):
    """How often the loop runs: after `idle_seconds` of quiet, at most `longest_wait_seconds` after the first change."""

    idle_seconds: Seconds = 0.2
    """Quiet time after a change before a cycle begins."""
    longest_wait_seconds: Seconds = 1.0
    """Longest time from the first change to the cycle, however much else changes."""
    resync_seconds: Seconds = 30.0
    """Time after which a cycle runs without any change."""
    warm_up_seconds: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """After a start nothing is said of readings that just have not come yet, for at most this long."""


class Server(_Section):
    """Where /metrics, /healthz and /readyz are served; port 0 takes a free one."""

    host: str = "0.0.0.0"
    """Address to listen on."""
    port: Port = 8080
    """Port of /metrics, /healthz and /readyz; 0 takes a free one."""
    authenticate_metrics: bool = False
    """Serve /metrics only to tokens that the API server knows and that may get the path /metrics."""


class PageSettings(_Section):
    """The read-only page: every view asks the API server what the bearer of the token that it was sent may see."""

    enabled: bool = False
    """Serve the page."""
    host: str = "0.0.0.0"
    """Address to listen on."""
    port: Port = 8081
    """Port of the page; 0 takes a free one."""


class LeaderElection(_Section):
    """One writer at a time, by a coordination.k8s.io Lease."""

    enabled: bool = True
    """Hold a Lease while writing, so that one operator at a time writes."""
    namespace: str | None = None
    """Namespace of the Lease; by default that of the operator's own pod."""
    name: str = "mfu-operator"
    """Name of the Lease."""


class LabelCondition(_Section):
    """One condition on a label of a namespace."""

    key: str
    """Label key."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[str, ...] = ()
    """Values for In and NotIn."""


class NamespaceLabels(_Section):
    """Labels of namespaces, as in an MFUPolicy's spec.namespaceSelector; all must hold."""

    match_labels: dict[str, str] = {}
    """Labels that must be there with exactly these values."""
    match_expressions: tuple[LabelCondition, ...] = ()
    """Further conditions, each with key, operator (In, NotIn, Exists, DoesNotExist) and values."""

    def selector(self) -> LabelSelector:
        """The same as the API has it."""
        return LabelSelector.model_validate(self.model_dump(by_alias=True))


class Shard(_Section):
    """One of several operators of a cluster, each of its own namespaces, with a Lease and a FleetReport of its own.

    Every namespace should match one of them.
    """

    name: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?)?$")] = ""
    """Name of the shard, which ends the names of its Lease and its FleetReport; empty for the one operator of all."""
    namespace_selector: NamespaceLabels = NamespaceLabels()
    """Labels of the namespaces that it speaks of."""
    whole_cluster: bool = False
    """Speak of MFUPolicies and of devices that nobody holds as well: one shard of the cluster does."""


class OperatorConfig(_Section):
    """`mfu operator --config FILE`; the chart renders it from its values."""

    dcgm: DCGMSettings = DCGMSettings()
    agent: AgentSettings = AgentSettings()
    prometheus: PrometheusServer = PrometheusServer()
    progress: ProgressSettings = ProgressSettings()
    kueue: Kueue = Kueue()
    cycle: Cycle = Cycle()
    server: Server = Server()
    page: PageSettings = PageSettings()
    leader_election: LeaderElection = LeaderElection()
    shard: Shard = Shard()
    actions: tuple[ActionType, ...] = ()
    """Actions that this operator carries out where a policy enforces and lists them too; none by default."""
    dry_run: bool = False
    """Evaluate and publish metrics, write nothing to the cluster."""

    @property
    def lease_name(self) -> str:
        """That of the operator, with the shard's where there is one: `mfu-operator-east`."""
        return "-".join(each for each in (self.leader_election.name, self.shard.name) if each)

    @model_validator(mode="after")
    def _shard_stands_alone(self) -> Self:
        selects = not self.shard.namespace_selector.selector().empty
        if selects and not self.shard.name:
            raise ValueError("shard.namespaceSelector is set: name the shard too, in shard.name")
        if self.shard.name and not selects:
            raise ValueError(
                "shard.name is set: say in shard.namespaceSelector of which namespaces; empty is all of them"
            )
        shared = [each for each in self.actions if each in WHOLE_CLUSTER]
        if self.shard.name and shared:
            raise ValueError(
                f"actions lists {shared[0]}, which is of the whole cluster, and shard.name is set: leave it out, "
                "or run one operator for all namespaces"
            )
        return self

    @model_validator(mode="after")
    def _check_is_named(self) -> Self:
        if ActionType.KUEUE_CHECK in self.actions and not (self.kueue.enabled and self.kueue.check):
            raise ValueError(
                "actions lists KueueCheck: set kueue.enabled, and kueue.check to the AdmissionCheck's name"
            )
        return self


def load(path: Path | None) -> OperatorConfig:
    """The file's configuration, the defaults without one. Raises BadConfig."""
    if path is None:
        return OperatorConfig()
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadConfig(f"{path}: can not be read: {why}") from error
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    return parse(document, str(path))


def parse(document: Mapping[str, Any] | Any, name: str) -> OperatorConfig:
    """Raises BadConfig with every wrong field."""
    if not isinstance(document, Mapping):
        raise BadConfig(f"{name}: is a {type(document).__name__}; write a mapping such as 'dcgm: {{enabled: true}}'")
    try:
        return OperatorConfig.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(_explained(each["loc"], each["type"], each["msg"]) for each in error.errors())
        raise BadConfig(f"{name}: {problems}") from error


def _explained(where: tuple[int | str, ...], kind: str, message: str) -> str:
    said = f"{'.'.join(map(str, where))}: {message}"
    if kind != "extra_forbidden":
        return said
    known = _fields(where[:-1])
    near = get_close_matches(str(where[-1]), known, n=1)
    return f"{said}; did you mean {near[0]}?" if near else f"{said}; known fields are {', '.join(known)}"


def _fields(path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of one section."""
    section: type[BaseModel] = OperatorConfig
    for step in path:
        field = next(each for each in section.model_fields.values() if each.alias == step)
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        section = field.annotation
    return [each.alias or name for name, each in section.model_fields.items()]
