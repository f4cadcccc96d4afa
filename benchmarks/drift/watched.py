"""The operator's own cycle over the planted stories, by a simulated clock: what it finds, when, and of which kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.drift.truth import GPUS_PER_NODE, Planted, Story, TrueJob
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.decide.types import NodeView
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import PodView, Snapshot, WorkloadView
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from mfu.predict import model_flops_per_token
from mfu.predict.declared import from_spec
from mfu.predict.types import Problem

START: Final = 1_800_000_000.0
WITHIN: Final = 30
"""Minutes after which a regression must be known."""
KIND: Final[Mapping[Planted, str]] = {
    Planted.VERSION: "Configuration",
    Planted.SCALE_OUT: "Scaling",
    Planted.SLOW_NODE: "Infrastructure",
    Planted.LOST_LINK: "Infrastructure",
    Planted.PRODUCT: "Infrastructure",
}
PRODUCTS: Final = {"NVIDIA H100 80GB HBM3": "NVIDIA-H100-80GB-HBM3", "NVIDIA H200": "NVIDIA-H200"}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One change that the operator told of. Minutes are from the start of the story."""

    workload: str
    minute: int
    kind: str
    product: str
    node: str
    gpu: str
    relative: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one story. `problems` is empty where it was found in time and classed right, and nothing else."""

    story: Story
    restarted: bool
    alarms: tuple[Alarm, ...]
    problems: tuple[str, ...]
    minutes: int | None
    """From the regression to the alarm."""


def jobs_of(story: Story) -> list[TrueJob]:
    """One job; for a product two of the same model, of which one product regresses."""
    minutes, flops = story.onset + WITHIN + 6, flops_per_token()
    first = TrueJob("job", story, minutes=minutes, flops_per_token=flops)
    if story.planted is not Planted.PRODUCT:
        return [first]
    return [
        replace_job(first, name=f"{name}", product=product, regresses=(number == story.variant))
        for number, (name, product) in enumerate(zip(("older", "newer"), PRODUCTS, strict=True))
    ]


def replace_job(job: TrueJob, **changes: Any) -> TrueJob:
    fields = {"minutes": job.minutes, "flops_per_token": job.flops_per_token}
    return TrueJob(story=job.story, **{**fields, **changes})


def declaration(job: TrueJob, at: float) -> WorkloadSpec:
    changed = job.story.changes_pods and at >= job.declared_at
    grown = changed and job.story.planted is Planted.SCALE_OUT
    version = "v2" if changed and job.story.planted is Planted.VERSION else "v1"
    gpus = GPUS_PER_NODE * job.story.nodes * (2 if grown else 1)
    return _spec(job.name, version, gpus)


def _spec(name: str, version: str, gpus: int) -> WorkloadSpec:
    document = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": "llama-3.1-8b", "version": version},
        "accelerators": {"count": gpus},
        "training": {
            "sequenceLength": 4096,
            "globalBatchSize": 8 * gpus,
            "parallelism": {"tensor": 2, "data": gpus // 2},
            "sharding": "ZeRO1",
        },
    }
    return WorkloadSpec.model_validate(document)


def flops_per_token() -> float:
    setup = from_spec(_spec("job", "v1", GPUS_PER_NODE))
    assert not isinstance(setup, Problem)
    return model_flops_per_token(setup)


class SimulatedOperator:
    """One cycle a minute over the jobs of a story; what it says is read back as a cluster would hold it."""

    def __init__(self, jobs: list[TrueJob]) -> None:
        self.jobs, self.snapshot, self.known_since = jobs, Snapshot(), 0.0
        self.views: dict[str, WorkloadView] = {}
        self.alarms: list[Alarm] = []

    def copied(self) -> SimulatedOperator:
        """Another one in the same state; what it holds is never changed in place."""
        other = SimulatedOperator(copy.deepcopy(self.jobs))
        other.snapshot, other.known_since = self.snapshot, self.known_since
        other.views, other.alarms = dict(self.views), list(self.alarms)
        return other

    def restart(self, at: float) -> None:
        """Only what stands in status is left, and telemetry begins anew."""
        self.known_since = at
        self.snapshot = replace(self.snapshot, before=Handover())

    def minute(self, number: int) -> Plan:
        at = 60.0 * number
        views = tuple(self._view(job, at) for job in self.jobs)
        series = {
            view.key: job.series(at, known_since=self.known_since, offset=START)
            for view, job in zip(views, self.jobs, strict=True)
        }
        pods = tuple(_pod(job, node, at) for job in self.jobs for node in job.nodes(at))
        nodes = tuple(_node(node, job.product) for job in self.jobs for node in job.nodes(at))
        before = self.snapshot.before
        plan = evaluate(Snapshot(views, pods, nodes, series=series, before=before), START + at)
        self._note(plan, number)
        for each in plan.workloads:
            self.views[each.name] = replace(self.views[each.name], status=each.status, annotations=each.annotations)
        self.snapshot = Snapshot(before=plan.handover)
        return plan

    def _view(self, job: TrueJob, at: float) -> WorkloadView:
        spec, known = declaration(job, at), self.views.get(job.name)
        if known is None:
            known = WorkloadView("team", job.name, f"uid-{job.name}", 1, START, spec)
        elif known.spec != spec:
            known = replace(known, spec=spec, generation=known.generation + 1, changed_at=START + at)
        self.views[job.name] = known
        return known

    def _note(self, plan: Plan, number: int) -> None:
        for each in plan.workloads:
            told = [event for event in each.events if event.reason.startswith("Efficiency")]
            drift = each.memory.drift
            if told and drift is not None:
                node, gpu = (drift.where.node, drift.where.gpu or "") if drift.where else ("", "")
                alarm = Alarm(each.name, number, str(drift.kind), drift.product, node, gpu, drift.relative)
                self.alarms.append(alarm)


def _pod(job: TrueJob, node: str, at: float) -> PodView:
    name, born = job.pod(node, at), START + (job.pods_at if job.pod_generation(at) else 0.0)
    labels = {WORKLOAD_LABEL: job.name}
    return PodView("team", name, f"uid-{name}", born, node, "Running", labels, (), {"nvidia.com/gpu": GPUS_PER_NODE})


def _node(name: str, product: str) -> NodeView:
    label = PRODUCTS[product]
    device = load().resolve(label)
    assert isinstance(device, Device)
    return NodeView(name, label, device, GPUS_PER_NODE, used={"nvidia.com/gpu": GPUS_PER_NODE}, labels={})


def watch(story: Story, *, restart_minute: int | None = None) -> Verdict:
    """The story from beginning to end."""
    operator = SimulatedOperator(jobs_of(story))
    return _to_the_end(operator, story, range(1, story.onset + WITHIN + 1), restart_minute)


def watch_twice(story: Story, restart_minute: int) -> tuple[Verdict, Verdict]:
    """Undisturbed, and restarted at that minute; up to there the two are one."""
    operator = SimulatedOperator(jobs_of(story))
    for number in range(1, restart_minute):
        operator.minute(number)
    rest, other = range(restart_minute, story.onset + WITHIN + 1), operator.copied()
    return _to_the_end(operator, story, rest), _to_the_end(other, story, rest, restart_minute)


def _to_the_end(operator: SimulatedOperator, story: Story, minutes: range, restart: int | None = None) -> Verdict:
    for number in minutes:
        if number == restart:
            operator.restart(60.0 * number - 30.0)
        operator.minute(number)
    return judge(story, tuple(operator.alarms), operator.jobs, restarted=restart is not None)


def judge(story: Story, alarms: tuple[Alarm, ...], jobs: list[TrueJob], *, restarted: bool) -> Verdict:
    guilty = next(job for job in jobs if job.regresses)
    right = [each for each in alarms if each.workload == guilty.name and each.minute >= story.onset]
    problems = [f"{each.workload} told of at minute {each.minute}" for each in alarms if each not in right]
    if not right:
        return Verdict(story, restarted, alarms, (*problems, "not found"), None)
    first = right[0]
    if len(right) > 1:
        problems.append(f"told {len(right)} times")
    if first.kind != KIND[story.planted]:
        problems.append(f"classed {first.kind}")
    node, gpu = guilty.culprit or ("", None)
    if (first.node, first.gpu) != (node, gpu or ""):
        problems.append(f"placed on {first.node or 'no node'} {first.gpu}".rstrip())
    device = load().resolve(PRODUCTS[guilty.product])
    assert isinstance(device, Device)
    if first.product != device.label:
        problems.append(f"product {first.product}")
    if not -0.12 < first.relative < -0.05:
        problems.append(f"sized {first.relative:+.1%}")
    return Verdict(story, restarted, alarms, tuple(problems), first.minute - story.onset)
