"""Prometheus metrics: the last plan's figures, and how the operator itself is doing.

Of single workloads as much as their policy asks (`spec.metrics.perWorkload`); namespaces and the fleet always.
"""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from operator import attrgetter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from mfu.account.rollup import Figure
from mfu.api.conditions import ConditionType
from mfu.api.mfupolicy import PerWorkload
from mfu.api.recommendations import AdviceVerdict
from mfu.engine.fleet import believable
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.observe.assessment import Finding, Window
from mfu.observe.history import promises

WORKLOAD_LABELS = ("namespace", "workload")
GROUPS = ("node", "namespace", "product")


@dataclass(frozen=True, slots=True)
class NamedMetric:
    """One metric of the documentation table."""

    name: str
    help: str
    labels: tuple[str, ...]


WORKLOAD = (
    NamedMetric("mfu_workload_expected_mfu_ratio", "Expected MFU as declared and placed.", WORKLOAD_LABELS),
    NamedMetric("mfu_workload_expected_mbu_ratio", "Expected memory-bandwidth utilisation.", WORKLOAD_LABELS),
    NamedMetric("mfu_workload_attainable_mfu_ratio", "Best MFU within spec.tunable on the same GPUs.", WORKLOAD_LABELS),
    NamedMetric(
        "mfu_workload_gpus", "GPUs (or MIG slices) that it holds, or declares while it holds none.", WORKLOAD_LABELS
    ),
    NamedMetric("mfu_workload_cost_per_hour", "Price of its GPUs per hour, in the policy's currency.", WORKLOAD_LABELS),
    NamedMetric("mfu_workload_lost_per_hour", "Part of that price that pays for lost FLOPs.", WORKLOAD_LABELS),
)
OBSERVED = (
    NamedMetric("mfu_workload_observed_mfu_ratio", "Observed MFU.", (*WORKLOAD_LABELS, "window", "meter")),
    NamedMetric("mfu_workload_observed_mbu_ratio", "Observed MBU.", (*WORKLOAD_LABELS, "window", "meter")),
    NamedMetric(
        "mfu_workload_reference_mfu_ratio",
        "Observed model FLOPs over the dense 16-bit peak.",
        (*WORKLOAD_LABELS, "window", "meter"),
    ),
    NamedMetric("mfu_workload_coverage_ratio", "Share of GPU-time measured.", (*WORKLOAD_LABELS, "window", "meter")),
    NamedMetric(
        "mfu_workload_confidence_ratio", "Trust in the observed figures.", (*WORKLOAD_LABELS, "window", "meter")
    ),
)
OBSERVED_AT = NamedMetric(
    "mfu_workload_observed_timestamp_seconds",
    "When the newest sample behind the observed figures was taken, by where it was read.",
    (*WORKLOAD_LABELS, "window", "meter", "source"),
)
SCALE = NamedMetric(
    "mfu_workload_scale", "1 for the scale that it is judged on, MFU or MBU.", (*WORKLOAD_LABELS, "scale")
)
ATTAINMENT = NamedMetric(
    "mfu_workload_slo_attainment_ratio",
    "Share of the last ten minutes' answers within spec.inference.slo, by the engines' own histograms.",
    (*WORKLOAD_LABELS, "objective"),
)
CAUSE = NamedMetric("mfu_workload_cause", "1 for the main cause of loss.", (*WORKLOAD_LABELS, "cause"))
LOSS = NamedMetric(
    "mfu_workload_loss_ratio", "Share of peak lost, by cause.", (*WORKLOAD_LABELS, "cause", "explains", "actor")
)
CONDITION = NamedMetric(
    "mfu_workload_condition",
    "1 where the condition is True, 0 where False, absent while Unknown.",
    (*WORKLOAD_LABELS, "type"),
)
REPLICAS = NamedMetric(
    "mfu_workload_desired_replicas",
    "Replicas that its load asks for; the last number stays while readings are lost or can not be believed.",
    WORKLOAD_LABELS,
)
PROMISES = NamedMetric(
    "mfu_advice_promises", "Changes that followed our advice, by whether its promise came true.", ("result",)
)
ANSWERS = NamedMetric(
    "mfu_advice_answers", "Recommendations that owners answered (spec.answers), by what they answered.", ("verdict",)
)
AGE = NamedMetric(
    "mfu_operator_judgement_age_seconds",
    "Seconds since workloads were judged, or seen to run as judged: the median, the 99th percentile and the oldest.",
    ("quantile",),
)
FIGURES = (
    ("mfu_ratio", "Reference MFU of all GPUs, idle ones included.", "mfu"),
    ("allocated_mfu_ratio", "Reference MFU of allocated GPUs.", "allocated_mfu"),
    ("price_weighted_mfu_ratio", "Reference MFU weighted by price.", "price_weighted_mfu"),
    ("scheduling_ratio", "Held by somebody ÷ all, by peak; × runtime × program = MFU.", "factors.scheduling"),
    ("runtime_ratio", "Of what is held, the part that makes progress, by peak.", "factors.runtime"),
    ("program_ratio", "Model FLOPs ÷ peak of what makes progress.", "factors.program"),
    ("gpus", "GPUs; MIG slices count as their share of one.", "gpus"),
    ("allocated_gpus", "GPUs that pods hold.", "allocated_gpus"),
    ("measured_ratio", "Share of GPUs measured by progress.", "measured"),
    ("estimated_ratio", "Share of GPUs estimated by counters.", "estimated"),
    ("idle_ratio", "Share of GPUs that nobody holds.", "idle"),
    ("unknown_ratio", "Share of GPUs of which nothing is known.", "unknown"),
    ("cost_per_hour", "Price per hour, where known.", "cost_per_hour"),
)


