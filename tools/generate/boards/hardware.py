"""Hardware health, and whether the operator hears and judges at all."""

from __future__ import annotations

from typing import Final

from tools.generate.panels import BARS, HARDWARE, LOST, Column, Dashboard, Panel, number

_FELL: Final = (
    "(max by (node) (mfu_node_allocated_mfu_ratio @ end()) > 0) "
    "/ max by (node) (avg_over_time(mfu_node_allocated_mfu_ratio[6h] @ end()))"
)
_LOSE: Final = f"(max by (namespace, workload, cause) (mfu_workload_cause{{{HARDWARE}}}) == 1)"
_GLANCE: Final = (
    number(
        "Devices with fresh readings",
        "None means that observed MFU is unknown.",
        "max(mfu_telemetry_devices)",
        unit="none",
        steps=((None, "red"), (1, "green")),
        width=6,
    ),
    number(
        "Nodes that are silenced",
        "Two exporters claim to speak for them.",
        "sum(max by (source) (mfu_telemetry_nodes_silenced))",
        unit="none",
        steps=((None, "green"), (1, "red")),
        width=6,
    ),
    number(
        "Oldest judgement",
        "Since the workload that waits longest was judged.",
        'max(mfu_operator_judgement_age_seconds{quantile="1"})',
        unit="s",
        steps=((None, "green"), (60, "orange"), (300, "red")),
        width=6,
    ),
    number(
        "Workloads that lose to hardware",
        "Their main cause is a throttled, degraded or slow part, or a link.",
        f"count({_LOSE}) or vector(0)",
        unit="none",
        steps=((None, "green"), (1, "orange")),
        width=6,
    ),
)
HARDWARE_HEALTH: Final = Dashboard(
    "mfu-hardware",
    "mfu: hardware and telemetry",
    "Which nodes stand apart, and whether the operator hears and judges.",
    (
        *_GLANCE,
        Panel(
            "Nodes that fell most",
            "MFU of the eight that do least beside their own six hours; what is held for nothing is left out.",
            ((f"max by (node) (mfu_node_allocated_mfu_ratio) and bottomk({BARS}, {_FELL})", "{{node}}"),),
            row="Hardware",
        ),
        Panel(
            "Which hardware causes",
            "Workloads whose main cause is throttling, a degraded part, a straggler, or communication.",
            ((f"count by (cause) {_LOSE}", "{{cause}}"),),
            unit="none",
            decimals=0,
            stacked=True,
            empty="No workload loses to hardware",
        ),
        Panel(
            "Workloads that lose to hardware",
            "With their cause; the dearest first.",
            (
                (_LOSE, ""),
                (f"{LOST} and on (namespace, workload) {_LOSE}", ""),
            ),
            "table",
            columns=(
                Column("namespace", "Namespace", opens="mfu-tenant"),
                Column("workload", "Workload", opens="mfu-workload"),
                Column("cause", "Cause"),
                Column("B", "Lost per hour", "currencyUSD"),
            ),
            sort="Lost per hour",
            empty="No workload loses to hardware",
        ),
        Panel(
            "Telemetry sources",
            "The state that each is in.",
            (("max by (source, state) (mfu_telemetry_source_state == 1)", ""),),
            "table",
            columns=(Column("source", "Source"), Column("state", "State")),
        ),
        Panel(
            "Age of judgements",
            "Since workloads were judged, or seen to run as judged.",
            (
                ('max(mfu_operator_judgement_age_seconds{quantile="0.5"})', "half of them"),
                ('max(mfu_operator_judgement_age_seconds{quantile="0.99"})', "99 %"),
                ('max(mfu_operator_judgement_age_seconds{quantile="1"})', "the oldest"),
            ),
            unit="s",
            row="The operator",
        ),
        Panel(
            "Time of a cycle",
            "By step, mean of five minutes.",
            (
                (
                    "sum by (step) (rate(mfu_operator_cycle_seconds_sum[5m])) "
                    "/ sum by (step) (rate(mfu_operator_cycle_seconds_count[5m]))",
                    "{{step}}",
                ),
            ),
            unit="s",
        ),
    ),
)
