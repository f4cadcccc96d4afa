"""The kopf shell: start-up, shutdown, login, and the watch on what admins write by hand. The work is in the loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import kopf

from mfu.api.names import GROUP, VERSION
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import SERVICE_ACCOUNT, connect
from mfu.cluster.lease import Lease
from mfu.cluster.state import ClusterState, ExporterPods
from mfu.cluster.writer import Writer
from mfu.controller.collector import Collector
from mfu.controller.config import Config, LeaderElection, PodDiscovery
from mfu.controller.login import add_login
from mfu.controller.loop import Loop, Trigger
from mfu.controller.metrics import OperatorMetrics
from mfu.controller.server import serve
from mfu.controller.settings import configure
from mfu.controller.targets import exporter_targets, progress_endpoints, speakers
from mfu.telemetry.agent.adapter import AgentFleet
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.fair import Allowance
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.prometheus.rules import matchers
from mfu.telemetry.sources import PROGRESS_LIMITS, DirectScrape, ProgressScrape
from mfu.telemetry.store.recent import Store

log = logging.getLogger(__name__)

WATCH_SILENT_SECONDS: Final = 180.0
CYCLE_SILENT_SECONDS: Final = 180.0


@dataclass(slots=True)
class Operator:
    """All parts, built once, run until cancelled. `port` is where it serves once it does."""

    config: Config
    kubeconfig: Path | None = None
    port: int | None = None
    loop: Loop | None = None
    collector: Collector | None = None
    lease: Lease | None = None
    started_at: float | None = None
    failed: bool = False
    """A part ended by itself."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _tasks: asyncio.Task[None] | None = None

    async def start(self, stop: asyncio.Event) -> None:
        """Build, serve probes, and run everything in the background; `stop` is set when a part ends by itself."""
        self.started_at = asyncio.get_running_loop().time()
        client = await self._stack.enter_async_context(KubeClient(connect(self.kubeconfig)))
        self._build(client)
        if self.loop is None:
            raise RuntimeError("the loop was not built")
        server = self.config.server
        self.port = await self._stack.enter_async_context(
            serve(
                self.loop.metrics.registry,
                host=server.host,
                port=server.port,
                healthy=self.unhealthy,
                ready=self.unready,
            )
        )
        log.info("serving port=%d", self.port)
        self._tasks = asyncio.create_task(self._run(stop), name="operator")

    async def stop(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.gather(self._tasks, return_exceptions=True)
        if self.lease is not None:
            await self.lease.release()
        if self.collector is not None:
            await self.collector.close()
        await self._stack.aclose()

    def unhealthy(self) -> str | None:
        """Liveness: only what a restart would mend. An API server or exporter that is away is not our illness."""
        loop, now = self.loop, asyncio.get_running_loop().time()
        if loop is None or loop.finished_at is None:
            return None
        silent = now - loop.finished_at
        return f"no cycle for {silent:.0f} s" if silent > CYCLE_SILENT_SECONDS else None

    def unready(self) -> str | None:
        if self.loop is None:
            return "starting"
        if not self.loop.state.synced:
            return "informers are not synced"
        if self.loop.finished_at is None:
            return "waiting for the first cycle (lease, telemetry warm-up)"
        return None

    def _build(self, client: KubeClient) -> None:
        settings = self.config.cycle
        trigger = Trigger(
            idle=settings.idle_seconds, longest=settings.longest_wait_seconds, resync=settings.resync_seconds
        )
        state = ClusterState(client, changed=trigger.mark, exporters=discovered(self.config, self._namespace()))
        store = Store(
            interval_seconds=self._shortest_news_seconds(),
            progress_interval_seconds=self.config.progress.scrape_interval_seconds,
            prefer=("mfu-agent",),
        )
        metrics = OperatorMetrics(lambda: self.loop.plan if self.loop else None)
        self.collector = Collector(store, metrics, trigger.mark, state.bindings)
        self._add_sources(state)
        if self.config.leader_election.enabled:
            self.lease = Lease(
                client, namespace=self._namespace(), name=self.config.leader_election.name, identity=_identity()
            )
        writer = Writer(client, may_write=lambda: self.lease is None or self.lease.fresh)
        self.loop = Loop(
            state, store, writer, metrics, settings, trigger, ready=self._warm, dry_run=self.config.dry_run
        )

    def _shortest_news_seconds(self) -> float:
        """How far apart new readings of a device are: a value collected once and scraped twice is one."""
        dcgm, agent, prometheus = self.config.dcgm, self.config.agent, self.config.prometheus
        news = [agent.scrape_interval_seconds] if agent.enabled else []
        if prometheus.url is not None:
            news.append(prometheus.interval_seconds)
        elif dcgm.enabled:
            news.append(max(dcgm.scrape_interval_seconds, dcgm.collection_interval_seconds))
        return min(news, default=dcgm.collection_interval_seconds)

    def _add_sources(self, state: ClusterState) -> None:
        if self.collector is None:
            return
        dcgm, progress = self.config.dcgm, self.config.progress
        agent, prometheus = self.config.agent, self.config.prometheus
        if dcgm.enabled and prometheus.url is None:
            exporters = DCGMFleet(dcgm.scrape_interval_seconds, dcgm.collection_interval_seconds)
            targets = exporter_targets(state, "dcgm", dcgm.url_template, dcgm.discovery)
            self.collector.sources["dcgm"] = (DirectScrape(targets, exporters), dcgm.scrape_interval_seconds)
            self.collector.silenced["dcgm"] = lambda: speakers(state, "dcgm").refused
        if agent.enabled:
            agents = AgentFleet(agent.scrape_interval_seconds)
            targets = exporter_targets(state, "agent", agent.url_template, agent.discovery)
            self.collector.sources["agent"] = (DirectScrape(targets, agents), agent.scrape_interval_seconds)
            self.collector.silenced["agent"] = lambda: speakers(state, "agent").refused
        if prometheus.url is not None:
            api = PrometheusAPI(
                prometheus.url,
                prometheus.interval_seconds,
                matchers=matchers(job=prometheus.job, namespace=prometheus.namespace),
                bearer_token_file=prometheus.bearer_token_file,
            )
            self.collector.sources["prometheus"] = (api, prometheus.interval_seconds)
        if progress.enabled:
            limits = replace(PROGRESS_LIMITS, max_body_bytes=progress.max_body_bytes, concurrency=progress.concurrency)
            allowance = Allowance(progress.max_round_bytes, progress.max_round_seconds)
            source = ProgressScrape(progress_endpoints(state, progress), limits, allowance)
            self.collector.progress = (source, progress.scrape_interval_seconds)

    def _warm(self) -> bool:
        now = asyncio.get_running_loop().time()
        waited = now - (self.started_at if self.started_at is not None else now)
        return self.collector is None or self.collector.warm or waited >= self.config.cycle.warm_up_seconds

    async def _run(self, stop: asyncio.Event) -> None:
        try:
            if self.lease is not None:
                await self.lease.acquire()
            await self._run_parts()
        except* Exception as group:
            for error in group.exceptions:
                log.error("part ended: %r", error, exc_info=error)
            # Not when cancelled: a stop that was asked for is no failure.
            self.failed = True
        finally:
            stop.set()

    async def _run_parts(self) -> None:
        if self.loop is None or self.collector is None:
            return
        self.loop.metrics.leader.set(1)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.loop.state.run(), name="informers")
            group.create_task(self._collect(), name="collector")
            group.create_task(self.loop.run(), name="loop")
            if self.lease is not None:
                group.create_task(self.lease.hold(), name="lease")

    async def _collect(self) -> None:
        if self.loop is None or self.collector is None:
            return
        # Targets come from nodes and pods: the first round asks the right ones.
        await self.loop.state.wait_synced()
        await self.collector.run()

    def _namespace(self) -> str:
        configured = self.config.leader_election.namespace or os.environ.get("POD_NAMESPACE")
        own = SERVICE_ACCOUNT / "namespace"
        return configured or (own.read_text().strip() if own.exists() else "default")


