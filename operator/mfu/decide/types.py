"""What decisions are made from and what they look like. Frozen values; mappings are never changed once built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mfu.api.decisions import DecisionMode as Mode
from mfu.api.decisions import DecisionType
from mfu.api.mfupolicy import PerWorkload, ScalingDelivery, SharingMethod
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.powers import ActionType
from mfu.decide.ladder import ReclaimRules
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.replicas.memory import ScalingMemory
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.price import PriceBook
from mfu.hardware.slices import base_resource, share_of
from mfu.hardware.types import Device
from mfu.observe.assessment import Assessment, Finding
from mfu.predict.types import Attainable, Placement, Prediction, Setup

__all__ = ["Decision", "DecisionType", "EffectivePolicy", "Load", "Mode", "NodeView", "Outcome", "Permit", "Subject"]


class Outcome(StrEnum):
    ADMIT = "Admit"
    WARN = "Warn"
    """Let it start, and say what is wrong with it."""
    HOLD = "Hold"
    REFUSE = "Refuse"
    """Never let it start as it is declared."""
    PLACE = "Place"
    KEEP = "Keep"
    MOVE = "Move"
    SCALE = "Scale"
    RESHAPE = "Reshape"
    SHARE = "Share"
    NOTICE = "Notice"
    """It idles: its owner is told, and by when it has to work or to object."""
    SUSPEND = "Suspend"
    NONE = "None"
    """Nothing to say: the evidence is missing, or the question does not arise."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer. `reason` is CamelCase for programs, `message` for people, `hint` ready to paste."""

    type: DecisionType
    outcome: Outcome
    reason: str
    message: str
    mode: Mode = Mode.RECOMMEND
    hint: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the scheduler knows of one GPU node. `gpus` and `mig` count devices that are there, never slices of them.

    `mig` counts allocatable instances by profile.
    """

    name: str
    product_label: str | None
    device: Device | None
    gpus: int
    mig: Mapping[str, int] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    """Requested by bound pods, by resource name."""
    replicas: Mapping[str, int | None] = field(default_factory=dict)
    """Pods that each device is offered to, by resource name; None where that is not known. One where it is absent."""
    ill: Mapping[str, int] = field(default_factory=dict)
    """Units that the node has but offers no more, by resource name: pods that held them hold them still."""
    ready: bool = True
    schedulable: bool = True
    domain: str | None = None
    """NVLink domain that spans nodes (clique), None where the node is the domain."""
    labels: Mapping[str, str] = field(default_factory=dict)
    doubt: str | None = None
    """Why its product is unknown though it has a label."""
    taints: tuple[tuple[str, str, str], ...] = ()
    """(key, value, effect) of those that keep pods away."""
    sharing: str = ""
    """The system that offers its GPUs in parts, such as HAMi; empty where each is offered whole or in equal turns."""
    slow_until: int | None = None
    """Unix seconds until when our soft taint is to stand; None where it carries none, 0 where it does not say."""
    linked: int | None = None
    """GPUs of the largest set that NVLink joins here, as the node's agent found them; None where nobody says."""
    failed: int = 0
    """GPUs that the node's agent found unusable, whether or not they are still offered."""
    power_limit_watts: float | None = None
    """The lowest limit in force on its GPUs, as the node's agent found it; None where none is below what the product is
    shipped with."""
    reserved: int = 0
    """GPUs that are held for pods which share them (KAI Scheduler, Run:ai): used, and held by nobody for itself."""

    def share(self, resource: str) -> float | None:
        """What one unit of the resource is of a device: 0.1 of ten time slices; None where that is not known."""
        return share_of(self.replicas.get(resource, 1))

    def sliced(self, resource: str) -> bool:
        """Are its devices offered to several pods, under this name or a renamed one?"""
        if self.sharing and not resource.startswith(MIG_PREFIX):
            return True
        return any(base_resource(name) == base_resource(resource) for name in self.replicas)

    def units(self, resource: str) -> int:
        """What all its pods together can hold: devices times the pods that each is offered to, and the ill ones."""
        profile = base_resource(resource).removeprefix(MIG_PREFIX)
        devices = self.mig.get(profile, 0) if resource.startswith(MIG_PREFIX) else self.gpus
        return devices * (self.replicas.get(resource, 1) or 1) + self.ill.get(resource, 0)

    def free(self, resource: str, allocatable: int) -> int:
        """Devices that a new pod could get for itself.

        Whole GPUs are counted together, whatever their vendor calls them. Devices that are offered to several pods
        are nobody's own: none of them is free.
        """
        if not (self.ready and self.schedulable) or self.sliced(resource):
            return 0
        if resource.startswith(MIG_PREFIX):
            return max(0, allocatable - self.used.get(resource, 0))
        whole = sum(amount for name, amount in self.used.items() if not name.startswith(MIG_PREFIX))
        return max(0, self.sound(allocatable) - whole)

    def sound(self, allocatable: int) -> int:
        """Of the whole GPUs that are offered, those that work. What a device plugin withdrew is offered no more."""
        withdrawn = sum(amount for name, amount in self.ill.items() if not name.startswith(MIG_PREFIX))
        return max(0, allocatable - max(0, self.failed - withdrawn))

    @property
    def joined(self) -> int | None:
        """GPUs that NVLink joins here where they are fewer than its product is built for; None where nothing is amiss.

        Of H100-SXM5 in eights a node whose links join four each; never of servers that are built without NVLink.
        """
        if self.linked is None or self.device is None:
            return None
        return self.linked if self.linked < min(self.gpus, self.device.gpu.nvlink_domain_gpus) else None


