"""The name, the help and the labels of every metric that the operator serves, in the order of the documentation."""

from __future__ import annotations

from dataclasses import dataclass

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
    NamedMetric(
        "mfu_workload_revenue_per_hour",
        "What its owner is charged, where the policy charges GPU-hours or written tokens.",
        WORKLOAD_LABELS,
    ),
    NamedMetric(
        "mfu_workload_cost_per_useful_pflop", "Price of 1e15 model operations at the observed rate.", WORKLOAD_LABELS
    ),
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
FACTORS = (
    NamedMetric("mfu_workload_scheduling_ratio", "GPUs that it holds ÷ GPUs that it asks for.", WORKLOAD_LABELS),
    NamedMetric(
        "mfu_workload_runtime_ratio", "Part of the GPU-time that it holds that makes progress.", WORKLOAD_LABELS
    ),
    NamedMetric(
        "mfu_workload_program_ratio", "Model FLOPs ÷ 16-bit peak of the GPU-time that makes progress.", WORKLOAD_LABELS
    ),
)
ATTAINMENT = NamedMetric(
    "mfu_workload_slo_attainment_ratio",
    "Share of the last ten minutes' answers within spec.inference.slo, by the engines' own histograms.",
    (*WORKLOAD_LABELS, "objective"),
)
TOKEN_COST = NamedMetric(
    "mfu_workload_cost_per_million_tokens",
    "Price of a million tokens that a service reads or writes, by the time that each takes; where both are counted.",
    (*WORKLOAD_LABELS, "direction"),
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
    (
        "cost_per_useful_pflop",
        "Price of what is known ÷ its model operations in 1e15, idle GPUs included.",
        "cost_per_useful_pflop",
    ),
)
BILL = NamedMetric(
    "mfu_fleet_bill_per_hour",
    "Where the money of one currency goes; the parts add up to the price of all GPUs, to the cent.",
    ("currency", "part"),
)
UNPRICED = NamedMetric("mfu_fleet_unpriced_gpus", "GPUs without a price: their money is in no bill.", ("currency",))
REVENUE = NamedMetric(
    "mfu_namespace_revenue_per_hour",
    "What holders are charged, where policies charge GPU-hours or written tokens.",
    ("namespace", "currency"),
)
FAMILY = (
    NamedMetric("mfu_family_gpus", "GPUs that the workloads of a model family hold.", ("family",)),
    NamedMetric(
        "mfu_family_expected_ratio", "Expected share of the peak on each one's own scale, by GPUs.", ("family",)
    ),
    NamedMetric("mfu_family_observed_ratio", "Observed share, likewise, of those that are measured.", ("family",)),
    NamedMetric("mfu_family_attainable_ratio", "Attainable share, likewise.", ("family",)),
)
STRUCTURAL = NamedMetric(
    "mfu_family_structural_loss_ratio",
    "Part of the family's peak lost to the cause that most of its workloads share.",
    ("family", "cause", "explains"),
)
SHADOW = (
    NamedMetric(
        "mfu_fleet_shadow_admitted_requests",
        "Requests that oversubscription would have let in since it began to count; it admits nothing.",
        ("priority_class",),
    ),
    NamedMetric(
        "mfu_fleet_shadow_exceeded_requests", "Those that some later moment had no room for.", ("priority_class",)
    ),
    NamedMetric("mfu_fleet_shadow_gained_gpu_hours", "GPU-hours that would have run with room.", ("priority_class",)),
)
OPERATOR = (
    NamedMetric("mfu_operator_cycle_seconds", "Time of one cycle, by step.", ("step",)),
    NamedMetric("mfu_operator_cycles", "Cycles run, by result.", ("result",)),
    NamedMetric(
        "mfu_operator_writes", "Writes since start, by result; deferred counts the last cycle alone.", ("result",)
    ),
    NamedMetric("mfu_operator_releases", "Pods behind our gate, by what became of opening it.", ("result",)),
    NamedMetric("mfu_operator_suspensions", "Idle owners, by what became of suspending them.", ("result",)),
    NamedMetric("mfu_operator_reshapes", "Nodes, by what became of another MIG layout.", ("result",)),
    NamedMetric("mfu_operator_rescales", "Owners, by what became of giving them other replicas.", ("result",)),
    NamedMetric("mfu_operator_pod_marks", "Replicas, by what became of their deletion cost.", ("result",)),
    NamedMetric("mfu_operator_template_hints", "Held owners, by what became of a hint in their template.", ("result",)),
    NamedMetric("mfu_operator_slow_nodes", "Slow nodes, by what became of their soft taint.", ("result",)),
    NamedMetric("mfu_operator_queue_gates", "Owners of pods, by what became of our name on Kueue's gate.", ("result",)),
    NamedMetric("mfu_operator_check_answers", "Questions of Kueue, by what became of the answer.", ("result",)),
    NamedMetric("mfu_operator_objects", "Objects in each informer.", ("kind",)),
    NamedMetric("mfu_operator_workloads_behind", "Workloads that wait to be judged anew.", ()),
    NamedMetric("mfu_operator_answers_kept", "Predictions and other answers kept while somebody asks for them.", ()),
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
        *FACTORS,
        ATTAINMENT,
        TOKEN_COST,
        CAUSE,
        LOSS,
        CONDITION,
        REPLICAS,
        PROMISES,
        ANSWERS,
        AGE,
        *groups,
        BILL,
        UNPRICED,
        REVENUE,
        *FAMILY,
        STRUCTURAL,
        *SHADOW,
        *OPERATOR,
    )
