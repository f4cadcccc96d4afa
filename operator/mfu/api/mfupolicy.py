"""MFUPolicy: what the cluster admin allows the operator to do, for which namespaces, and at which prices."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mfu.api.base import Generation, Resource, Share, Timestamp, Word, list_map
from mfu.api.cel import validations
from mfu.api.conditions import Condition
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.metadata import LabelKey, LabelSelector, LabelValue, ObjectMeta
from mfu.api.policy_rules import SCALING_RULES, SHARING_RULES
from mfu.api.powers import Gate, Minutes, Oversubscription, PermittedAction, Reclaim
from mfu.api.quantities import PriceQuantity


class Modes(Resource):
    """How far each kind of decision may go: Observe shows it, Recommend annotates it, Enforce acts on it."""

    admission: DecisionMode = DecisionMode.RECOMMEND
    """Whether a workload should start as declared."""
    placement: DecisionMode = DecisionMode.RECOMMEND
    """Product, NVLink domain or nodes to run on."""
    mig: DecisionMode = DecisionMode.RECOMMEND
    """MIG profile to run in."""
    scaling: DecisionMode = DecisionMode.RECOMMEND
    """Number of replicas (inference)."""
    sharing: DecisionMode = DecisionMode.RECOMMEND
    """Sharing GPUs with other workloads."""
    reclaim: DecisionMode = DecisionMode.RECOMMEND
    """Taking idle GPUs back."""
    oversubscription: DecisionMode = DecisionMode.RECOMMEND
    """Promising more GPUs than there are, by priority class."""

    def of(self, decision: DecisionType) -> DecisionMode:
        """Mode for one kind of decision."""
        mode: DecisionMode = getattr(self, decision.lower())
        return mode


class Floors(Resource):
    """Below these a workload is held (admission) or flagged (running). Relative, so that they suit every model."""

    expected_of_attainable_percent: Share = 50
    """Least expected MFU as a percentage of attainable MFU, for admission; 0 admits everything."""
    observed_of_expected_percent: Share = 70
    """Least observed MFU as a percentage of expected MFU; 0 flags nothing."""
    idle_minutes: Minutes = 30
    """Minutes without work after which an allocation counts as idle."""


class NodePrice(Resource):
    """Another price where a node carries a label: spot, reserved, another zone."""

    label: LabelKey
    """Node label, such as karpenter.sh/capacity-type."""
    value: LabelValue
    """Its value, such as spot."""
    per_gpu_hour: PriceQuantity
    """Amount per GPU and hour on such a node."""


class Price(Resource):
    """Price of one product."""

    product: Annotated[str, Field(min_length=1, max_length=64)]
    """GPU product, such as H100-SXM5; `mfu gpus` lists them."""
    per_gpu_hour: PriceQuantity
    """Amount per GPU and hour in the policy's currency, such as "2.99"; MIG slices pay their share of the SMs."""
    by_node_label: Annotated[tuple[NodePrice, ...], Field(max_length=16)] = ()
    """Goes before perGPUHour on nodes with the label, the first that they carry: what is bought on demand has the price
    above, what is reserved or spot one of these."""
    charged_per_gpu_hour: PriceQuantity | None = None
    """What whoever holds one is charged, where the provider sells GPU-hours: revenue beside the cost."""


class ScalingDelivery(StrEnum):
    """How a number of replicas reaches the cluster."""

    METRIC = "Metric"
    SCALE_SUBRESOURCE = "ScaleSubresource"


