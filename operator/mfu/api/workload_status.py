"""`status` of a ModelWorkload. Numbers are decimal strings, fractions 0–1; what is unknown is absent, never 0."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Decimal, Generation, LongText, Resource, ShortText, Timestamp, Word, list_map
from mfu.api.causes import Actor, Cause, Explains
from mfu.api.conditions import Condition
from mfu.api.decisions import Decision
from mfu.api.quantities import SizeQuantity
from mfu.api.recommendations import AnsweredAdvice, Recommendation

Tokens = Annotated[int, Field(ge=0, le=2**53)]


class Scale(StrEnum):
    MFU = "MFU"
    """Compute-bound work: training, prefill, mixed serving."""
    MBU = "MBU"
    """Memory-bandwidth-bound work: decode."""


class Basis(StrEnum):
    DECLARED = "Declared"
    """The product that the spec names."""
    ASSIGNED = "Assigned"
    """The product that the pods run on."""
    LEARNED = "Learned"
    """The product that the pods run on, corrected by what other workloads on the same stack reached."""


class Meter(StrEnum):
    PROGRESS = "Progress"
    COUNTERS = "Counters"


class LatencyObjective(StrEnum):
    TTFT = "TTFT"
    """Time to the first token."""
    TPOT = "TPOT"
    """Time per output token after the first."""


class Summary(Resource):
    """Ready-made strings for the columns of `kubectl get`; "Unknown" where unknown."""

    model: ShortText = "Unknown"
    """Preset or name of the model."""
    gpus: Word = "Unknown"
    """GPUs that it takes, in total."""
    expected: Word = "Unknown"
    """Expected share of the peak, percent, on the scale that `scale` names."""
    observed: Word = "Unknown"
    """Observed share of the peak, percent."""
    attainable: Word = "Unknown"
    """Attainable share of the peak, percent."""
    gap: Word = "Unknown"
    """expected − observed, percentage points."""
    scale: Word = "Unknown"
    """MFU or MBU: the scale of the percentages here."""
    ttft: Word = ""
    """Expected time to first token, milliseconds, beside its limit where spec.inference.slo has one: of the p95 prompt
    then. Empty for training."""
    tpot: Word = ""
    """Expected time per output token, milliseconds, beside its limit. Empty for training."""
    expected_slo: Word = ""
    """Kept, or which limits are missed by the expected latencies, such as "Missed: TPOT"; empty without a limit."""
    observed_slo: Word = ""
    """Kept, Missed or Unknown by what engines timed: 95 % of the last ten minutes' answers have to be within a limit,
    such as "Missed: TTFT 99.2%, TPOT 3.1%". Where it differs from expectedSLO, it is the one that happens."""
    cause: Word = "Unknown"
    """Largest cause of loss; None when nothing is wrong."""
    cost_per_hour: Word = "Unknown"
    """Price of the allocated GPUs per hour, in the policy's currency."""
    lost_per_hour: Word = "Unknown"
    """Part of it that pays for lost FLOPs, per hour."""


class Intent(Resource):
    """What was understood from spec.model."""

    parameters: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Parameters of the model."""
    active_parameters: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Parameters that one token passes (fewer than `parameters` for mixture of experts)."""
    flops_per_token: Decimal | None = None
    """Model FLOPs per token: forward and backward for training, forward for inference; no recomputation."""


class Memory(Resource):
    """Predicted memory per GPU."""

    per_gpu: SizeQuantity | None = None
    """Needed on the fullest GPU."""
    capacity: SizeQuantity | None = None
    """What the GPU (or MIG slice) has."""
    largest_term: Word = ""
    """Largest term, such as Weights, Gradients, Optimizer, Activations, Logits or KVCache."""


class Expected(Resource):
    """What the workload, exactly as declared, should reach on one product."""

    product: Word
    """GPU product."""
    basis: Basis
    """Declared: a product that the spec names. Assigned: the one that the pods run on. Neither is ever corrected by
    what was learned, and both set the losses. Learned: as Assigned, corrected by what other workloads on the same stack
    reached (never by this one); shown for comparison."""
    mfu: Decimal | None = None
    """Expected MFU: model FLOPs over the dense peak at the declared precision (fraction)."""
    reference_mfu: Decimal | None = None
    """Same numerator over the product's dense 16-bit peak (fraction)."""
    mbu: Decimal | None = None
    """Expected bytes moved per second over memory bandwidth (fraction)."""
    tokens_per_second_per_gpu: Decimal | None = None
    """Tokens per second and GPU."""
    evidence: Word | None = None
    """Learned: whose runs say so, such as "0.91 x, 12 windows of 3 namespaces"."""
    low: Decimal | None = None
    """Lower end of the band, on the scale of the workload (fraction)."""
    high: Decimal | None = None
    """Upper end of the band (fraction)."""
    step_seconds: Decimal | None = None
    """Seconds per optimizer step (training)."""
    ttft_milliseconds: Decimal | None = None
    """Time to first token, milliseconds (inference)."""
    tpot_milliseconds: Decimal | None = None
    """Time per output token, milliseconds (inference)."""


