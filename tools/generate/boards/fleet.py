"""The provider's dashboard: what the fleet gives for its money, who holds what for nothing, and on which hardware."""

from __future__ import annotations

from typing import Final

from tools.generate.panels import BARS, LOSS, LOST, Column, Dashboard, Panel, factors, number

_PARTS: Final = {
    "useful": ("useful", "green"),
    "lost": ("lost to causes", "red"),
    "held_idle": ("held and idle", "orange"),
    "unallocated": ("held by nobody", "#8e8e8e"),
    "unknown": ("unknown", "purple"),
}
_KNOWN: Final = {"measured": "green", "estimated": "blue", "idle": "#8e8e8e", "unknown": "purple"}
_GLANCE: Final = (
    number("Fleet MFU", "Model FLOPs ÷ dense 16-bit peak of all GPUs, idle ones included.", "max(mfu_fleet_mfu_ratio)"),
    Panel(
        "GPUs",
        "All, and those that somebody holds; MIG slices count as their share of one.",
        (("max(mfu_fleet_gpus)", "all"), ("max(mfu_fleet_allocated_gpus)", "held")),
        "stat",
        "none",
        5,
        4,
        decimals=0,
    ),
    number("Cost per hour", "Price of all GPUs that have one.", "max(mfu_fleet_cost_per_hour)", unit="currencyUSD"),
    number(
        "Lost to causes per hour",
        "Part of the cost that pays for FLOPs that a named cause took away.",
        'max(mfu_fleet_bill_per_hour{currency="$",part="lost"})',
        unit="currencyUSD",
        steps=LOSS,
    ),
    number(
        "Idle per hour",
        "Part of the cost that pays for GPUs that nobody holds, or that do nothing for their holder.",
        'sum(max by (part) (mfu_fleet_bill_per_hour{currency="$",part=~"held_idle|unallocated"}))',
        unit="currencyUSD",
        steps=LOSS,
    ),
    number(
        "Known",
        "Share of GPUs of which it is known what they do: measured, estimated, or idle.",
        "1 - max(mfu_fleet_unknown_ratio)",
        steps=((None, "red"), (0.5, "orange"), (0.9, "green")),
        width=3,
    ),
)
_WHERE: Final = (
    Panel(
        "Scheduling × runtime × program = MFU",
        "Which factor is the smallest: the scheduler's, that of holders who do not work, or the programs'?",
        factors("fleet"),
        row="Where it goes",
        top=1,
    ),
    Panel(
        "Where the money goes",
        "Per hour; the parts add up to the price of all GPUs, to the cent.",
        tuple(
            (f'max(mfu_fleet_bill_per_hour{{currency="$",part="{each}"}})', name) for each, (name, _) in _PARTS.items()
        ),
        unit="currencyUSD",
        colors=dict(_PARTS.values()),
        stacked=True,
    ),
    Panel(
        "What is known",
        "Shares of all GPUs: measured by progress, estimated by counters, held by nobody, unknown.",
        tuple((f"max(mfu_fleet_{each}_ratio)", each) for each in _KNOWN),
        top=1,
        colors=_KNOWN,
        stacked=True,
    ),
    Panel(
        "What workloads lose most to",
        "Workloads by their main cause; those that lose to none are left out.",
        (
            (
                'count by (cause) (max by (namespace, workload, cause) (mfu_workload_cause{cause!="None"}) == 1)',
                "{{cause}}",
            ),
        ),
        unit="none",
        decimals=0,
        stacked=True,
        empty="No workload loses to a cause",
    ),
)
_WHO: Final = (
    Panel(
        "Namespaces",
        "What each holds, what it makes of it, and what that costs; the dearest loss first. Names open dashboards.",
        (
            ("max by (namespace) (mfu_namespace_allocated_gpus)", ""),
            ("max by (namespace) (mfu_namespace_allocated_mfu_ratio)", ""),
            ("max by (namespace) (mfu_namespace_runtime_ratio)", ""),
            ("max by (namespace) (mfu_namespace_cost_per_hour)", ""),
            (f"sum by (namespace) ({LOST})", ""),
            ('max by (namespace) (mfu_namespace_revenue_per_hour{currency="$"})', ""),
        ),
        "table",
        width=24,
        height=9,
        row="Who",
        columns=(
            Column("namespace", "Namespace", opens="mfu-tenant"),
            Column("A", "GPUs held", "none"),
            Column("B", "MFU of what it holds", "percentunit"),
            Column("C", "Time at work", "percentunit"),
            Column("D", "Cost per hour", "currencyUSD"),
            Column("E", "Lost per hour", "currencyUSD"),
            Column("F", "Charged per hour", "currencyUSD"),
        ),
        sort="Lost per hour",
    ),
    Panel(
        "Money lost by namespace",
        "Per hour, the largest now.",
        ((f"sort_desc(topk({BARS}, sum by (namespace) ({LOST}) > 0))", "{{namespace}}"),),
        "bargauge",
        "currencyUSD",
        steps=LOSS,
        empty="Nobody loses to a cause",
    ),
    Panel(
        "Least MFU of nodes at work",
        "Of the GPUs that somebody holds there; nodes that are held for nothing stand as lost time at work above.",
        ((f"sort(bottomk({BARS}, max by (node) (mfu_node_allocated_mfu_ratio) > 0))", "{{node}}"),),
        "bargauge",
        top=1,
        steps=((None, "red"), (0.1, "orange"), (0.3, "green")),
    ),
)
_WHAT: Final = (
    Panel(
        "Is MFU the same on every GPU type?",
        "MFU of held GPUs by product.",
        (("max by (product) (mfu_product_allocated_mfu_ratio)", "{{product}}"),),
        row="Products and models",
    ),
    Panel(
        "A useful exaFLOP costs",
        "Price of 1e18 model operations, idle GPUs included: what a cheaper or a faster GPU really saves.",
        (
            ("1000 * max(mfu_fleet_cost_per_useful_pflop)", "fleet"),
            ("1000 * max by (product) (mfu_product_cost_per_useful_pflop)", "{{product}}"),
        ),
        unit="currencyUSD",
    ),
    Panel(
        "Model families",
        "Share of the peak, each on its own scale: what is attainable, expected as declared, and observed.",
        (
            ("max by (family) (mfu_family_gpus)", ""),
            ("max by (family) (mfu_family_attainable_ratio)", ""),
            ("max by (family) (mfu_family_expected_ratio)", ""),
            ("max by (family) (mfu_family_observed_ratio)", ""),
        ),
        "table",
        columns=(
            Column("family", "Family"),
            Column("A", "GPUs", "none"),
            Column("B", "Attainable", "percentunit"),
            Column("C", "Expected", "percentunit"),
            Column("D", "Observed", "percentunit"),
        ),
        sort="GPUs",
    ),
    Panel(
        "Services that answer in time",
        "The worst service's share of answers within each objective; kept from 95 % on.",
        (("min by (objective) (mfu_workload_slo_attainment_ratio)", "worst {{objective}}"),),
        top=1,
        steps=((None, "red"), (0.95, "green")),
        marked=True,
        empty="No service with an objective whose engine counts answers by their time",
    ),
    Panel(
        "Advice that was followed",
        "Changes that followed it, by whether at least half of what was promised came true.",
        (("max by (result) (mfu_advice_promises)", "{{result}}"),),
        "stat",
        "none",
        24,
        4,
        decimals=0,
        colors={"kept": "green", "broken": "orange"},
    ),
)
FLEET: Final = Dashboard(
    "mfu-provider", "mfu: fleet", "What the fleet gives for its money.", (*_GLANCE, *_WHERE, *_WHO, *_WHAT)
)
