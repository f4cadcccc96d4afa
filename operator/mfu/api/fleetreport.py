"""FleetReport: the fleet on one page. One object named `fleet`, status only, bounded; the whole is in the metrics."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mfu.api.base import Decimal, Name, Resource, ShortText, Timestamp, Word, list_map
from mfu.api.causes import Actor, Cause, Explains
from mfu.api.conditions import Condition
from mfu.api.metadata import ObjectMeta

Count = Annotated[int, Field(ge=0, le=2**53)]


class Coverage(Resource):
    """How much of the GPU-time stands behind a figure; the three add up to 1."""

    measured: Decimal | None = None
    """By reported progress, or known to be idle (fraction)."""
    estimated: Decimal | None = None
    """By counters (fraction)."""
    unknown: Decimal | None = None
    """Not at all (fraction)."""


class ThreeFactors(Resource):
    """What makes up MFU: the three multiply to it. Each is weighted by peak; what is unknown counts in none."""

    scheduling: Decimal | None = None
    """GPUs that somebody holds ÷ all GPUs (fraction)."""
    runtime: Decimal | None = None
    """Held GPU-time that makes progress ÷ held GPU-time (fraction)."""
    program: Decimal | None = None
    """Model FLOPs ÷ peak of the GPU-time that makes progress (fraction)."""


class Figures(Resource):
    """Efficiency and cost of a set of GPUs. MFU here is over the dense 16-bit peak (reference MFU)."""

    gpus: Decimal = "0"
    """GPUs, idle ones included; a MIG slice counts as its share of one, such as 0.14."""
    allocated_gpus: Decimal = "0"
    """GPUs that pods hold, counted the same way."""
    mfu: Decimal | None = None
    """Model FLOPs over the peak of all GPUs, idle ones included (fraction)."""
    allocated_mfu: Decimal | None = None
    """Over the peak of allocated GPUs only (fraction)."""
    price_weighted_mfu: Decimal | None = None
    """Weighted by price per GPU-hour (fraction)."""
    factors: ThreeFactors | None = None
    """Scheduling × runtime × program efficiency = mfu."""
    coverage: Coverage | None = None
    """How much stands behind it."""
    cost_per_hour: Decimal | None = None
    """Price per hour."""
    lost_per_hour: Decimal | None = None
    """Part of it that pays for lost FLOPs, per hour."""
    cost_per_useful_pflop: Decimal | None = None
    """Price of what is known ÷ its model operations in 1e15, idle GPUs included."""


class ProductFigures(Figures):
    """One GPU product."""

    product: Word
    """GPU product."""


class NodeFigures(Figures):
    """One node."""

    node: Name
    """Node."""
    product: Word = ""
    """GPU product."""


class NamespaceFigures(Figures):
    """One namespace; GPUs are the allocated ones."""

    namespace: Name
    """Namespace."""
    revenue_per_hour: Decimal | None = None
    """What it is charged, where the policy charges GPU-hours or written tokens."""


class LossFigures(Resource):
    """One cause over the whole fleet."""

    cause: Cause
    """Cause."""
    explains: Explains
    """Configuration or Runtime."""
    actor: Actor | None = None
    """Who can mend it."""
    workloads: Count = 0
    """Workloads that lose to it."""
    share: Decimal | None = None
    """Part of the fleet's peak lost to it (fraction)."""
    lost_per_hour: Decimal | None = None
    """Price of that, per hour."""


class FleetSummary(Resource):
    """Ready-made strings for the columns of `kubectl get`."""

    gpus: Word = "Unknown"
    """GPUs and how many are allocated, such as 52/64."""
    mfu: Word = "Unknown"
    """Reference MFU of all GPUs, percent."""
    coverage: Word = "Unknown"
    """Measured or estimated share of GPU-time, percent."""
    cause: Word = "Unknown"
    """Largest cause of loss."""
    cost_per_hour: Word = "Unknown"
    """Price per hour."""
    lost_per_hour: Word = "Unknown"
    """Part of it that pays for lost FLOPs, per hour."""


class Bill(Resource):
    """Where the money of one currency goes, per hour. The five parts add up to `perHour` to the cent."""

    currency: Word
    """Currency symbol or code of the policy that prices these GPUs."""
    per_hour: Decimal = "0.00"
    """Price of all GPUs that have one."""
    useful: Decimal = "0.00"
    """Becomes what was expected of it."""
    lost: Decimal = "0.00"
    """Pays for what was expected and not reached."""
    held_idle: Decimal = "0.00"
    """Held by somebody who does nothing with it."""
    unallocated: Decimal = "0.00"
    """Held by nobody."""
    unknown: Decimal = "0.00"
    """Held, and nothing tells what becomes of it: not measured, or nobody declared what it should reach."""
    unpriced_gpus: Decimal = "0"
    """GPUs without a price: their money is not in `perHour`."""
    revenue: Decimal | None = None
    """What holders are charged, where policies charge GPU-hours or written tokens; not part of `perHour`."""


