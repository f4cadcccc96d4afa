"""One operator process: build the parts, serve probes and metrics, hold the lease, run until a signal."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.shards import OwnNamespaces
from mfu.cluster.stopping import until_stopped
from mfu.controller.access import KubeAccess
from mfu.controller.build import Parts, build
from mfu.controller.config import LeaderElection, OperatorConfig, PageSettings
from mfu.controller.interpreter import give_way, spare
from mfu.controller.loop import Loop
from mfu.controller.server import serve
from mfu.controller.watch import DeclaredWatch
from mfu.engine.plan import Plan
from mfu.web.planned import seen_of
from mfu.web.rights import KubeRights
from mfu.web.seen import Seen, Unavailable
from mfu.web.server import Site, serve_page

log = logging.getLogger(__name__)

CYCLE_SILENT_SECONDS: Final = 180.0
LOOK_SECONDS: Final = 0.5


async def operate(config: OperatorConfig, kubeconfig: Path | None, look: Callable[[Plan], None] | None = None) -> int:
    """Run until a signal; 1 when a part ended by itself (a lost lease: the next one starts in seconds).

    `look` is given every plan as it is made, for whoever runs it by hand.
    """
    spare()
    give_way()
    async with KubeClient(connect(kubeconfig)) as client:
        parts, stop = build(config, client), asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        registry, server = parts.loop.metrics.registry, config.server
        async with (
            serve(
                registry,
                host=server.host,
                port=server.port,
                healthy=lambda: unhealthy(parts.loop),
                ready=lambda: unready(parts.loop),
                may_read=KubeAccess(client).refusal if server.authenticate_metrics else None,
            ) as port,
            _page(parts.loop, rights_of(client, config), config.page) as page_port,
        ):
            log.info("serving port=%d page=%s", port, page_port or "off")
            return await _until(stop, parts, kubeconfig, look)


def rights_of(client: KubeClient, config: OperatorConfig) -> KubeRights:
    """Who may see what of this operator's page: a shard shows the FleetReport of its own."""
    return KubeRights(client, OwnNamespaces(config.shard.name).report)


@asynccontextmanager
async def _page(loop: Loop, rights: KubeRights, settings: PageSettings) -> AsyncIterator[int | None]:
    """The page for the length of the block, where it is wanted; gives the port that was taken."""
    if not settings.enabled:
        yield None
        return
    site = Site(Moments(loop), rights)
    async with serve_page(site, host=settings.host, port=settings.port) as port:
        yield port


@dataclass(slots=True)
class Moments:
    """The newest plan as the page shows it, made once for all who look."""

    loop: Loop
    _plan: Plan | None = None
    _seen: Seen | None = None

    async def __call__(self) -> Seen:
        plan = self.loop.plan
        if plan is None:
            raise Unavailable("The operator has judged nothing yet: it waits for its lease, or for readings.")
        if self._seen is None or self._plan is not plan:
            self._plan, self._seen = plan, await asyncio.to_thread(seen_of, plan, time.time())
        return self._seen


async def _until(
    stop: asyncio.Event, parts: Parts, kubeconfig: Path | None, look: Callable[[Plan], None] | None
) -> int:
    try:
        return await until_stopped(_run(parts, kubeconfig, look), stop, name="operator")
    finally:
        if parts.lease is not None:
            await parts.lease.release()
        await parts.collector.close()


async def _run(parts: Parts, kubeconfig: Path | None, look: Callable[[Plan], None] | None = None) -> None:
    """Returns when a part ended by itself."""
    try:
        if parts.lease is not None:
            await parts.lease.acquire()
        # Asked for by whoever renders the page, in a thread without a loop.
        lease, clock = parts.lease, asyncio.get_running_loop().time
        parts.loop.metrics.lead(lambda: lease is None or lease.fresh_at(clock()))
        async with asyncio.TaskGroup() as group:
            group.create_task(parts.state.run(), name="informers")
            group.create_task(DeclaredWatch(parts.state.told, kubeconfig).run(), name="declarations")
            group.create_task(_collect(parts), name="collector")
            group.create_task(parts.loop.run(), name="loop")
            if look is not None:
                group.create_task(_looking(parts.loop, look), name="looking")
            if parts.lease is not None:
                group.create_task(parts.lease.hold(), name="lease")
    except* Exception as failed:
        for error in failed.exceptions:
            log.error("part ended: %r", error, exc_info=error)


async def _looking(loop: Loop, look: Callable[[Plan], None]) -> None:
    """Every new plan, as soon as there is one."""
    shown: Plan | None = None
    while True:
        if loop.plan is not None and loop.plan is not shown:
            shown = loop.plan
            look(shown)
        await asyncio.sleep(LOOK_SECONDS)


async def _collect(parts: Parts) -> None:
    # Targets come from nodes and pods: the first round asks the right ones.
    await parts.state.wait_synced()
    await parts.collector.run()


def unhealthy(loop: Loop) -> str | None:
    """Liveness: only what a restart would mend. An API server or exporter that is away is not our illness."""
    if loop.alive_at is None:
        return None
    silent = asyncio.get_running_loop().time() - loop.alive_at
    return f"no cycle for {silent:.0f} s" if silent > CYCLE_SILENT_SECONDS else None


def unready(loop: Loop) -> str | None:
    if not loop.state.synced:
        return "informers are not synced"
    if loop.finished_at is None:
        return "waiting for the first cycle (lease, telemetry warm-up)"
    return None


@asynccontextmanager
async def observe(client: KubeClient, config: OperatorConfig) -> AsyncIterator[Loop]:
    """Informers and collection without any writing, for the length of the block; for snapshots."""
    quiet = config.model_copy(update={"leader_election": LeaderElection(enabled=False), "dry_run": True})
    parts = build(quiet, client, told=False)
    tasks = [asyncio.create_task(parts.state.run()), asyncio.create_task(_collect(parts))]
    try:
        yield parts.loop
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.collector.close()
