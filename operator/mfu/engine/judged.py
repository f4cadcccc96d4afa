"""What was found out about one workload: refused, waiting for GPUs, or running. Nothing here is said yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.account.cost import Cost
from mfu.account.tokens import TokenRates
from mfu.act.templates import HeldOwner
from mfu.api.workload_status import Basis, Meter
from mfu.decide.types import EffectivePolicy, Load, NodeView
from mfu.engine.holdings.workload import Candidate, Held
from mfu.engine.views import WorkloadView
from mfu.hardware.problem import Problem
from mfu.hardware.types import GPU
from mfu.observe.assessment import Assessment, Finding, TelemetryState
from mfu.observe.attainment import Attained
from mfu.predict.types import Attainable, Corrections, Prediction, Setup

MOST_MISJUDGED: Final = 1.5
"""Times the memory that is there: what is predicted to need more than that does not run, whatever its pods say.
Memory of runs that were recorded blind was off by up to 46 %."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What one workload shares with all others in a cycle."""

    nodes: Mapping[str, NodeView]
    products: tuple[GPU, ...]
    corrections: Corrections
    now: float
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why readings of a node were not believed, by node."""

    queued: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """Priority that Kueue gave, by namespace, kind and name of what it queues."""

    held: Mapping[tuple[str, str, str], HeldOwner] = field(default_factory=dict)
    """Owners of which nothing runs, by namespace, kind and name."""

    suspending: frozenset[str] = frozenset()
    """Workloads whose owner was sent a suspension."""

    def at(self, now: float) -> Surroundings:
        """The same a moment later."""
        return replace(self, now=now)

    def queued_priority(self, view: WorkloadView) -> int | None:
        """Of what the workload aims at; None where Kueue does not queue it."""
        target = view.spec.target_ref if view.spec else None
        return self.queued.get((view.namespace, target.kind, target.name)) if target else None

    def held_owner(self, view: WorkloadView) -> HeldOwner | None:
        """Of what the workload aims at; None where something of it runs, or it is not known."""
        target = view.spec.target_ref if view.spec else None
        return self.held.get((view.namespace, target.kind, target.name)) if target else None

    def refused_of(self, holding: Held) -> str | None:
        """Why readings of one of its nodes were not believed."""
        return next((f"on {node} {self.refused[node]}" for node in holding.nodes if node in self.refused), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who is judged, under which policy, and what its pods hold."""

    view: WorkloadView
    policy: EffectivePolicy
    holding: Held
    refused: str | None = None
    """Why readings of one of its nodes were not believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Holder):
    """Not accepted: nothing is predicted, observed or decided."""

    problem: Problem
    """`field` is empty where it is not the spec that is to blame."""
    setup: Setup | None = None
    """Where the declaration reads, though it can not run as it stands."""

    @property
    def message(self) -> str:
        problem = self.problem
        return f"spec.{problem}" if problem.field else ": ".join(filter(None, (problem.problem, problem.fix)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Holder):
    """Predicted on the products where it may run; on none while the fleet is empty and none is declared."""

    setup: Setup
    predictions: tuple[tuple[Candidate, Prediction], ...]
    best: Attainable | None
    cost: Cost = field(default_factory=Cost)
    load: Load = field(default_factory=Load)
    token_rates: TokenRates = field(default_factory=TokenRates)
    attained: tuple[Attained, ...] = ()
    """What is kept of each latency objective."""
    replicas: int = 0
    """Pods that are bound."""
    replicas_pending: int = 0
    """Pods that wait for a node."""

    @property
    def main(self) -> tuple[Candidate, Prediction] | None:
        """The assigned product, or the first declared one."""
        return self.predictions[0] if self.predictions else None

    @property
    def expected(self) -> Prediction | None:
        """On the main product; None also where it does not fit there, and does not run in spite of that."""
        if not self.predictions or not reachable(*self.predictions[0]):
            return None
        return self.predictions[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Accepted):
    """No pod of it holds a GPU."""


@dataclass(frozen=True, slots=True)
class LearnedElsewhere:
    """What runs of other namespaces make of the prediction, and whose word that is."""

    prediction: Prediction
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running(Accepted):
    assessment: Assessment
    findings: tuple[Finding, ...] = ()
    """Causes of losses that are there, largest first."""
    learned: LearnedElsewhere | None = None
    """What workloads elsewhere make likely here; shown, and never what a loss is counted from."""


def reachable(candidate: Candidate, prediction: Prediction) -> bool:
    """What does not fit in memory reaches nothing; what runs all the same shows that it fits, unless it never could."""
    memory = prediction.memory
    nearly = memory.total_bytes <= MOST_MISJUDGED * memory.capacity_bytes
    return memory.fits or (candidate.basis is Basis.ASSIGNED and nearly)


Judged = Refused | Waiting | Running


def trusted(judged: Judged) -> bool:
    """Whether decisions may change: nothing runs yet, or what runs is measured and is what was declared."""
    if not isinstance(judged, Running):
        return True
    return measured(judged.assessment) and judged.assessment.intent_consistent is not False


def measured(assessment: Assessment) -> bool:
    """At least one meter speaks: counters, or progress where there are no counters. Counters that stopped are doubt."""
    if assessment.state is TelemetryState.OK:
        return True
    best = assessment.best()
    return assessment.state in _NO_COUNTERS and best is not None and best.meter is Meter.PROGRESS


_NO_COUNTERS: Final = frozenset({TelemetryState.MISSING, TelemetryState.NO_PROFILING, TelemetryState.SHARED})