class Undeclared(Resource):
    """GPU pods of one owner without a ModelWorkload: a draft of one, not an object."""

    namespace: Name
    """Namespace."""
    target: Annotated[str, Field(max_length=320)]
    """What owns them, such as deployment/llm."""
    pods: Count = 0
    """Pods."""
    gpus: Count = 0
    """Devices that they ask for; slices count as one each."""
    seems: Annotated[str, Field(max_length=160)] = ""
    """What they seem to run, by their images and arguments; empty where those do not tell."""
    command: Annotated[str, Field(max_length=480)] = ""
    """Command that writes and applies the declaration."""


class FamilyFigures(Resource):
    """All workloads of one model family, and the loss that most of them share."""

    family: Word
    """Name of the models without their size, such as llama-3.1 or mixtral."""
    workloads: Count = 0
    """Workloads that hold GPUs."""
    gpus: Decimal = "0"
    """GPUs that they hold."""
    expected: Decimal | None = None
    """Expected share of the peak on each one's own scale, weighted by GPUs (fraction)."""
    observed: Decimal | None = None
    """Observed share, likewise, of those that are measured (fraction)."""
    attainable: Decimal | None = None
    """Attainable share, likewise (fraction)."""
    structural: Cause | None = None
    """Cause that three quarters of them lose to, two at least: it lies in what they are, not in one job."""
    explains: Explains | None = None
    """Configuration or Runtime, of that cause."""
    affected: Count = 0
    """Workloads that lose to it."""
    share: Decimal | None = None
    """Part of the family's peak lost to it (fraction)."""


class ChangeFigures(Resource):
    """Changes of efficiency of the last day that have kind, direction and place in common."""

    kind: Word
    """Configuration, Scaling or Infrastructure."""
    direction: Word
    """Fell or Rose."""
    product: Word
    """GPU product."""
    node: ShortText = ""
    """Node that departed from its peers, where it is one."""
    workloads: Count = 0
    """Workloads that changed."""
    others: Count = 0
    """Workloads on the same product that did not change in that way."""
    relative: Decimal | None = None
    """Median change of reference MFU (fraction)."""
    newest_at: Timestamp | None = None
    """When the newest of them began (RFC 3339)."""


class DayFigures(Resource):
    """Means of one day (UTC), as far as it was watched."""

    day: Word
    """Such as 2026-11-26."""
    mfu: Decimal | None = None
    """Reference MFU of all GPUs (fraction)."""
    scheduling: Decimal | None = None
    """Held by somebody ÷ all (fraction)."""
    cost_per_hour: Decimal | None = None
    """Price per hour."""
    lost_per_hour: Decimal | None = None
    """Part of it that pays for lost FLOPs, per hour."""
    samples: Count = 0
    """Figures behind the means, one every five minutes."""
    updated_at: Timestamp | None = None
    """When the newest was taken (RFC 3339)."""


class PowerFigures(Resource):
    """Electric power of the GPUs, where it is read."""

    watts: Decimal
    """Of all that are read."""
    gpus: Count
    """Devices that are read."""
    idle_watts: Decimal
    """Of those that no pod holds."""


class ServiceFigures(Resource):
    """Latency objectives of services, beside what they keep."""

    with_objective: Count = 0
    """Services with a limit for the time to the first token, or per output token."""
    known: Count = 0
    """Those whose engines tell what they take: histograms, or running requests ÷ output tokens per second."""
    kept: Count = 0
    """Those that keep all of theirs: 95 % of the last ten minutes' answers within each limit."""
    ttft_share: Decimal | None = None
    """Part of all timed requests whose first token came within its limit (fraction); absent where none is timed."""
    tpot_share: Decimal | None = None
    """Part of all timed requests (or tokens) within the limit per output token (fraction)."""


class ShadowClass(Resource):
    """What the shadow of oversubscription let in of one priority class since it began to count."""

    priority_class: Name
    """Priority class of the waiting pods."""
    admitted: Count = 0
    """Requests that it would have let in beyond the GPUs that are free."""
    exceeded: Count = 0
    """Those of them that some later moment had no room for."""
    gpu_hours_gained: Decimal = "0"
    """GPU-hours that would have run with room."""


class ShadowRun(Resource):
    """A request that runs in the shadow: it is taken to use all its GPUs. Nothing of it runs."""

    workload: Annotated[str, Field(max_length=320)]
    """Workload that waits, as namespace/name."""
    priority_class: Name
    """Its priority class."""
    gpus: Decimal
    """GPUs that it asks for."""
    since: Timestamp
    """When the shadow let it in (RFC 3339)."""
    until: Timestamp
    """When it is taken to end (RFC 3339)."""
    exceeded: bool = False
    """Some moment had no room for it."""


class ShadowDay(Resource):
    """The most GPUs that were in use at once, hour by hour of one day (UTC)."""

    day: Word
    """Such as 2026-11-26."""
    hours: ShortText
    """24 figures parted by blanks, - where nothing was measured."""


