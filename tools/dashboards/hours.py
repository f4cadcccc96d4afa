"""Hours of the operator's own page over a drawn fleet, as OpenMetrics text for `promtool tsdb create-blocks-from`.

The simulated exporters speak, the operator's own cycle judges, and its metrics are rendered once a cycle: all by a
clock that jumps, so that six hours of the demo are there in a minute.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest

from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.controller.metrics import OperatorMetrics, PlanCollector
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import PodView, PolicyView, Snapshot, WorkloadView
from mfu.hardware.labels import MIG_PREFIX
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import NodeSpec, parse_nodes
from mfu.sim.pods import SimPod
from mfu.sim.progress import replant
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from tests.builders.exporters import Exporters, Key, Reader
from tools.dashboards.fleets import DrawnFleet, Played

CYCLE_SECONDS: Final = 60
POLICY: Final[dict[str, Any]] = {
    "currency": "$",
    "prices": [
        {"product": "H100-SXM5", "perGPUHour": "2.50", "chargedPerGPUHour": "3.00"},
        {"product": "H200-SXM", "perGPUHour": "3.50", "chargedPerGPUHour": "4.00"},
    ],
    "metrics": {"perWorkload": "Full"},
}


def history(fleet: DrawnFleet, end: float) -> Iterator[str]:
    """Lines of OpenMetrics text up to `end` (Unix seconds), each series with its samples in order of time."""
    found: dict[str, list[str]] = defaultdict(list)
    playing = Playing(fleet, end - 60 * fleet.minutes)
    for now in playing.play():
        for series, value in playing.page():
            found[series].append(f"{series} {value} {now:.0f}")
    for series in sorted(found):
        yield from found[series]
    yield "# EOF"


@dataclass
class Playing:
    """One fleet that runs, and its operator."""

    drawn: DrawnFleet
    start: float
    views: dict[str, WorkloadView] = field(default_factory=dict)
    pods: dict[Key, SimPod] = field(default_factory=dict)
    readers: dict[Key, Reader] = field(default_factory=dict)
    plan: Plan | None = None

    def __post_init__(self) -> None:
        self.nodes = {each.name: each for each in parse_nodes(self.drawn.nodes)}
        every = float(self.drawn.every_seconds)
        self.fleet = SimFleet(self.nodes.values(), seed=14, interval_seconds=every)
        self.exporters = Exporters(self.fleet, every, self.start)
        self.policies = (PolicyView("prices", "uid-prices", 1, PolicySpec.model_validate(POLICY)),)
        self.before = Handover()
        self.metrics = OperatorMetrics(lambda: None)
        self.plans = CollectorRegistry()
        self.plans.register(PlanCollector(lambda: self.plan, lambda: self.exporters.now))
        self._said_of_sources()

    def play(self) -> Iterator[float]:
        """Each moment at which there is a new page."""
        for second in range(0, 60 * self.drawn.minutes + 1, self.drawn.every_seconds):
            self._begin(second)
            self.exporters.look(self.start + second, self.readers)
            if second % max(CYCLE_SECONDS, self.drawn.every_seconds) == 0:
                began = time.thread_time()
                self._cycle()
                self.metrics.cycle_seconds.labels("evaluate").observe(time.thread_time() - began)
                yield self.exporters.now

    def page(self) -> Iterator[tuple[str, str]]:
        """Each series of the operator's page with its value."""
        for registry in (self.metrics.registry, self.plans):
            for line in generate_latest(registry).decode().splitlines():
                if not line.startswith("#") and "_bucket" not in line:
                    series, _, value = line.rpartition(" ")
                    yield series, value

    def _said_of_sources(self) -> None:
        self.metrics.readings.set(len(self.fleet.slots))
        self.metrics.silenced.labels("dcgm").set(0)
        for source in ("dcgm", "progress"):
            self.metrics.source_state.labels(source, "Fresh").set(1)

    def _begin(self, second: int) -> None:
        """Those whose minute has come: new pods, or another truth for those that run."""
        now = self.start + second
        for each in self.drawn.workloads:
            for minute, truth in each.acts:
                if second != 60 * minute - 60 * minute % self.drawn.every_seconds:
                    continue
                for namespace, name in each.pod_keys():
                    if (namespace, name) in self.pods:
                        replant(self.fleet, f"{namespace}/{name}", truth, now)
                    else:
                        self._place(SimPod(namespace, name, each.name, truth, each.gpus, each.resource), each, now)

    def _place(self, pod: SimPod, played: Played, now: float) -> None:
        node = next(each for each in self._fitting(played) if self._left(each) >= pod.count)
        key = (pod.namespace, pod.name)
        self.pods[key] = replace(pod, node=node, started=now)
        self.fleet.place(self.pods[key])
        self.readers[key] = _reader(played)
        spec = WorkloadSpec.model_validate(played.spec)
        self.views[pod.workload] = WorkloadView(played.namespace, played.name, f"uid-{pod.workload}", 1, now, spec)

    def _fitting(self, played: Played) -> Iterator[str]:
        for node in self.nodes.values():
            if node.gpu.api_name == played.product and (node.mig is not None) == played.mig:
                yield node.name

    def _left(self, node: str) -> int:
        first, last = self.fleet.node_slices[node]
        return sum(each is None for each in self.fleet.holder[first:last])

    def _cycle(self) -> None:
        held: dict[str, list[Key]] = defaultdict(list)
        for key, pod in self.pods.items():
            held[pod.workload].append(key)
        plan = evaluate(
            Snapshot(
                workloads=tuple(self.views.values()),
                pods=tuple(map(_pod, self.pods.values())),
                nodes=tuple(self._node(each) for each in self.nodes.values()),
                policies=self.policies,
                namespaces={each.namespace: {} for each in self.pods.values()},
                fleet=self.exporters.readings,
                series=self.exporters.series(held),
                before=self.before,
            ),
            self.exporters.now,
        )
        self.before, self.plan = plan.handover, plan
        for each in plan.workloads:
            name = f"{each.namespace}/{each.name}"
            self.views[name] = replace(self.views[name], status=each.status)

    def _node(self, spec: NodeSpec) -> NodeView:
        free = self._left(spec.name)
        if spec.mig is None:
            used: Mapping[str, int] = {"nvidia.com/gpu": spec.gpus - free}
            return NodeView(spec.name, spec.product_label, spec.device, spec.gpus, used=used)
        count = spec.gpus * spec.instances_per_gpu
        used = {f"{MIG_PREFIX}{spec.mig.name}": count - free}
        return NodeView(spec.name, spec.product_label, spec.device, 0, mig={spec.mig.name: count}, used=used)


def _pod(pod: SimPod) -> PodView:
    labels = {WORKLOAD_LABEL: pod.owner}
    held = {pod.resource: pod.count}
    return PodView(pod.namespace, pod.name, f"uid-{pod.key}", pod.started, pod.node, "Running", labels, (), held)


def _reader(played: Played) -> Reader:
    """The engine's own page, or the counter that the declaration names."""
    if played.spec["mode"] == "Inference":
        return read_engine
    metric = played.spec["progress"]["metric"]

    def read(page: bytes, pod: ScrapedPod, now: float) -> Any:
        return declared(page, pod, now, DeclaredProgress(metric))

    return read