@asynccontextmanager
async def observe(client: KubeClient, config: Config) -> AsyncIterator[Loop]:
    """Informers and collection without any writing, for the length of the block; for snapshots."""
    quiet = config.model_copy(update={"leader_election": LeaderElection(enabled=False), "dry_run": True})
    operator = Operator(quiet)
    operator._build(client)
    if operator.loop is None:
        raise RuntimeError("the loop was not built")
    tasks = [asyncio.create_task(operator.loop.state.run()), asyncio.create_task(operator._collect())]
    try:
        yield operator.loop
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if operator.collector is not None:
            await operator.collector.close()


def discovered(config: Config, own_namespace: str) -> dict[str, ExporterPods]:
    """Where pods are looked for, by source, for the sources that are not found by an address template."""
    dcgm, agent = config.dcgm, config.agent
    found: dict[str, PodDiscovery] = {}
    if dcgm.enabled and not dcgm.url_template and config.prometheus.url is None:
        found["dcgm"] = dcgm.discovery
    if agent.enabled and not agent.url_template:
        found["agent"] = agent.discovery
    return {name: ExporterPods(each.namespace or own_namespace, each.label_selector) for name, each in found.items()}


def _identity() -> str:
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


def registry_for(operator: Operator, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """Everything that kopf does for us, in a registry of its own."""
    registry = kopf.OperatorRegistry()
    add_login(registry, operator.kubeconfig)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        await operator.start(stop)

    @kopf.on.cleanup(registry=registry)
    async def finish(**_: Any) -> None:
        await operator.stop()

    # Marks and returns; the informers hold the truth, kopf never reports a deletion after a re-list.
    @kopf.on.event(GROUP, VERSION, "mfupolicies", registry=registry)
    async def policy_changed(**_: Any) -> None:
        if operator.loop is not None:
            operator.loop.trigger.mark()

    return registry


async def operate(config: Config, kubeconfig: Path | None) -> int:
    """Run until a signal; 1 when a part ended by itself (a lost lease: the next one starts in seconds)."""
    operator, broken = Operator(config, kubeconfig), asyncio.Event()
    await kopf.operator(registry=registry_for(operator, broken), clusterwide=True, standalone=True, stop_flag=broken)
    return 1 if operator.failed else 0
