"""The parts of an operator, built once from its configuration and one client of the API server."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from mfu.api.powers import ActionType
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import SERVICE_ACCOUNT
from mfu.cluster.executor import Executor
from mfu.cluster.exporters import ExporterPods
from mfu.cluster.lease import Lease
from mfu.cluster.reshaping import Reshaper
from mfu.cluster.shards import ALL_NAMESPACES, OwnNamespaces
from mfu.cluster.state import ClusterState
from mfu.cluster.writer import Writer
from mfu.controller.answering import Answering
from mfu.controller.collector import Collector
from mfu.controller.config import OperatorConfig, PodDiscovery
from mfu.controller.loop import Loop, Trigger
from mfu.controller.metrics import OperatorMetrics
from mfu.controller.targets import exporter_targets, progress_endpoints, speakers
from mfu.controller.trainjobs import INTERVAL_SECONDS, TrainJobStatuses
from mfu.telemetry.agent.adapter import AgentFleet
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.fair import Allowance
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.prometheus.rules import matchers
from mfu.telemetry.sources import PROGRESS_LIMITS, DirectScrape, ProgressScrape
from mfu.telemetry.store.recent import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs in one operator."""

    config: OperatorConfig
    state: ClusterState
    collector: Collector
    loop: Loop
    lease: Lease | None
    """None where no lease is held while writing."""


def build(config: OperatorConfig, client: KubeClient, *, told: bool = True) -> Parts:
    """Nothing runs yet. `told`: kopf watches the declarations and tells them; otherwise they have informers too."""
    cycle = config.cycle
    trigger = Trigger(idle=cycle.idle_seconds, longest=cycle.longest_wait_seconds, resync=cycle.resync_seconds)
    own, shard = own_namespace(config), config.shard
    namespaces = ALL_NAMESPACES
    if shard.name:
        namespaces = OwnNamespaces(shard.name, shard.namespace_selector.selector(), shard.whole_cluster)
    check = config.kueue.check if ActionType.KUEUE_CHECK in config.actions else ""
    state = ClusterState(
        client,
        changed=trigger.mark,
        waits=trigger.hurry,
        redeclared=lambda key: loop.answering.note(key) if loop.answering else None,
        exporters=discovered(config, own),
        told=told,
        switched_on=frozenset(config.actions),
        kueue=config.kueue.enabled,
        check=check,
        own=namespaces,
    )
    store = Store(
        interval_seconds=_shortest_news_seconds(config),
        progress_interval_seconds=config.progress.scrape_interval_seconds,
        prefer=("mfu-agent",),
    )
    metrics = OperatorMetrics(lambda: loop.plan, lambda: loop.answering.let_pass() if loop.answering else None)
    collector = Collector(store, metrics, trigger.mark, state.bindings)
    _add_sources(collector, client, state, config)
    lease = None
    if config.leader_election.enabled:
        lease = Lease(client, namespace=own, name=config.lease_name, identity=_identity())
    writer = Writer(client, may_write=lambda: lease is None or lease.fresh, own=namespaces)
    executor = Executor(client, lambda: state.nodes.objects, writer.note, may_write=writer.may_write)
    executor.check = check
    if ActionType.MIG_LAYOUT in config.actions:
        executor.reshaper = Reshaper(client, writer.may_write)
    ready = _warm(collector, cycle.warm_up_seconds)
    loop = Loop(state, store, writer, metrics, cycle, trigger, ready=ready, dry_run=config.dry_run)
    loop.executor = executor if config.actions else None
    if not config.dry_run:
        loop.answering = Answering(
            state, store, writer, lambda: loop.plan, loop.last_of, answered=loop.take, left=trigger.mark
        )
    return Parts(config, state, collector, loop, lease)


def discovered(config: OperatorConfig, own_namespace: str) -> dict[str, ExporterPods]:
    """Where pods are looked for, by source, for the sources that are not found by an address template."""
    dcgm, agent = config.dcgm, config.agent
    found: dict[str, PodDiscovery] = {}
    if dcgm.enabled and (config.prometheus.url is not None or not dcgm.url_template):
        found["dcgm"] = dcgm.discovery
    if agent.enabled and not agent.url_template:
        found["agent"] = agent.discovery
    return {name: ExporterPods(each.namespace or own_namespace, each.label_selector) for name, each in found.items()}


def own_namespace(config: OperatorConfig) -> str:
    """That of the lease, else of the operator's own pod."""
    configured = config.leader_election.namespace or os.environ.get("POD_NAMESPACE")
    own = SERVICE_ACCOUNT / "namespace"
    return configured or (own.read_text().strip() if own.exists() else "default")


def _shortest_news_seconds(config: OperatorConfig) -> float:
    """How far apart new readings of a device are: a value collected once and scraped twice is one."""
    dcgm, agent, prometheus = config.dcgm, config.agent, config.prometheus
    news = [agent.scrape_interval_seconds] if agent.enabled else []
    if prometheus.url is not None:
        news.append(prometheus.interval_seconds)
    elif dcgm.enabled:
        news.append(max(dcgm.scrape_interval_seconds, dcgm.collection_interval_seconds))
    return min(news, default=dcgm.collection_interval_seconds)


def _add_sources(collector: Collector, client: KubeClient, state: ClusterState, config: OperatorConfig) -> None:
    dcgm, agent, prometheus, progress = config.dcgm, config.agent, config.prometheus, config.progress
    if dcgm.enabled and prometheus.url is None:
        exporters = DCGMFleet(dcgm.scrape_interval_seconds, dcgm.collection_interval_seconds)
        targets = exporter_targets(state, "dcgm", dcgm.url_template, dcgm.discovery)
        collector.sources["dcgm"] = (DirectScrape(targets, exporters), dcgm.scrape_interval_seconds)
        collector.silenced["dcgm"] = lambda: speakers(state, "dcgm").refused
    if agent.enabled:
        agents = AgentFleet(agent.scrape_interval_seconds)
        targets = exporter_targets(state, "agent", agent.url_template, agent.discovery)
        collector.sources["agent"] = (DirectScrape(targets, agents), agent.scrape_interval_seconds)
        collector.silenced["agent"] = lambda: speakers(state, "agent").refused
    if prometheus.url is not None:
        api = PrometheusAPI(
            prometheus.url,
            prometheus.interval_seconds,
            matchers=matchers(job=prometheus.job, namespace=prometheus.namespace),
            places=state.exporter_places,
            bearer_token_file=prometheus.bearer_token_file,
        )
        collector.silenced["prometheus"] = lambda: api.refused
        collector.sources["prometheus"] = (api, prometheus.interval_seconds)
    if progress.enabled:
        limits = replace(PROGRESS_LIMITS, max_body_bytes=progress.max_body_bytes, concurrency=progress.concurrency)
        allowance = Allowance(progress.max_round_bytes, progress.max_round_seconds)
        source = ProgressScrape(progress_endpoints(state, progress), limits, allowance)
        collector.progress["progress"] = (source, progress.scrape_interval_seconds)
        collector.progress["trainjobs"] = (TrainJobStatuses(client, state), INTERVAL_SECONDS)


def _warm(collector: Collector, longest_seconds: float) -> Callable[[], bool]:
    """False while readings just have not come yet, for at most so long after it was first asked."""
    asked: list[float] = []

    def warm() -> bool:
        now = asyncio.get_running_loop().time()
        if not asked:
            asked.append(now)
        return collector.warm or now - asked[0] >= longest_seconds

    return warm


def _identity() -> str:
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