class Change(Resource):
    """One step from the declared setting to the attainable one."""

    field: ShortText
    """Field of spec, such as training.microBatchSize."""
    from_: ShortText = Field(alias="from")
    """Declared value."""
    to: ShortText
    """Better value."""
    gain: Decimal | None = None
    """What this step adds on the scale of the workload (fraction)."""
    throughput_gain: Decimal | None = None
    """Tokens per second that it adds, as a fraction of the declared setting's rate."""


class Attainable(Resource):
    """The best that the same model could reach on the same GPUs within spec.tunable."""

    mfu: Decimal | None = None
    """Attainable MFU (fraction)."""
    reference_mfu: Decimal | None = None
    """Over the dense 16-bit peak (fraction)."""
    mbu: Decimal | None = None
    """Attainable bandwidth share (fraction)."""
    tokens_per_second_per_gpu: Decimal | None = None
    """Tokens per second and GPU."""
    changes: Annotated[tuple[Change, ...], Field(max_length=16)] = ()
    """What to change, in order of gain."""


class Observed(Resource):
    """What was measured in one window by one meter."""

    window: Word
    """Length of the window, such as 10m."""
    meter: Meter
    """Progress (reported tokens or steps) or Counters (tensor-pipe activity, corrected by the declared intent)."""
    mfu: Decimal | None = None
    """Observed MFU (fraction)."""
    reference_mfu: Decimal | None = None
    """Over the dense 16-bit peak (fraction)."""
    mbu: Decimal | None = None
    """Observed bandwidth share (fraction)."""
    tensor_utilization: Decimal | None = None
    """Raw tensor-pipe activity, executed FLOPs included (fraction)."""
    tokens_per_second_per_gpu: Decimal | None = None
    """Tokens per second and GPU."""
    low: Decimal | None = None
    """Lower end of the band (fraction)."""
    high: Decimal | None = None
    """Upper end of the band (fraction)."""
    coverage: Decimal | None = None
    """Share of the workload's GPU-time in the window that was measured (fraction)."""
    confidence: Decimal | None = None
    """Trust in the reading (fraction)."""
    estimated: bool = False
    """True where the figure rests on the declared intent rather than on reported progress."""
    source: ShortText = ""
    """Where it was read."""
    observed_at: Timestamp | None = None
    """When the newest sample was taken (RFC 3339)."""


class Attainment(Resource):
    """How much of what was answered kept one limit of spec.inference.slo, by the engines' own histograms."""

    objective: LatencyObjective
    """TTFT or TPOT."""
    limit_milliseconds: Decimal
    """Limit of spec.inference.slo."""
    share: Decimal | None = None
    """Part of the last ten minutes' answers within the limit (fraction); absent where no engine tells. The objective
    is kept from 0.95 on."""
    timed: Tokens = 0
    """Answers behind it: requests, or tokens where the engine times each of them."""


class WorkloadFactors(Resource):
    """MFU over all that it asks for, as a product of three; each is a share of peak × time."""

    scheduling: Decimal | None = None
    """GPUs that it holds ÷ GPUs that it asks for (fraction): of a training those that are declared, of a service those
    of all its pods."""
    runtime: Decimal | None = None
    """Part of the held GPU-time of the last ten minutes that made progress (fraction)."""
    program: Decimal | None = None
    """Model FLOPs ÷ dense 16-bit peak of the GPU-time that made progress (fraction)."""
    mfu: Decimal | None = None
    """Their product (fraction)."""


class Loss(Resource):
    """One named part of what was lost."""

    cause: Cause
    """Cause."""
    explains: Explains
    """Configuration (attainable − expected) or Runtime (expected − observed)."""
    share: Decimal | None = None
    """Part of the peak lost to it, on the scale of the workload (fraction)."""
    counterfactual_mfu: Decimal | None = None
    """MFU if this alone were mended (fraction)."""
    action: LongText = ""
    """What to do about it."""
    actor: Actor | None = None
    """Who can: Tenant or Provider."""
    confidence: Decimal | None = None
    """Trust in the diagnosis (fraction)."""
    wasted: bool = True
    """False where the hardware is at its limit and nothing is wasted, such as decode at full bandwidth."""
    evidence: LongText = ""
    """Readings that it rests on."""