# Longer ones stand in status: whoever scrapes can average for itself, and ten thousand workloads fill a page.
_SUMMARY_WINDOWS = frozenset({Window.TEN_MINUTES})
_WINDOWS = frozenset({Window.MINUTE, Window.TEN_MINUTES})
_SUMMARY_TYPES = frozenset({str(ConditionType.READY)})
_TYPES = frozenset(str(kind) for kind in ConditionType)


class PlanCollector(Collector):
    """Renders the newest plan; what is unknown is absent, never 0."""

    def __init__(self, plan: Callable[[], Plan | None], now: Callable[[], float] = time.time) -> None:
        self._plan, self._now = plan, now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        plan = self._plan()
        if plan is None:
            return
        shown = [each for each in plan.workloads if each.policy.per_workload is not PerWorkload.NONE]
        yield from _workloads(shown)
        yield from _observed(shown)
        yield from _causes(shown)
        yield _replicas(plan.workloads)
        yield _promises(plan.workloads)
        yield _answers(plan.workloads)
        yield _ages(plan.workloads, self._now())
        figures = plan.figures
        if figures.fleet is not None:
            yield from _figures("fleet", (), [((), figures.fleet)])
        for group, members in zip(GROUPS, (figures.nodes, figures.namespaces, figures.products), strict=True):
            yield from _figures(group, (group,), [((name,), each) for name, each in members.items()])


def _full(plan: WorkloadPlan) -> bool:
    """Does its policy ask for more than the summary? Ten thousand workloads in full are a page of 34 MiB."""
    return plan.policy.per_workload is PerWorkload.FULL


