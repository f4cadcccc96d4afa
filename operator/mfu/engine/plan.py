"""What the cycle wants: statuses, annotations, events and figures, as data. Writing them is somebody else's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.account.bill import Bill
from mfu.account.factors import Factors
from mfu.account.rollup import FleetFigures
from mfu.account.tokens import TokenCosts
from mfu.act.checks import CheckAnswer
from mfu.act.costs import PodMark
from mfu.act.queue_gates import QueueRelease
from mfu.act.slowing import SlowOrder
from mfu.act.templates import TemplateHint
from mfu.act.types import Acted, Acts, LayoutOrder, Proposal, Release, Rescale, Suspension
from mfu.api.causes import Cause
from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.api.modelworkload import Mode
from mfu.api.workload_status import LatencyObjective, WorkloadStatus
from mfu.decide.fleet.capacity import Capacity
from mfu.decide.fleet.fitting import Incumbent
from mfu.decide.fleet.slow_nodes import SlowMemory
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import Decision, EffectivePolicy, NodeView
from mfu.engine.history.remembered import WorkloadMemory
from mfu.engine.holdings.fleet import Ground
from mfu.engine.judged import Surroundings
from mfu.engine.packed import Packed
from mfu.engine.views import PodView, WorkloadView
from mfu.hardware.problem import Problem
from mfu.hardware.types import GPU
from mfu.observe.assessment import Assessment, Finding
from mfu.observe.attainment import Attained
from mfu.observe.readings import GPUIdentity
from mfu.observe.steady import Level
from mfu.predict.learn import Lesson
from mfu.predict.types import Attainable, Corrections, Prediction

NO_REPORT: Final = Packed(FleetStatus, {})


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event, on a transition only."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Latency:
    """What a service keeps of its objectives, and the mean seconds per output token; None where nothing tells."""

    attained: tuple[Attained, ...]
    seconds_per_token: float | None = None

    @property
    def kept(self) -> bool | None:
        """All of them; None while one is unknown and none is missed."""
        verdicts = [self._kept(each) for each in self.attained]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def _kept(self, each: Attained) -> bool | None:
        """Where no histogram tells, the mean per token has to do."""
        if each.kept is not None or each.objective is not LatencyObjective.TPOT or self.seconds_per_token is None:
            return each.kept
        return self.seconds_per_token <= each.limit_seconds


@dataclass(frozen=True, slots=True)
class WorkloadPlan:
    """What one ModelWorkload should say. The intermediate values stay, for metrics and `mfu explain`."""

    namespace: str
    name: str
    uid: str
    status: Packed[WorkloadStatus]
    annotations: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    expected: Prediction | None = None
    attainable: Attainable | None = None
    assessment: Assessment | None = None
    conditions: tuple[tuple[str, str], ...] = ()
    """Type and status of each condition."""
    findings: tuple[Finding, ...] = ()
    """Causes of losses that are there, largest first."""
    cause: Cause = Cause.UNKNOWN
    decisions: tuple[Decision, ...] = ()
    """What was decided of it alone and among all."""
    together: tuple[Decision, ...] = ()
    """Those of `decisions` that were made among all."""
    standing: Standing | None = None
    """What decisions about all need to know of it; None where it could not be judged."""
    places: tuple[Incumbent, ...] = ()
    """Where it was told to go, copy by copy."""
    proposals: tuple[Proposal, ...] = ()
    """What would carry its decisions out."""
    paused: bool = False
    """Left as it is, by annotation."""
    frozen: bool = False
    """Its readings can not be trusted: what was decided before stays."""
    product: str | None = None
    gpus: int = 0
    gpu_share: float = 1.0
    """What each of `gpus` is of a whole GPU: a MIG slice counts by its streaming multiprocessors."""
    cost_per_hour: float | None = None
    lost_per_hour: float | None = None
    revenue_per_hour: float | None = None
    """What its owner is charged; None where nothing is."""
    cost_per_useful_pflop: float | None = None
    factors: Factors = field(default_factory=Factors)
    """What its MFU over all that it asks for is made of."""
    token_costs: TokenCosts | None = None
    """Of a service, prompt and written tokens apart."""
    latency: Latency | None = None
    """Of a service with an objective."""
    policy: EffectivePolicy = field(default_factory=EffectivePolicy)
    memory: WorkloadMemory = field(default_factory=WorkloadMemory)
    """For the next cycle."""
    lesson: Lesson | None = None
    """What this workload teaches the performance model now."""
    judged_at: float | None = None
    """When it was judged, or last seen to run as it did then; None where it never was."""
    whole_at: float | None = None
    """When all of it was last worked out."""
    level: Level | None = None
    """What its readings kept to when they were judged; None where they did not, or where that no longer counts."""
    first_judged_at: float | None = None
    """When this process judged it first."""
    said_at: float | None = None
    """When its status last changed, as far as this process knows."""
    judged: tuple[WorkloadView, tuple[PodView, ...], Problem | None] | None = None
    """What was judged: the declaration, its pods and who else claims them."""
    declared_at: float = 0.0
    """Since when the declaration says what it says (Unix seconds), as far as this process knows."""
    error: str | None = None
    """Why judging it failed: a defect of ours, for the log."""
    key: str = field(init=False, compare=False, repr=False)
    """`namespace/name`."""

    def __post_init__(self) -> None:
        # Asked for many times in each cycle of each of ten thousand.
        object.__setattr__(self, "key", f"{self.namespace}/{self.name}")

    @property
    def told(self) -> WorkloadPlan:
        """Once its events are told and its lesson is learned; everything else is still said."""
        return replace(self, events=(), lesson=None) if self.events or self.lesson else self

    @property
    def sells_tokens(self) -> bool:
        """Is it charged by what it writes, rather than by its GPU-hours?"""
        spec = self.judged[0].spec if self.judged else None
        return self.policy.book.sells_tokens and spec is not None and spec.mode is Mode.INFERENCE


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    name: str
    uid: str
    status: Packed[PolicyStatus]
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class FleetSum:
    """What adding up the fleet gave, and when (Unix seconds)."""

    figures: FleetFigures
    report: FleetStatus | None
    at: float
    bills: Mapping[str, Bill] = field(default_factory=dict)
    """By currency, in whole cents."""
    revenue_of: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """What holders are charged per hour, by currency and namespace."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What all nodes offer, right as long as `told`, `devices` and `levels` stay the same."""

    told: tuple[NodeView, ...]
    """As the cluster told them."""
    devices: tuple[GPUIdentity, ...]
    levels: tuple[str, ...]
    nodes: tuple[NodeView, ...]
    """The same with the products that their readings agree with."""
    by_name: Mapping[str, NodeView]
    products: tuple[GPU, ...]
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class Handover:
    """What one cycle hands to the next, by uid: nothing of it is known after a start."""

    plans: Mapping[str, WorkloadPlan] = field(default_factory=dict)
    accepted: Mapping[str, PolicySpec] = field(default_factory=dict)
    """The last valid spec of each policy: it stays in force while the present one is invalid."""
    policies: Mapping[str, PolicyPlan] = field(default_factory=dict)
    ground: Ground | None = None
    """Who holds what where, right as long as pods, nodes and prices stay."""
    acted: Acted = field(default_factory=Acted)
    """Actions that were sent, and what became of them."""
    summed: FleetSum | None = None
    supply: Supply | None = None
    slow: SlowMemory = field(default_factory=SlowMemory)