class Reading(Resource):
    """One figure as other dashboards show it for the same GPUs, for comparison with MFU."""

    name: Word
    """What is read, such as GPU utilisation."""
    value: Decimal
    """Mean over the workload's devices in the 10 min window."""
    unit: Word = ""
    """fraction, W or Hz."""


class Part(Resource):
    """One named part of the peak that the prediction says is lost."""

    name: Word
    """Name of the part, such as pipeline bubble."""
    share: Decimal
    """Share of the peak (fraction); with the expected MFU all parts add up to 1."""
    seconds: Decimal | None = None
    """Time that it takes of a step."""


class Drift(Resource):
    """The last change of efficiency that is more than noise."""

    kind: Word
    """Configuration (model version or setting changed), Scaling (GPU count) or Infrastructure (neither)."""
    before: Decimal
    """Reference MFU before (fraction)."""
    after: Decimal
    """Reference MFU after (fraction)."""
    at: Timestamp
    """When it began (RFC 3339)."""
    product: Word = ""
    """GPU product that it ran on."""
    node: ShortText = ""
    """Node that departed from its peers, where it is one."""
    gpu: Word = ""
    """UUID of the GPU that departed from its peers, where it is one."""
    evidence: ShortText = ""
    """Reading that points there."""


class WatchedStretch(Resource):
    """A stretch of time with one level of reference MFU."""

    since: Timestamp
    """Samples from before are of the time of settling (RFC 3339)."""
    mean: Decimal
    """Running mean (fraction)."""
    variance: Decimal
    """Running variance."""
    carried: Decimal | None = None
    """Covariance of one sample with the next."""
    samples: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Samples behind it."""


class WatchedRun(Resource):
    """Samples that lie on one side of the level, in a row."""

    total: Decimal
    """Cumulative sum of their deviations, in standard deviations."""
    recent: Annotated[tuple[Decimal, ...], Field(max_length=28)] = ()
    """Reference MFU of the newest of them (fraction)."""
    samples: Annotated[int, Field(ge=0, le=2**53)] = 0
    """How many they are."""
    since: Timestamp | None = None
    """When the first was taken (RFC 3339)."""


class ChangeWatch(Resource):
    """What the search for changes of efficiency remembers, so that it goes on after a restart of the operator."""

    sampled_at: Timestamp
    """When the newest sample was taken (RFC 3339)."""
    regime: WatchedStretch
    """The present level."""
    rise: WatchedRun | None = None
    """What speaks for a rise."""
    fall: WatchedRun | None = None
    """What speaks for a fall."""
    base: Decimal | None = None
    """Level that creeping change is judged against (fraction)."""
    before: WatchedStretch | None = None
    """Level of the setting before, while the present one has not settled."""
    changed: Word = ""
    """Kind of that change of setting."""
    rests_since: Timestamp | None = None
    """Since when the workload does far less than usual (RFC 3339)."""


class ReclaimStatus(Resource):
    """How far the policy's ladder of reclaim went with it."""

    taken: Annotated[int, Field(ge=0, le=8)] = 0
    """Rungs that were taken."""
    announced: Annotated[int, Field(ge=0, le=8)] = 0
    """Rungs that were announced, those taken included."""
    announced_at: Timestamp | None = None
    """When the last of them was announced (RFC 3339)."""
    suspended_at: Timestamp | None = None
    """Since when it is suspended by the last rung (RFC 3339); absent while it is not."""
    hours_given_back: Decimal | None = None
    """For how long it was suspended before, in hours; its GPUs were others' then."""