class ShadowFigures(Resource):
    """Oversubscription in the shadow: what could have run beyond the GPUs that are free. It admits nothing."""

    updated_at: Timestamp
    """When the newest figure was taken (RFC 3339)."""
    gpus_in_use: Decimal | None = None
    """GPUs at work then; absent where too little is measured."""
    classes: Annotated[tuple[ShadowClass, ...], list_map("priorityClass", bound=32)] = ()
    """Per priority class that a policy names."""
    running: Annotated[tuple[ShadowRun, ...], list_map("workload", bound=128)] = ()
    """What runs in the shadow."""
    days: Annotated[tuple[ShadowDay, ...], list_map("day", bound=8)] = ()
    """The last week, which the next requests are judged by."""


class LayoutState(StrEnum):
    PLANNED = "Planned"
    NOT_CONSENTED = "NotConsented"
    UNDER_WAY = "UnderWay"
    ON_ALLOCATION = "OnAllocation"


class PlannedLayout(Resource):
    """A node that is planned to get another MIG layout, for workloads that wait for a slice."""

    node: Name
    """Node."""
    layout: Word = ""
    """The layout's name to mig-manager, such as all-3g.40gb; empty where nothing needs to be laid out."""
    slices: ShortText
    """What the node offers then, such as 4 of 3g.40gb; OnAllocation: the profiles that its driver cuts."""
    waiting: Count = 0
    """Workloads that wait for slices that it offers more of then; 0 while it is under way."""
    moved: Count = 0
    """Slices that are held there now: their pods leave, and find as many again."""
    state: LayoutState
    """NotConsented: a pod there is of a namespace whose policy does not let pods be moved for a layout.
    OnAllocation: a DRA driver cuts slices there when a claim is allocated, so nothing is laid out."""


class Calibration(Resource):
    """What confident observations taught about one stack; kept here so that it survives a restart."""

    key: Annotated[str, Field(max_length=128)]
    """Namespace, product, engine and mode, such as team-a/H100-SXM5/NeMo/Training."""
    factor: Decimal
    """Predictions for this stack are multiplied by it; within 0.7 and 1.3."""
    relative_sd: Decimal
    """Its own uncertainty (fraction)."""
    observations: Count = 0
    """Windows that it was learned from."""


class FleetStatus(Resource):
    """Totals, products, and the largest nodes, namespaces and losses."""

    observed_at: Timestamp | None = None
    """When the newest reading behind it was taken (RFC 3339)."""
    window: Word = ""
    """Window of the figures, such as 10m."""
    currency: Word = ""
    """Currency symbol or code of all amounts."""
    summary: FleetSummary | None = None
    """Strings for the columns."""
    bills: Annotated[tuple[Bill, ...], list_map("currency", bound=16)] = ()
    """Where the money goes, per currency: amounts of two are never added up."""
    totals: Figures | None = None
    """All GPUs of the cluster."""
    products: Annotated[tuple[ProductFigures, ...], list_map("product", bound=64)] = ()
    """Per product."""
    nodes: Annotated[tuple[NodeFigures, ...], list_map("node", bound=20)] = ()
    """Nodes that lose most, at most 20."""
    namespaces: Annotated[tuple[NamespaceFigures, ...], list_map("namespace", bound=20)] = ()
    """Namespaces that lose most, at most 20."""
    losses: Annotated[tuple[LossFigures, ...], list_map("cause", "explains", bound=40)] = ()
    """Causes, largest first."""
    families: Annotated[tuple[FamilyFigures, ...], list_map("family", bound=20)] = ()
    """Model families with most GPUs, at most 20."""
    changes: Annotated[tuple[ChangeFigures, ...], Field(max_length=20)] = ()
    """Changes of efficiency of the last day, those of most workloads first, at most 20."""
    trend: Annotated[tuple[DayFigures, ...], list_map("day", bound=31)] = ()
    """The last days, oldest first."""
    power: PowerFigures | None = None
    """Electric power; absent where none is read."""
    services: ServiceFigures | None = None
    """Latency objectives; absent where no service has one."""
    oversubscription: ShadowFigures | None = None
    """What more could have run; absent where no policy names a class."""
    layouts: Annotated[tuple[PlannedLayout, ...], list_map("node", bound=20)] = ()
    """MIG layouts that nodes are planned to get, those under way in front, at most 20."""
    drafts: Annotated[tuple[Undeclared, ...], list_map("namespace", "target", bound=20)] = ()
    """GPU pods without a ModelWorkload, most GPUs first, with the command that adopts each; at most 20."""
    calibration: Annotated[tuple[Calibration, ...], list_map("key", bound=128)] = ()
    """Learned corrections of the performance model."""
    conditions: Annotated[tuple[Condition, ...], list_map("type", bound=8)] = ()
    """Ready."""


class FleetReport(Resource):
    """The fleet on one page: how much of what was paid for does model FLOPs, and where the rest goes."""

    api_version: Literal["mfu.gpuaas.io/v1alpha1"] = "mfu.gpuaas.io/v1alpha1"
    kind: Literal["FleetReport"] = "FleetReport"
    metadata: ObjectMeta = ObjectMeta()
    status: FleetStatus | None = None
    """Totals, products, and the largest nodes, namespaces and losses."""
