"""Prometheus metrics: the last plan's figures, and how the operator itself is doing.

Of single workloads as much as their policy asks (`spec.metrics.perWorkload`); namespaces and the fleet always.
"""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from mfu.account.rollup import Figure
from mfu.api.conditions import ConditionType
from mfu.api.mfupolicy import PerWorkload
from mfu.api.recommendations import AdviceVerdict
from mfu.controller.fleet_metrics import gauge, whole_fleet
from mfu.controller.metric_names import (
    AGE,
    ANSWERS,
    ATTAINMENT,
    CAUSE,
    CONDITION,
    FACTORS,
    FIGURES,
    GROUPS,
    LOSS,
    OBSERVED,
    OBSERVED_AT,
    OPERATOR,
    PROMISES,
    REPLICAS,
    SCALE,
    TOKEN_COST,
    WORKLOAD,
    NamedMetric,
)
from mfu.controller.page import Rows
from mfu.engine.fleet import believable
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.observe.assessment import Finding, Window
from mfu.observe.history import promises

# Longer ones stand in status: whoever scrapes can average for itself, and ten thousand workloads fill a page.
_SUMMARY_WINDOWS = frozenset({Window.TEN_MINUTES})
_WINDOWS = frozenset({Window.MINUTE, Window.TEN_MINUTES})
_SUMMARY_TYPES = frozenset({str(ConditionType.READY)})
_TYPES = frozenset(str(kind) for kind in ConditionType)