class History(Resource):
    """Observed efficiency of one setting, with the one before it and what our advice promised."""

    model: ShortText = ""
    """Model."""
    setting: ShortText = ""
    """Batch, layout, sharding, recomputation and precision in short."""
    model_version: ShortText = ""
    """spec.model.version after the change."""
    product: Word = ""
    """GPU product."""
    gpus: Annotated[int, Field(ge=0, le=1_048_576)] | None = None
    """GPUs."""
    before: Decimal | None = None
    """Reference MFU before (fraction)."""
    after: Decimal | None = None
    """Reference MFU after (fraction)."""
    promised: Decimal | None = None
    """Relative gain that our advice promised for this change (fraction); absent where it was nobody's advice."""
    kept: bool | None = None
    """Whether at least half of the promised gain came; absent while it is too early to tell."""
    samples: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Observations behind `after`."""
    advised_setting: ShortText | None = None
    """Setting that is advised while this one runs."""
    advised_gain: Decimal | None = None
    """Relative gain that this advice promises (fraction)."""
    changed_at: Timestamp | None = None
    """When it changed (RFC 3339)."""


class WholeRun(Resource):
    """Hours and money for training.totalTokens, from the first to the last."""

    expected_hours: Decimal | None = None
    """At the expected rate."""
    expected_cost: Decimal | None = None
    """At the expected rate."""
    hours: Decimal | None = None
    """At the present pace; absent where progress is not measured."""
    cost: Decimal | None = None
    """At the present pace."""


class Cost(Resource):
    """Money, by the policy's prices."""

    currency: Word = ""
    """Currency symbol or code."""
    per_hour: Decimal | None = None
    """Allocated GPUs, per hour."""
    lost_per_hour: Decimal | None = None
    """Part that pays for lost FLOPs, per hour."""
    per_million_tokens: Decimal | None = None
    """Per million tokens at the observed rate, else at the expected one. Of a service that reads prompts and writes,
    all that it costs per million written tokens."""
    per_million_input_tokens: Decimal | None = None
    """Per million prompt tokens, for the time that prompts add to its steps; absent where engines do not count them."""
    per_million_output_tokens: Decimal | None = None
    """Per million written tokens, for the rest of the time: both together come to perHour."""
    per_step: Decimal | None = None
    """Per optimizer step (training)."""
    per_useful_pflop: Decimal | None = None
    """Per 1e15 model operations at the observed rate."""
    revenue_per_hour: Decimal | None = None
    """What its owner is charged, where the policy charges GPU-hours or written tokens."""
    watt_hours_per_million_tokens: Decimal | None = None
    """Electric energy of its GPUs per million tokens, where their power and their progress are read."""
    whole_run: WholeRun | None = None
    """All of training.totalTokens, where that is declared."""


class Allocation(Resource):
    """What the workload's pods hold."""

    pods: Tokens = 0
    """Pods that belong to it."""
    nodes: Tokens = 0
    """Nodes that they run on."""
    gpus: Tokens = 0
    """GPUs or MIG slices that they hold."""
    product: Word = ""
    """Product that they run on; several are joined by a comma."""


class WorkloadStatus(Resource):
    """What the operator predicts, observes and recommends."""

    observed_generation: Generation | None = None
    """metadata.generation of the spec that this status judges."""
    summary: Summary | None = None
    """Strings for the columns of `kubectl get`."""
    allocation: Allocation | None = None
    """What its pods hold now."""
    intent: Intent | None = None
    """What was understood from spec.model."""
    memory: Memory | None = None
    """Predicted memory per GPU."""
    expected: Annotated[tuple[Expected, ...], list_map("product", "basis", bound=48)] = ()
    """What it should reach, per product and basis."""
    attainable: Attainable | None = None
    """The best within spec.tunable on the same GPUs."""
    observed: Annotated[tuple[Observed, ...], list_map("window", "meter", bound=16)] = ()
    """What was measured, per window and meter."""
    waterfall: Annotated[tuple[Part, ...], list_map("name", bound=32)] = ()
    """Where the peak goes by prediction, from the peak down to expected."""
    readings: Annotated[tuple[Reading, ...], list_map("name", bound=16)] = ()
    """What other dashboards show for the same GPUs."""
    losses: Annotated[tuple[Loss, ...], list_map("cause", "explains", bound=32)] = ()
    """Where the rest went, largest first."""
    factors: WorkloadFactors | None = None
    """Scheduling × runtime × program efficiency."""
    attainment: Annotated[tuple[Attainment, ...], list_map("objective", bound=4)] = ()
    """How much of what was answered came within spec.inference.slo."""
    cost: Cost | None = None
    """Cost of what it holds."""
    recommendations: Annotated[tuple[Recommendation, ...], list_map("rank", bound=16)] = ()
    """What to do, in order; each step assumes those before it, and keeps memory and the declared latencies."""
    answers: Annotated[tuple[AnsweredAdvice, ...], list_map("field", bound=16)] = ()
    """What the owner did with recommendations (spec.answers), beside what they promised."""
    decisions: Annotated[tuple[Decision, ...], list_map("type", bound=8)] = ()
    """What the operator would do."""
    drift: Drift | None = None
    """The last change of efficiency that is more than noise."""
    watch: ChangeWatch | None = None
    """Memory of the search for changes; a few minutes old at most."""
    reclaim: ReclaimStatus | None = None
    """How far the policy's ladder of reclaim went with it; absent where it has not begun."""
    history: Annotated[tuple[History, ...], Field(max_length=16)] = ()
    """Efficiency before and after changes, newest first."""
    conditions: Annotated[tuple[Condition, ...], list_map("type", bound=16)] = ()
    """Accepted, FitsMemory, TelemetryAvailable, IntentConsistent and Ready."""
