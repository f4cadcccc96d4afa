"""Jobs with planted truth on the simulated fleet, read as the operator reads a cluster, by a clock that jumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import PodView, PolicyView, Snapshot, WorkloadView
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.truth import Truth
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.web.planned import seen_of
from mfu.web.seen import Seen
from tests.builders.cases import node
from tests.builders.exporters import Exporters

LABELS: Final = {
    "H100-SXM5": "NVIDIA-H100-80GB-HBM3",
    "H200-SXM": "NVIDIA-H200",
    "A100-SXM4-80GB": "NVIDIA-A100-SXM4-80GB",
}
EVERY, CYCLE = 10, 60
"""Seconds between two looks at the exporters, and between two cycles of the operator."""
START: Final = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Job:
    """A workload on whole nodes of one product, except `gpus` where it holds part of one."""

    name: str
    product: str
    truth: Truth
    spec: dict[str, Any]
    nodes: int = 1
    gpus: int = 8

    @property
    def pods(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(self.nodes)]

    def read(self, page: bytes, where: ScrapedPod, now: float) -> Any:
        """The engine's own page, or the counter that the declaration names."""
        if self.spec["mode"] == "Inference":
            return read_engine(page, where, now)
        return declared(page, where, now, DeclaredProgress(self.spec["progress"]["metric"]))


class Simulated:
    """The fleet, its exporters and the operator's memory of them."""

    def __init__(self, jobs: Sequence[Job], prices: dict[str, str]) -> None:
        self.jobs, self.now = jobs, START
        count = {product: sum(job.nodes for job in jobs if job.product == product) for product in LABELS}
        fleet = SimFleet(parse_nodes(",".join(f"{name}={number}" for name, number in count.items() if number)), seed=3)
        free = {product: [each for each in fleet.nodes if each.startswith(product.lower())] for product in LABELS}
        self.places = {pod: free[job.product].pop(0) for job in jobs for pod in job.pods}
        for job in jobs:
            nodes = tuple(self.places[pod] for pod in job.pods)
            made = Workload("team", job.name, job.truth, job.nodes, job.gpus, nodes=nodes, started=START)
            for pod in made.sim_pods():
                fleet.place(pod)
        self.fleet = fleet
        self.exporters = Exporters(fleet, float(EVERY), START)
        self.views = {job.name: _view(job) for job in jobs}
        rows = [{"product": product, "perGPUHour": price} for product, price in prices.items()]
        spec = PolicySpec.model_validate({"currency": "$", "prices": rows})
        self.policies = (PolicyView("prices", "uid-prices", 1, spec),)
        self.before = Handover()

    def run(self, minutes: int) -> Seen:
        """So many minutes on; what the page would show then."""
        for second in range(EVERY, 60 * minutes + 1, EVERY):
            self.now = START + second
            self._look()
            if second % CYCLE == 0:
                plan = self._cycle()
        return seen_of(plan, self.now)

    def _look(self) -> None:
        self.exporters.look(self.now, {("team", pod): job.read for job in self.jobs for pod in job.pods})

    def _cycle(self) -> Plan:
        plan = evaluate(
            Snapshot(
                workloads=tuple(self.views.values()),
                pods=tuple(self._pod(job, pod) for job in self.jobs for pod in job.pods),
                nodes=tuple(self._node(name) for name in self.fleet.nodes),
                policies=self.policies,
                namespaces={"team": {}},
                fleet=self.exporters.readings,
                series=self.exporters.series(
                    {f"team/{job.name}": [("team", pod) for pod in job.pods] for job in self.jobs}
                ),
                before=self.before,
            ),
            self.now,
        )
        self.before = plan.handover
        for each in plan.workloads:
            self.views[each.name] = replace(self.views[each.name], status=each.status)
        return plan

    def _pod(self, job: Job, pod: str) -> PodView:
        labels = {WORKLOAD_LABEL: job.name}
        held = {"nvidia.com/gpu": job.gpus}
        return PodView("team", pod, f"uid-{pod}", START, self.places[pod], "Running", labels, (), held)

    def _node(self, name: str) -> Any:
        product = next(each for each in LABELS if name.startswith(each.lower()))
        used = sum(job.gpus for job in self.jobs for pod in job.pods if self.places[pod] == name)
        return node(name, product=LABELS[product], used=used)


def _view(job: Job) -> WorkloadView:
    return WorkloadView("team", job.name, f"uid-{job.name}", 1, START, WorkloadSpec.model_validate(job.spec))
