"""One workload: from what is possible to what is, and where the rest goes."""

from __future__ import annotations

from typing import Final

from tools.generate.panels import FULL, LOSS, ONE, STAT, Dashboard, Panel, number, observed

_LEVELS: Final = {"attainable": "blue", "expected": "green", "observed": "orange"}
_GLANCE: Final = (
    number("Observed MFU", "Ten minutes, by progress where it is reported.", observed("mfu", ONE)),
    number("Expected MFU", "As declared and placed.", f"max(mfu_workload_expected_mfu_ratio{{{ONE}}})"),
    Panel(
        "Main cause",
        "What it loses most to; None where it is as good as expected.",
        ((f"max by (cause) (mfu_workload_cause{{{ONE}}}) == 1", "{{cause}}"),),
        "stat",
        "none",
        5,
        STAT,
        named=True,
    ),
    number("GPUs", "Held, or declared while it holds none.", f"max(mfu_workload_gpus{{{ONE}}})", unit="none", width=3),
    number("Cost per hour", "Price of its GPUs.", f"max(mfu_workload_cost_per_hour{{{ONE}}})", unit="currencyUSD"),
    number(
        "Lost per hour",
        "Part of it that pays for lost FLOPs.",
        f"max(mfu_workload_lost_per_hour{{{ONE}}})",
        unit="currencyUSD",
        steps=LOSS,
    ),
)
_WATERFALL: Final = (
    Panel(
        "Attainable, expected, observed",
        "From what the same GPUs could do after changes the spec allows, over what is declared, to what is.",
        (
            (f"max(mfu_workload_attainable_mfu_ratio{{{ONE}}})", "attainable"),
            (f"max(mfu_workload_expected_mfu_ratio{{{ONE}}})", "expected"),
            (observed("mfu", ONE), "observed"),
        ),
        colors=_LEVELS,
    ),
    Panel(
        "Where the rest goes",
        "Share of peak by cause: which of the two losses it explains, who can mend it (metrics.perWorkload: Full).",
        (
            (
                f"max by (cause, explains, actor) (mfu_workload_loss_ratio{{{ONE}}})",
                "{{cause}} ({{explains}}, {{actor}})",
            ),
        ),
        stacked=True,
        empty=FULL,
    ),
    Panel(
        "Memory bandwidth",
        "Expected and observed MBU: the scale of decode.",
        ((f"max(mfu_workload_expected_mbu_ratio{{{ONE}}})", "expected"), (observed("mbu", ONE), "observed")),
        colors=_LEVELS,
        empty="No MBU is known of this workload",
    ),
    Panel(
        "Drift",
        "The last half hour beside the six hours before.",
        (
            (observed("mfu", ONE, "30m"), "half an hour"),
            (observed("mfu", ONE, "6h"), "six hours"),
        ),
        colors={"half an hour": "orange", "six hours": "blue"},
    ),
)
_MONEY: Final = (
    Panel(
        "Cost and loss per hour",
        "In the policy's currency.",
        ((f"max(mfu_workload_cost_per_hour{{{ONE}}})", "cost"), (f"max(mfu_workload_lost_per_hour{{{ONE}}})", "lost")),
        unit="currencyUSD",
        row="Money, and how well it is known",
        colors={"cost": "blue", "lost": "orange"},
    ),
    Panel(
        "Cost per million tokens",
        "Of a service: prompt tokens (input) and written ones (output), by the time that each takes.",
        ((f"max by (direction) (mfu_workload_cost_per_million_tokens{{{ONE}}})", "{{direction}}"),),
        unit="currencyUSD",
        empty="Not a service whose prompt and written tokens are both counted",
    ),
    Panel(
        "Scheduling × runtime × program",
        "Of all that it asks for: held, progressing, and how well (metrics.perWorkload: Full).",
        tuple((f"max(mfu_workload_{each}_ratio{{{ONE}}})", each) for each in ("scheduling", "runtime", "program")),
        top=1,
        empty="Nothing here: needs metrics.perWorkload: Full in the policy",
    ),
    Panel(
        "How well it is known",
        "Coverage (share of GPU-time measured) and confidence by meter (metrics.perWorkload: Full).",
        (
            (f'max by (meter) (mfu_workload_coverage_ratio{{window="10m",{ONE}}})', "coverage {{meter}}"),
            (f'max by (meter) (mfu_workload_confidence_ratio{{window="10m",{ONE}}})', "confidence {{meter}}"),
        ),
        top=1,
        empty="Nothing here: needs metrics.perWorkload: Full in the policy",
    ),
)
WORKLOAD: Final = Dashboard(
    "mfu-workload",
    "mfu: workload",
    "How fast one workload should run, how fast it does, and where the rest goes.",
    (*_GLANCE, *_WATERFALL, *_MONEY),
    ("namespace", "workload"),
)