@dataclass(frozen=True, slots=True)
class Plan:
    workloads: tuple[WorkloadPlan, ...] = ()
    policies: tuple[PolicyPlan, ...] = ()
    figures: FleetFigures = field(default_factory=FleetFigures)
    report: Packed[FleetStatus] = NO_REPORT
    """Status of the FleetReport; empty without any GPU."""
    events: tuple[Event, ...] = ()
    """What is to be told of the fleet as a whole, on the FleetReport."""
    corrections: Corrections = field(default_factory=Corrections)
    """Online calibration after this cycle's lessons."""
    accepted: Mapping[str, PolicySpec] = field(default_factory=dict)
    """The valid spec in force of each policy, by uid."""
    ground: Ground | None = None
    summed: FleetSum | None = None
    supply: Supply | None = None
    acts: Acts = field(default_factory=Acts)
    """What may be done now, and what only in a dry run."""
    releases: tuple[Release, ...] = ()
    """Pods whose gate is to be opened now: said again until the cluster shows it."""
    answers: tuple[CheckAnswer, ...] = ()
    """What Kueue is answered where our check asks."""
    marks: tuple[PodMark, ...] = ()
    """Pods whose deletion cost is to be set, or taken back."""
    hints: tuple[TemplateHint, ...] = ()
    """What owners are told in their templates while nothing of them runs."""
    queue_releases: tuple[QueueRelease, ...] = ()
    """Jobs that Kueue may look at from now on."""
    slowed: tuple[SlowOrder, ...] = ()
    """Nodes whose soft taint is to be put on, renewed or taken off."""
    slow: SlowMemory = field(default_factory=SlowMemory)
    suspensions: tuple[Suspension, ...] = ()
    """Owners of idle workloads that are to be suspended now."""
    layouts: tuple[LayoutOrder, ...] = ()
    """Nodes that are to get another MIG layout; one at a time."""
    rescales: tuple[Rescale, ...] = ()
    """Owners that are to have another number of replicas now."""
    around: Surroundings | None = None
    """What every workload was judged in; None where nothing was judged."""
    governing: Mapping[str, EffectivePolicy] = field(default_factory=dict)
    """Effective policy by namespace; the default for all others."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Places of `workloads` by uid, once the first was answered: ten thousand are not gone through for each answer."""

    def with_answers(self, answered: Mapping[str, WorkloadPlan]) -> Plan:
        """The same with what was answered meanwhile, by uid."""
        if not answered:
            return self
        rows = self.rows or {each.uid: row for row, each in enumerate(self.workloads)}
        workloads = list(self.workloads)
        for uid, each in answered.items():
            if uid in rows:
                workloads[rows[uid]] = each
        return replace(self, workloads=tuple(workloads), rows=rows)

    @property
    def handover(self) -> Handover:
        plans = {each.uid: each for each in self.workloads}
        policies = {each.uid: each for each in self.policies}
        kept = (self.ground, self.acts.remembered, self.summed, self.supply, self.slow)
        return Handover(plans, self.accepted, policies, *kept)