def _family(named: NamedMetric, samples: Iterable[tuple[Sequence[str], float | None]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(named.name, named.help, labels=named.labels)
    for labels, value in samples:
        if value is not None and isfinite(value):
            family.add_metric(list(labels), value)
    return family


def _workloads(plans: Sequence[WorkloadPlan]) -> Iterator[GaugeMetricFamily]:
    def row(plan: WorkloadPlan) -> tuple[float | None, ...]:
        return (
            plan.expected.mfu if plan.expected else None,
            plan.expected.mbu if plan.expected else None,
            plan.attainable.prediction.mfu if plan.attainable else None,
            plan.gpus,
            plan.cost_per_hour,
            plan.lost_per_hour,
        )

    values = [((plan.namespace, plan.name), row(plan)) for plan in plans]
    for column, named in enumerate(WORKLOAD):
        yield _family(named, ((labels, each[column]) for labels, each in values))
    yield _family(
        ATTAINMENT,
        (
            ((p.namespace, p.name, str(each.objective)), each.share)
            for p in plans
            if p.latency
            for each in p.latency.attained
        ),
    )
    yield _family(SCALE, (((p.namespace, p.name, str(p.expected.scale)), 1.0) for p in plans if p.expected))


def _observed(plans: Sequence[WorkloadPlan]) -> Iterator[GaugeMetricFamily]:
    rows = [
        ((plan.namespace, plan.name, str(each.window), str(each.meter)), each, _full(plan))
        for plan in plans
        if plan.assessment
        for each in plan.assessment.observations
        if each.window in (_WINDOWS if _full(plan) else _SUMMARY_WINDOWS) and believable(plan, each)
    ]
    full = [(labels, each) for labels, each, whole in rows if whole]
    yield _family(OBSERVED[0], ((labels, each.mfu) for labels, each, _ in rows))
    yield _family(OBSERVED[1], ((labels, each.mbu) for labels, each, _ in rows))
    yield _family(OBSERVED[2], ((labels, each.reference_mfu) for labels, each in full))
    yield _family(OBSERVED[3], ((labels, each.coverage) for labels, each in full))
    yield _family(OBSERVED[4], ((labels, each.confidence) for labels, each in full))
    yield _family(OBSERVED_AT, (((*labels, each.source), each.observed_at) for labels, each in full))


def _causes(plans: Sequence[WorkloadPlan]) -> Iterator[GaugeMetricFamily]:
    judged = [plan for plan in plans if plan.assessment is not None]
    yield _family(CAUSE, (((p.namespace, p.name, str(p.cause)), 1.0) for p in judged))
    yield _family(
        LOSS,
        (
            ((p.namespace, p.name, str(each.cause), str(each.explains), str(each.actor)), each.share)
            for p in judged
            if _full(p)
            for each in _once(p)
        ),
    )
    known = {"True": 1.0, "False": 0.0}
    yield _family(
        CONDITION,
        (
            ((plan.namespace, plan.name, kind), known.get(state))
            for plan in plans
            for kind, state in plan.conditions
            if kind in (_TYPES if _full(plan) else _SUMMARY_TYPES)
        ),
    )


def _replicas(plans: Sequence[WorkloadPlan]) -> GaugeMetricFamily:
    """Of every workload of which it was ever decided in this process: an autoscaler may follow it."""
    wanted = (((plan.namespace, plan.name), plan.memory.scaled.wanted) for plan in plans)
    return _family(REPLICAS, wanted)


def _promises(plans: Sequence[WorkloadPlan]) -> GaugeMetricFamily:
    """How often advice that was followed brought at least half of what it promised."""
    counted = [promises(plan.memory.history) for plan in plans]
    kept, broken = sum(each.kept for each in counted), sum(each.broken for each in counted)
    return _family(PROMISES, ((("kept",), float(kept)), (("broken",), float(broken))))


def _answers(plans: Sequence[WorkloadPlan]) -> GaugeMetricFamily:
    specs = (plan.judged[0].spec for plan in plans if plan.judged is not None)
    counted = Counted(each.verdict for spec in specs if spec is not None for each in spec.answers)
    return _family(ANSWERS, (((str(verdict),), float(counted[verdict])) for verdict in AdviceVerdict))


def _ages(plans: Sequence[WorkloadPlan], now: float) -> GaugeMetricFamily:
    """How long ago workloads were judged, whether or not anything new came of it."""
    known = sorted(now - plan.judged_at for plan in plans if plan.judged_at is not None)
    places = {"0.5": 0.5, "0.99": 0.99, "1": 1.0} if known else {}
    return _family(AGE, (((name,), known[round(place * (len(known) - 1))]) for name, place in places.items()))


def _once(plan: WorkloadPlan) -> Iterable[Finding]:
    """One finding per cause, loss and actor: two series with the same labels would spoil the whole scrape."""
    return {(each.cause, each.explains, each.actor): each for each in reversed(plan.findings)}.values()


def _figures(
    group: str, labels: tuple[str, ...], members: Sequence[tuple[tuple[str, ...], Figure]]
) -> Iterator[GaugeMetricFamily]:
    for suffix, text, attribute in FIGURES:
        named = NamedMetric(f"mfu_{group}_{suffix}", text, labels)
        yield _family(named, ((key, attrgetter(attribute)(each)) for key, each in members))


OPERATOR = (
    NamedMetric("mfu_operator_cycle_seconds", "Time of one cycle, by step.", ("step",)),
    NamedMetric("mfu_operator_cycles", "Cycles run, by result.", ("result",)),
    NamedMetric(
        "mfu_operator_writes", "Writes since start, by result; deferred counts the last cycle alone.", ("result",)
    ),
    NamedMetric("mfu_operator_releases", "Pods behind our gate, by what became of opening it.", ("result",)),
    NamedMetric("mfu_operator_suspensions", "Idle owners, by what became of suspending them.", ("result",)),
    NamedMetric("mfu_operator_check_answers", "Questions of Kueue, by what became of the answer.", ("result",)),
    NamedMetric("mfu_operator_objects", "Objects in each informer.", ("kind",)),
    NamedMetric("mfu_operator_workloads_behind", "Workloads that wait to be judged anew.", ()),
    NamedMetric("mfu_operator_relists", "Full lists per informer.", ("kind",)),
    NamedMetric("mfu_operator_watch_age_seconds", "Since the last word of each watch.", ("kind",)),
    NamedMetric("mfu_operator_leader", "1 while this process may write.", ()),
    NamedMetric("mfu_telemetry_source_state", "1 for the state of each source.", ("source", "state")),
    NamedMetric(
        "mfu_telemetry_readings_refused",
        "Rows not believed: foreign ones name a pod that is not on their node, early ones began before their pod did.",
        ("source", "why"),
    ),
    NamedMetric("mfu_telemetry_nodes_silenced", "Nodes for which two exporters claim to speak.", ("source",)),
    NamedMetric("mfu_telemetry_devices", "Devices with a fresh reading.", ()),
    NamedMetric("mfu_telemetry_round_seconds", "Time of one round of readings.", ("source",)),
)
_CYCLE_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10)
_ROUND_BUCKETS = (0.01, 0.05, 0.2, 1, 3, 10, 30)


def documented() -> tuple[NamedMetric, ...]:
    """Every metric that the operator serves, in the order of the documentation."""
    groups = [
        NamedMetric(f"mfu_{group}_{suffix}", text, () if group == "fleet" else (group,))
        for group in ("fleet", *GROUPS)
        for suffix, text, _ in FIGURES
    ]
    return (
        *WORKLOAD,
        *OBSERVED,
        OBSERVED_AT,
        SCALE,
        ATTAINMENT,
        CAUSE,
        LOSS,
        CONDITION,
        REPLICAS,
        PROMISES,
        ANSWERS,
        AGE,
        *groups,
        *OPERATOR,
    )


class OperatorMetrics:
    """Counters and gauges of the process itself, in a registry of their own; names and words are those of OPERATOR."""

    def __init__(self, plan: Callable[[], Plan | None]) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(PlanCollector(plan))
        self.cycle_seconds = self._histogram("mfu_operator_cycle_seconds", _CYCLE_BUCKETS)
        self.cycles = Counter(*_named("mfu_operator_cycles"), registry=self.registry)
        self.writes = self._gauge("mfu_operator_writes")
        self.releases = self._gauge("mfu_operator_releases")
        self.suspensions = self._gauge("mfu_operator_suspensions")
        self.answers = self._gauge("mfu_operator_check_answers")
        self.objects = self._gauge("mfu_operator_objects")
        self.behind = self._gauge("mfu_operator_workloads_behind")
        self.relists = self._gauge("mfu_operator_relists")
        self.contact_age = self._gauge("mfu_operator_watch_age_seconds")
        self.leader = self._gauge("mfu_operator_leader")
        self.source_state = self._gauge("mfu_telemetry_source_state")
        self.refused = Counter(*_named("mfu_telemetry_readings_refused"), registry=self.registry)
        self.silenced = self._gauge("mfu_telemetry_nodes_silenced")
        self.readings = self._gauge("mfu_telemetry_devices")
        self.scrape_seconds = self._histogram("mfu_telemetry_round_seconds", _ROUND_BUCKETS)

    def lead(self, fresh: Callable[[], bool]) -> None:
        """The gauge is asked anew with each rendering: a lease that is not renewed is not held any more."""
        self.leader.set_function(lambda: float(fresh()))

    def _gauge(self, name: str) -> Gauge:
        return Gauge(*_named(name), registry=self.registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(*_named(name), registry=self.registry, buckets=buckets)


def _named(name: str) -> tuple[str, str, tuple[str, ...]]:
    found = next(each for each in OPERATOR if each.name == name)
    return found.name, found.help, found.labels