@dataclass(frozen=True, slots=True)
class Permit:
    """When one type of action may be done."""

    min_confidence: float = 0.8
    max_reading_age_seconds: float = 120.0
    max_per_minute: int = 10
    dwell_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class SharingRules:
    """How GPUs may be shared; fractions."""

    methods: tuple[SharingMethod, ...] = (SharingMethod.MIG,)
    across_namespaces: bool = False
    min_kept: float = 0.9
    """Of its rate alone, what each side keeps at least."""
    max_latency_increase: float = 0.1


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """What governs one namespace: the defaults, overlaid by the policy with the highest priority that selects it."""

    name: str | None = None
    modes: Mapping[DecisionType, Mode] = field(default_factory=dict)
    expected_of_attainable: float = 0.5
    """Floor of admission: expected as a share of attainable."""
    observed_of_expected: float = 0.7
    """Under this share of expected a workload counts as running badly."""
    idle_minutes: float = 30.0
    currency: str = "$"
    book: PriceBook = field(default_factory=PriceBook)
    scaling_max_replicas: int | None = None
    scaling_min_replicas: int | None = None
    scaling_max_step: float = 0.5
    """Largest change at once, as a share of the present replicas."""
    scaling_cooldown_seconds: float = 300.0
    scaling_headroom: float = 0.1
    """Growth that nobody sees coming while replicas start, as a share of what arrives."""
    scaling_delivery: ScalingDelivery = ScalingDelivery.METRIC
    sharing: SharingRules = field(default_factory=SharingRules)
    topology_levels: tuple[str, ...] = ()
    per_workload: PerWorkload = PerWorkload.SUMMARY
    """Which series of single workloads /metrics carries."""
    actions: Mapping[ActionType, Permit] = field(default_factory=dict)
    """Enforce does only what stands here."""
    gate_deadline_seconds: float = 60.0
    reclaim: ReclaimRules = field(default_factory=ReclaimRules)
    oversubscription: Mapping[str, float] = field(default_factory=dict)
    """By priority class: GPUs that may be promised to it, as a share of those there are."""
    learns: bool = True
    """Its runs teach others, and what others' runs taught is shown."""

    @property
    def prices(self) -> Mapping[str, float]:
        """Per GPU-hour by product API name, whatever node it is; a MIG slice costs its share of the SMs."""
        return self.book.prices

    def mode_of(self, decision: DecisionType) -> Mode:
        return self.modes.get(decision, Mode.RECOMMEND)


@dataclass(frozen=True, slots=True)
class Load:
    """Serving load as the engines report it, over all replicas and the last two minutes; None is not reported."""

    output_tokens_per_s: float | None = None
    running_requests: float | None = None
    waiting_requests: float | None = None
    input_tokens_per_s: float | None = None
    cache_use: float | None = None
    """Share of the KV cache that is taken, mean over replicas."""
    serving: int | None = None
    """Pods that report; None where one speaks for all."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything known about one workload at the moment of decision."""

    key: str
    spec: WorkloadSpec
    setup: Setup
    placement: Placement
    expected: Prediction
    attainable: Attainable | None
    assessment: Assessment | None
    policy: EffectivePolicy
    alternatives: tuple[tuple[str, Prediction], ...] = ()
    """Other products that the spec allows, by name, as declared."""
    load: Load = field(default_factory=Load)
    replicas_running: int = 0
    """Bound to nodes, whether they serve yet or not."""
    replicas_pending: int = 0
    """Not bound yet."""
    scaled: ScalingMemory = field(default_factory=ScalingMemory)
    """What scaling remembers of it."""
    now: float = 0.0
    """Unix seconds."""
    assigned: bool = False
    """Pods are bound; False while the placement is only what was declared."""
    trusted: bool = True
    """Both meters agree with the intent and telemetry is fresh, or there is nothing running yet."""
    findings: tuple[Finding, ...] = ()
    """Causes of losses that are there, largest first."""
    desired_replicas: int | None = None
    """What the measured load asks of replicas as they are declared; None where it is not measured."""
    recommended: tuple[Recommended, ...] = ()
    """The one list that decisions agree with."""
