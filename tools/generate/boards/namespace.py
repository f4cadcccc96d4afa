"""A tenant's dashboard: every workload of one namespace at a glance, and the five questions."""

from __future__ import annotations

from typing import Final

from tools.generate.panels import (
    BARS,
    BEST,
    FULL,
    LOSS,
    MINE,
    Column,
    Dashboard,
    Panel,
    better,
    due,
    factors,
    number,
    observed,
)

_OPENS: Final = "mfu-workload"


def _of(metric: str) -> str:
    return f"{BEST} ({metric}{{{MINE}}})"


_GLANCE: Final = (
    number(
        "MFU of what is held",
        "Model FLOPs ÷ dense 16-bit peak of the namespace's GPUs.",
        f"max(mfu_namespace_allocated_mfu_ratio{{{MINE}}})",
    ),
    number("Time at work", "Part of the GPU-time that makes progress.", f"max(mfu_namespace_runtime_ratio{{{MINE}}})"),
    number(
        "GPUs held", "MIG slices count as their share.", f"max(mfu_namespace_allocated_gpus{{{MINE}}})", unit="none"
    ),
    number("Cost per hour", "Of what is held.", f"sum({_of('mfu_workload_cost_per_hour')})", unit="currencyUSD"),
    number(
        "Lost per hour",
        "Part of the cost that pays for lost FLOPs.",
        f"sum({_of('mfu_workload_lost_per_hour')})",
        unit="currencyUSD",
        steps=LOSS,
    ),
    number("Workloads", "Those that are declared.", f"count({_of('mfu_workload_gpus')})", unit="none"),
)
_WORKLOADS: Final = (
    Panel(
        "Workloads",
        "Observed, expected and attainable MFU, main cause and money; the dearest loss first. Names open dashboards.",
        (
            (_of("mfu_workload_gpus"), ""),
            (observed("mfu", MINE), ""),
            (_of("mfu_workload_expected_mfu_ratio"), ""),
            (_of("mfu_workload_attainable_mfu_ratio"), ""),
            (f"max by (namespace, workload, cause) (mfu_workload_cause{{{MINE}}} == 1)", ""),
            (_of("mfu_workload_cost_per_hour"), ""),
            (_of("mfu_workload_lost_per_hour"), ""),
        ),
        "table",
        width=24,
        height=10,
        columns=(
            Column("workload", "Workload", width=280, opens=_OPENS),
            Column("A", "GPUs", "none"),
            Column("B", "Observed MFU", "percentunit"),
            Column("C", "Expected MFU", "percentunit"),
            Column("D", "Attainable MFU", "percentunit"),
            Column("cause", "Main cause", width=180),
            Column("F", "Cost per hour", "currencyUSD"),
            Column("G", "Lost per hour", "currencyUSD"),
        ),
        sort="Lost per hour",
    ),
    Panel(
        "Observed MFU",
        "Ten minutes, by progress where it is reported, else by counters; of the ten workloads that cost most.",
        (
            (
                f"{observed('mfu', MINE)} and on (namespace, workload) "
                f"topk(10, {BEST} (mfu_workload_cost_per_hour{{{MINE}}} @ end()))",
                "{{workload}}",
            ),
        ),
    ),
    Panel(
        "Observed ÷ expected",
        "On MFU, the furthest from it first: 100 % is as expected.",
        (
            (
                f"sort(bottomk({BARS}, {observed('mfu', MINE)} / {BEST} (mfu_workload_expected_mfu_ratio)))",
                "{{workload}}",
            ),
        ),
        "bargauge",
        top=1,
        steps=((None, "red"), (0.5, "orange"), (0.8, "green")),
    ),
)
_QUESTIONS: Final = (
    Panel(
        "Does MFU fall as I scale out?",
        "Observed reference MFU beside the number of GPUs (metrics.perWorkload: Full).",
        (
            (_of("mfu_workload_gpus"), ""),
            (better("mfu_workload_reference_mfu_ratio", MINE), ""),
        ),
        "table",
        row="Questions",
        columns=(
            Column("workload", "Workload", width=280, opens=_OPENS),
            Column("A", "GPUs", "none"),
            Column("B", "MFU over the 16-bit peak", "percentunit"),
        ),
        sort="GPUs",
    ),
    Panel(
        "Memory- or compute-bound?",
        "The nearer limit: MFU of compute, MBU of bandwidth; and the scale that the operator judges by.",
        (
            (f"max by (namespace, workload, scale) (mfu_workload_scale{{{MINE}}} == 1)", ""),
            (observed("mfu", MINE), ""),
            (observed("mbu", MINE), ""),
        ),
        "table",
        columns=(
            Column("workload", "Workload", width=280, opens=_OPENS),
            Column("scale", "Judged by"),
            Column("B", "MFU", "percentunit"),
            Column("C", "MBU", "percentunit"),
        ),
        sort="MBU",
    ),
    Panel(
        "Limited by batch or by requests?",
        "Share of peak that each takes (metrics.perWorkload: Full).",
        (
            (
                f"sort_desc(topk({BARS}, max by (namespace, workload, cause) (mfu_workload_loss_ratio{{"
                f'cause=~"LowConcurrency|RequestVariability|KVCachePressure",{MINE}}})))',
                "{{workload}}: {{cause}}",
            ),
        ),
        "bargauge",
        top=1,
        steps=LOSS,
        empty=FULL,
    ),
    Panel(
        "Is the cost what the expected MFU says?",
        "Price paid ÷ price due at the expected MFU, the dearest first: 100 % is as expected.",
        (
            (
                f"sort_desc(topk({BARS}, {BEST} (mfu_workload_cost_per_hour{{{MINE}}}) / {due(MINE)}))",
                "{{workload}}",
            ),
        ),
        "bargauge",
        steps=((None, "green"), (1.25, "orange"), (2, "red")),
    ),
    Panel(
        "Answered in time",
        "Share of answers within each objective, the worst first; kept from 95 % on.",
        (
            (
                f"sort(bottomk({BARS}, min by (namespace, workload, objective) "
                f"(mfu_workload_slo_attainment_ratio{{{MINE}}})))",
                "{{workload}}: {{objective}}",
            ),
        ),
        "bargauge",
        top=1,
        steps=((None, "red"), (0.95, "green")),
        empty="No service with an objective whose engine counts answers by their time",
    ),
    Panel(
        "Scheduling × runtime × program = MFU",
        "A namespace holds what it holds: scheduling is 100 %. Who does not work, or how well do the programs?",
        factors("namespace", f"{{{MINE}}}"),
        top=1,
    ),
)
NAMESPACE: Final = Dashboard(
    "mfu-tenant",
    "mfu: namespace",
    "What one namespace makes of its GPUs.",
    (*_GLANCE, *_WORKLOADS, *_QUESTIONS),
    ("namespace",),
)
