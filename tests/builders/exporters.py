"""The exporters and pods of a simulated fleet, read as the operator reads a cluster's, by a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from mfu.engine.snapshot import FleetReadings
from mfu.observe.readings import ProgressReading, WorkloadSeries
from mfu.sim.fleet import SimFleet
from mfu.sim.server import SimServer
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.progress import ScrapedPod
from mfu.telemetry.store.recent import Store

Reader = Callable[[bytes, ScrapedPod, float], ProgressReading]
"""What a pod's own page says: an engine's counters, or the one that a declaration names."""
Key = tuple[str, str]
"""Namespace and name of a pod."""


class Exporters:
    """One simulated fleet and the operator's memory of it. `every_seconds`: how often it is looked at."""

    def __init__(self, fleet: SimFleet, every_seconds: float, now: float) -> None:
        self.fleet, self.now = fleet, now
        self.served = SimServer(fleet, counters="full", clock=lambda: self.now)
        self._nodes = {name: name for name in fleet.nodes}
        self._adapter, self._store = DCGMFleet(every_seconds, every_seconds), Store(interval_seconds=every_seconds)
        self.readings = FleetReadings()

    def look(self, now: float, pods: Mapping[Key, Reader]) -> None:
        """Read every node, and every pod that has something to say."""
        self.now = now
        bodies = {name: self.served.node_text(name).encode() for name in self._nodes}
        found = self._adapter.round(bodies, now, nodes=self._nodes)
        self._store.add_round(found, now)
        for (namespace, name), read in pods.items():
            page = self.served.pod_text(f"{namespace}/{name}").encode()
            with suppress(NotExposition):
                if page:
                    self._store.add_progress([read(page, ScrapedPod(namespace, name), now)])
        self.readings = FleetReadings(found.devices, found.values, found.observed_at)

    def series(self, workloads: Mapping[str, Iterable[Key]]) -> dict[str, WorkloadSeries]:
        """The recent past of each workload's pods, where there is one."""
        told = {key: self._store.series(list(pods), self.now) for key, pods in workloads.items()}
        return {key: each for key, each in told.items() if each}