class PlanCollector(Collector):
    """Renders the newest plan; what is unknown is absent, never 0."""

    def __init__(
        self,
        plan: Callable[[], Plan | None],
        now: Callable[[], float] = time.time,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """`between` is called between two families, each of which takes some hundredths of a second."""
        self._plan, self._now, self._between = plan, now, between

    def collect(self) -> Iterator[Rows]:
        plan = self._plan()
        for family in () if plan is None else self._families(plan):
            self._between()
            yield family

    def _families(self, plan: Plan) -> Iterator[Rows]:
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
            yield from whole_fleet(plan)
        for group, members in zip(GROUPS, (figures.nodes, figures.namespaces, figures.products), strict=True):
            yield from _figures(group, (group,), [((name,), each) for name, each in members.items()])


def _full(plan: WorkloadPlan) -> bool:
    """Does its policy ask for more than the summary? Ten thousand workloads in full are a page of 34 MiB."""
    return plan.policy.per_workload is PerWorkload.FULL


def _workloads(plans: Sequence[WorkloadPlan]) -> Iterator[Rows]:
    def row(plan: WorkloadPlan) -> tuple[float | None, ...]:
        return (
            plan.expected.mfu if plan.expected else None,
            plan.expected.mbu if plan.expected else None,
            plan.attainable.prediction.mfu if plan.attainable else None,
            plan.gpus,
            plan.cost_per_hour,
            plan.lost_per_hour,
            plan.revenue_per_hour,
            plan.cost_per_useful_pflop,
        )

    values = [((plan.namespace, plan.name), row(plan)) for plan in plans]
    for column, named in enumerate(WORKLOAD):
        yield gauge(named, ((labels, each[column]) for labels, each in values))
    yield gauge(
        ATTAINMENT,
        (
            ((p.namespace, p.name, str(each.objective)), each.share)
            for p in plans
            if p.latency
            for each in p.latency.attained
        ),
    )
    yield from _factors([plan for plan in plans if _full(plan)])
    yield gauge(
        TOKEN_COST,
        (
            ((p.namespace, p.name, direction), value)
            for p in plans
            if p.token_costs
            for direction, value in (("input", p.token_costs.read), ("output", p.token_costs.written))
        ),
    )
    yield gauge(SCALE, (((p.namespace, p.name, str(p.expected.scale)), 1.0) for p in plans if p.expected))


def _factors(plans: Sequence[WorkloadPlan]) -> Iterator[Rows]:
    rows = [((p.namespace, p.name), (p.factors.scheduling, p.factors.runtime, p.factors.program)) for p in plans]
    for column, named in enumerate(FACTORS):
        yield gauge(named, ((labels, each[column]) for labels, each in rows))


def _observed(plans: Sequence[WorkloadPlan]) -> Iterator[Rows]:
    rows = [
        ((plan.namespace, plan.name, str(each.window), str(each.meter)), each, _full(plan))
        for plan in plans
        if plan.assessment
        for each in plan.assessment.observations
        if each.window in (_WINDOWS if _full(plan) else _SUMMARY_WINDOWS) and believable(plan, each)
    ]
    full = [(labels, each) for labels, each, whole in rows if whole]
    yield gauge(OBSERVED[0], ((labels, each.mfu) for labels, each, _ in rows))
    yield gauge(OBSERVED[1], ((labels, each.mbu) for labels, each, _ in rows))
    yield gauge(OBSERVED[2], ((labels, each.reference_mfu) for labels, each in full))
    yield gauge(OBSERVED[3], ((labels, each.coverage) for labels, each in full))
    yield gauge(OBSERVED[4], ((labels, each.confidence) for labels, each in full))
    yield gauge(OBSERVED_AT, (((*labels, each.source), each.observed_at) for labels, each in full))


def _causes(plans: Sequence[WorkloadPlan]) -> Iterator[Rows]:
    judged = [plan for plan in plans if plan.assessment is not None]
    yield gauge(CAUSE, (((p.namespace, p.name, str(p.cause)), 1.0) for p in judged))
    yield gauge(
        LOSS,
        (
            ((p.namespace, p.name, str(each.cause), str(each.explains), str(each.actor)), each.share)
            for p in judged
            if _full(p)
            for each in _once(p)
        ),
    )
    known = {"True": 1.0, "False": 0.0}
    yield gauge(
        CONDITION,
        (
            ((plan.namespace, plan.name, kind), known.get(state))
            for plan in plans
            for kind, state in plan.conditions
            if kind in (_TYPES if _full(plan) else _SUMMARY_TYPES)
        ),
    )


def _replicas(plans: Sequence[WorkloadPlan]) -> Rows:
    """Of every workload of which it was ever decided in this process: an autoscaler may follow it."""
    wanted = (((plan.namespace, plan.name), plan.memory.scaled.wanted) for plan in plans)
    return gauge(REPLICAS, wanted)


def _promises(plans: Sequence[WorkloadPlan]) -> Rows:
    """How often advice that was followed brought at least half of what it promised."""
    counted = [promises(plan.memory.history) for plan in plans]
    kept, broken = sum(each.kept for each in counted), sum(each.broken for each in counted)
    return gauge(PROMISES, ((("kept",), float(kept)), (("broken",), float(broken))))


def _answers(plans: Sequence[WorkloadPlan]) -> Rows:
    specs = (plan.judged[0].spec for plan in plans if plan.judged is not None)
    counted = Counted(each.verdict for spec in specs if spec is not None for each in spec.answers)
    return gauge(ANSWERS, (((str(verdict),), float(counted[verdict])) for verdict in AdviceVerdict))


def _ages(plans: Sequence[WorkloadPlan], now: float) -> Rows:
    """How long ago workloads were judged, whether or not anything new came of it."""
    known = sorted(now - plan.judged_at for plan in plans if plan.judged_at is not None)
    places = {"0.5": 0.5, "0.99": 0.99, "1": 1.0} if known else {}
    return gauge(AGE, (((name,), known[round(place * (len(known) - 1))]) for name, place in places.items()))


def _once(plan: WorkloadPlan) -> Iterable[Finding]:
    """One finding per cause, loss and actor: two series with the same labels would spoil the whole scrape."""
    return {(each.cause, each.explains, each.actor): each for each in reversed(plan.findings)}.values()


def _figures(group: str, labels: tuple[str, ...], members: Sequence[tuple[tuple[str, ...], Figure]]) -> Iterator[Rows]:
    for suffix, text, attribute in FIGURES:
        named = NamedMetric(f"mfu_{group}_{suffix}", text, labels)
        yield gauge(named, ((key, attrgetter(attribute)(each)) for key, each in members))


_CYCLE_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10)
_ROUND_BUCKETS = (0.01, 0.05, 0.2, 1, 3, 10, 30)


class OperatorMetrics:
    """Counters and gauges of the process itself, in a registry of their own; names and words are those of OPERATOR."""

    def __init__(self, plan: Callable[[], Plan | None], between: Callable[[], None] = lambda: None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(PlanCollector(plan, between=between))
        self.cycle_seconds = self._histogram("mfu_operator_cycle_seconds", _CYCLE_BUCKETS)
        self.cycles = Counter(*_named("mfu_operator_cycles"), registry=self.registry)
        self.writes = self._gauge("mfu_operator_writes")
        self.releases = self._gauge("mfu_operator_releases")
        self.suspensions = self._gauge("mfu_operator_suspensions")
        self.reshapes = self._gauge("mfu_operator_reshapes")
        self.rescales = self._gauge("mfu_operator_rescales")
        self.marks = self._gauge("mfu_operator_pod_marks")
        self.hints = self._gauge("mfu_operator_template_hints")
        self.slow_nodes = self._gauge("mfu_operator_slow_nodes")
        self.queue_gates = self._gauge("mfu_operator_queue_gates")
        self.answers = self._gauge("mfu_operator_check_answers")
        self.objects = self._gauge("mfu_operator_objects")
        self.behind = self._gauge("mfu_operator_workloads_behind")
        self.answers_kept = self._gauge("mfu_operator_answers_kept")
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