class Scaling(Resource):
    """Bounds on replica changes; a workload's own inference.replicas bounds hold as well."""

    model_config = validations(*SCALING_RULES)

    min_replicas: Annotated[int, Field(ge=0, le=100_000)] = 1
    """Fewest replicas."""
    max_replicas: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Most replicas."""
    max_step_percent: Annotated[int, Field(ge=1, le=1000)] = 50
    """Largest change at once, as a percentage of the present replicas (at least one replica)."""
    cooldown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """Seconds between two changes."""
    headroom_percent: Annotated[int, Field(ge=0, le=300)] = 10
    """Room for growth that nobody sees coming while replicas start, as a percentage of what arrives. More keeps the
    promised latencies more often and costs more replicas."""
    delivery: ScalingDelivery = ScalingDelivery.METRIC
    """Metric: mfu_workload_desired_replicas, for an autoscaler to follow. ScaleSubresource: the operator scales, unless
    an autoscaler does."""


class SharingMethod(StrEnum):
    MIG = "MIG"
    MPS = "MPS"
    TIME_SLICING = "TimeSlicing"


class Sharing(Resource):
    """How GPUs may be shared."""

    model_config = validations(*SHARING_RULES)

    methods: Annotated[
        tuple[SharingMethod, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = (SharingMethod.MIG,)
    """Methods that may be advised: MIG (isolated), MPS or TimeSlicing (neither isolated nor attributable)."""
    max_workloads_per_gpu: Annotated[int, Field(ge=1, le=48)] = Field(default=7)
    """Most workloads on one GPU."""
    across_namespaces: bool = False
    """Whether workloads of different namespaces may share a GPU."""
    min_kept_percent: Share = 90
    """Least throughput that every workload must keep when it shares, as a percentage of what it reaches alone."""
    max_latency_increase_percent: Annotated[int, Field(ge=0, le=1000)] = 10
    """Largest increase of latency by sharing, percent (inference)."""


class PerWorkload(StrEnum):
    NONE = "None"
    SUMMARY = "Summary"
    FULL = "Full"


class Metrics(Resource):
    """What is published about each workload. mfu_workload_desired_replicas always is."""

    per_workload: PerWorkload = PerWorkload.SUMMARY
    """None, Summary (expected, attainable, observed, cost) or Full (losses by cause, windows and meters as well)."""


class Learning(StrEnum):
    """What runs of one namespace may teach."""

    SHARED = "Shared"
    OFF = "Off"


class PolicySpec(Resource):
    """What is allowed where, and at which prices."""

    namespace_selector: LabelSelector = LabelSelector()
    """Labels of the namespaces that it governs; empty means all."""
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] = 0
    """Of two policies that match a namespace the one with the higher priority governs, then the first by name."""
    modes: Modes = Modes()
    """How far each kind of decision may go."""
    floors: Floors = Floors()
    """Shares below which a workload is held or flagged."""
    currency: Annotated[str, Field(min_length=1, max_length=8)] = "$"
    """Symbol or code that goes before amounts."""
    prices: Annotated[tuple[Price, ...], list_map("product", bound=128)] = ()
    """Prices by product; a product without one has an unknown cost, not a free one."""
    charged_per_million_tokens: PriceQuantity | None = None
    """What services are charged per million written tokens, where the provider sells tokens: their GPU-hours are not
    charged then."""
    charged_per_million_input_tokens: PriceQuantity | None = None
    """The same per million prompt tokens that they read; what a prefix cache spares is not charged."""
    topology_levels: Annotated[tuple[LabelKey, ...], Field(max_length=16)] = ()
    """Node label keys of the network's levels, widest first, such as a zone, a block, a rack and the host name."""
    actions: Annotated[tuple[PermittedAction, ...], list_map("type", bound=16)] = ()
    """Actions that Enforce may take; it does only what is listed, and by default nothing."""
    gate: Gate = Gate()
    """Deadline of the scheduling gate."""
    reclaim: Reclaim = Reclaim()
    """How idle GPUs are taken back."""
    oversubscription: Annotated[tuple[Oversubscription, ...], list_map("priorityClass", bound=32)] = ()
    """How much may be promised beyond what there is, by priority class; a class that is absent gets each GPU once."""
    scaling: Scaling = Scaling()
    """Bounds on replica changes."""
    sharing: Sharing = Sharing()
    """How GPUs may be shared."""
    metrics: Metrics = Metrics()
    """What is published about each workload."""
    learning: Learning = Learning.SHARED
    """Shared: its runs teach, and what several other namespaces agree on is shown beside what is expected. Off: none.
    Expected and lost are never judged by what was learned."""


class PolicyStatus(Resource):
    """Whether the policy is in force."""

    observed_generation: Generation | None = None
    """metadata.generation of the spec that this status judges."""
    matched_namespaces: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Namespaces that it governs after precedence."""
    summary: Word = ""
    """In force, Overruled or Invalid: for the column of `kubectl get`."""
    last_applied_at: Timestamp | None = None
    """When this generation came into force (RFC 3339)."""
    conditions: Annotated[tuple[Condition, ...], list_map("type", bound=8)] = ()
    """Accepted and Ready. A policy that is not accepted changes nothing: the last accepted one stays in force."""


class MFUPolicy(Resource):
    """What the cluster admin allows the operator to do. Without any policy it observes and recommends only."""

    api_version: Literal["mfu.gpuaas.io/v1alpha1"] = "mfu.gpuaas.io/v1alpha1"
    kind: Literal["MFUPolicy"] = "MFUPolicy"
    metadata: ObjectMeta = ObjectMeta()
    spec: PolicySpec = PolicySpec()
    """What is allowed where, and at which prices."""
    status: PolicyStatus | None = None
    """Whether the policy is in force."""
