"""The panels of each Grafana dashboard: what each answers, and with which queries. `gen_dashboards` writes them out."""

from __future__ import annotations

from typing import Final

from tools.generate.panels import BEST, DUE, HARDWARE, MINE, NAMED, ONE, Dashboard, Panel, factors, observed

DASHBOARDS: Final = (
    Dashboard(
        "mfu-provider",
        "mfu: fleet",
        (
            Panel(
                "Fleet MFU",
                "Model FLOPs ÷ dense 16-bit peak of all GPUs.",
                (("mfu_fleet_mfu_ratio", "MFU"),),
                "stat",
                width=6,
            ),
            Panel(
                "GPUs",
                "All, and those that somebody holds.",
                (("mfu_fleet_gpus", "all"), ("mfu_fleet_allocated_gpus", "held")),
                "stat",
                "none",
                6,
            ),
            Panel(
                "Cost per hour",
                "Price of all GPUs that have one.",
                (("mfu_fleet_cost_per_hour", "cost"),),
                "stat",
                "currencyUSD",
                6,
            ),
            Panel(
                "Lost per hour",
                "Part of it that pays for lost FLOPs.",
                (("sum(mfu_workload_lost_per_hour)", "lost"),),
                "stat",
                "currencyUSD",
                6,
            ),
            Panel(
                "Scheduling × runtime × program = MFU",
                "Is it the scheduler, idle holders, or the programs?",
                factors("fleet"),
            ),
            Panel(
                "What is known",
                "Shares of GPUs: measured by progress, estimated by counters, idle, unknown.",
                tuple((f"mfu_fleet_{each}_ratio", each) for each in ("measured", "estimated", "idle", "unknown")),
            ),
            Panel(
                "Is MFU the same on every GPU type?",
                "Allocated MFU by product.",
                (("mfu_product_allocated_mfu_ratio", "{{product}}"),),
            ),
            Panel(
                "Worst nodes",
                "Least MFU first, idle GPUs included.",
                (("bottomk(10, mfu_node_mfu_ratio)", "{{node}}"),),
            ),
            Panel(
                "Held and not at work",
                "Part of what each namespace holds that makes no progress.",
                (("1 - mfu_namespace_runtime_ratio", "{{namespace}}"),),
            ),
            Panel(
                "Money lost by namespace",
                "Per hour, the ten largest.",
                (("topk(10, sum by (namespace) (mfu_workload_lost_per_hour))", "{{namespace}}"),),
                unit="currencyUSD",
            ),
            Panel(
                "Main causes",
                "Workloads by what they lose most to.",
                (("count by (cause) (mfu_workload_cause == 1)", "{{cause}}"),),
                unit="none",
            ),
            Panel(
                "Where the money goes",
                "Per hour; the parts add up to the price of all GPUs.",
                (('mfu_fleet_bill_per_hour{currency="$"}', "{{part}}"),),
                unit="currencyUSD",
            ),
            Panel(
                "Revenue beside cost",
                "What namespaces are charged, where policies charge, and what they cost.",
                (
                    ("mfu_namespace_revenue_per_hour", "{{namespace}} is charged"),
                    ("mfu_namespace_cost_per_hour", "{{namespace}} costs"),
                ),
                unit="currencyUSD",
            ),
            Panel(
                "A useful PFLOP costs",
                "Price of 1e15 model operations, idle GPUs included.",
                (
                    ("mfu_fleet_cost_per_useful_pflop", "fleet"),
                    ("mfu_product_cost_per_useful_pflop", "{{product}}"),
                ),
                unit="currencyUSD",
            ),
            Panel(
                "Model families",
                "Observed and expected share of the peak.",
                (
                    ("mfu_family_observed_ratio", "{{family}} observed"),
                    ("mfu_family_expected_ratio", "{{family}} expected"),
                ),
            ),
            Panel(
                "Services that answer in time",
                "Share of answers within each objective; kept from 95 % on.",
                (("min by (objective) (mfu_workload_slo_attainment_ratio)", "worst {{objective}}"),),
            ),
            Panel(
                "Advice that kept its promise",
                "Changes that followed it, by result.",
                (("mfu_advice_promises", "{{result}}"),),
                unit="none",
            ),
        ),
    ),
    Dashboard(
        "mfu-tenant",
        "mfu: namespace",
        (
            Panel(
                "MFU of what is held",
                "Over the dense 16-bit peak.",
                ((f"mfu_namespace_allocated_mfu_ratio{{{MINE}}}", "{{namespace}}"),),
                "stat",
                width=8,
            ),
            Panel(
                "Cost per hour",
                "Of what is held.",
                ((f"sum by (namespace) (mfu_workload_cost_per_hour{{{MINE}}})", "{{namespace}}"),),
                "stat",
                "currencyUSD",
                8,
            ),
            Panel(
                "Lost per hour",
                "Part of it that pays for lost FLOPs.",
                ((f"sum by (namespace) (mfu_workload_lost_per_hour{{{MINE}}})", "{{namespace}}"),),
                "stat",
                "currencyUSD",
                8,
            ),
            Panel("Observed MFU", "Ten minutes, the better meter.", ((observed("mfu", MINE), NAMED),)),
            Panel(
                "Observed ÷ expected",
                "One is as expected; on MFU.",
                ((f"{observed('mfu', MINE)} / on (namespace, workload) mfu_workload_expected_mfu_ratio", NAMED),),
            ),
            Panel(
                "Does MFU fall as I scale out?",
                "Observed reference MFU beside the number of GPUs.",
                (
                    (f'{BEST} (mfu_workload_reference_mfu_ratio{{window="10m",{MINE}}})', f"{NAMED} MFU"),
                    (f"mfu_workload_gpus{{{MINE}}}", f"{NAMED} GPUs"),
                ),
                "table",
                "none",
            ),
            Panel(
                "Limited by batch or by requests?",
                "Share of peak that each takes (metrics.perWorkload: Full).",
                (
                    (
                        f'mfu_workload_loss_ratio{{cause=~"LowConcurrency|RequestVariability|KVCachePressure",{MINE}}}',
                        f"{NAMED} {{{{cause}}}}",
                    ),
                ),
            ),
            Panel(
                "Memory- or compute-bound?",
                "The nearer limit: MFU of compute, MBU of bandwidth.",
                ((observed("mfu", MINE), f"{NAMED} MFU"), (observed("mbu", MINE), f"{NAMED} MBU")),
            ),
            Panel(
                "Is the cost what the expected MFU says?",
                "Price paid ÷ price due: one is as expected.",
                (
                    (
                        f"mfu_workload_cost_per_hour{{{MINE}}} / on (namespace, workload) {DUE}",
                        NAMED,
                    ),
                ),
                unit="none",
            ),
            Panel(
                "Answered in time",
                "Share within each objective beside MFU; kept from 95 % on.",
                (
                    (f"mfu_workload_slo_attainment_ratio{{{MINE}}}", f"{NAMED} {{{{objective}}}}"),
                    (observed("mfu", MINE), f"{NAMED} MFU"),
                ),
            ),
            Panel(
                "Main cause",
                "What each workload loses most to.",
                ((f"mfu_workload_cause{{{MINE}}} == 1", f"{NAMED} {{{{cause}}}}"),),
                "table",
                "none",
            ),
            Panel(
                "Scheduling × runtime × program",
                "A namespace holds what it holds: scheduling is one.",
                factors("namespace", f"{{{MINE}}}"),
            ),
        ),
        ("namespace",),
    ),
    Dashboard(
        "mfu-workload",
        "mfu: workload",
        (
            Panel(
                "Attainable, expected, observed",
                "From what is possible to what is.",
                (
                    (f"mfu_workload_attainable_mfu_ratio{{{ONE}}}", "attainable"),
                    (f"mfu_workload_expected_mfu_ratio{{{ONE}}}", "expected"),
                    (observed("mfu", ONE), "observed"),
                ),
            ),
            Panel(
                "Where the rest goes",
                "Share of peak by cause (metrics.perWorkload: Full).",
                ((f"mfu_workload_loss_ratio{{{ONE}}}", "{{cause}} ({{explains}}, {{actor}})"),),
            ),
            Panel(
                "Memory bandwidth",
                "Expected and observed MBU.",
                ((f"mfu_workload_expected_mbu_ratio{{{ONE}}}", "expected"), (observed("mbu", ONE), "observed")),
            ),
            Panel(
                "How well it is known",
                "Coverage and confidence by meter.",
                (
                    (f'mfu_workload_coverage_ratio{{window="10m",{ONE}}}', "coverage {{meter}}"),
                    (f'mfu_workload_confidence_ratio{{window="10m",{ONE}}}', "confidence {{meter}}"),
                ),
            ),
            Panel(
                "Cost and loss per hour",
                "In the policy's currency.",
                ((f"mfu_workload_cost_per_hour{{{ONE}}}", "cost"), (f"mfu_workload_lost_per_hour{{{ONE}}}", "lost")),
                unit="currencyUSD",
            ),
            Panel(
                "Scheduling × runtime × program",
                "Of all that it asks for: held, progressing, and how well (metrics.perWorkload: Full).",
                tuple((f"mfu_workload_{each}_ratio{{{ONE}}}", each) for each in ("scheduling", "runtime", "program")),
            ),
            Panel(
                "Cost per million tokens",
                "Of a service: prompt tokens (input) and written ones (output), by the time that each takes.",
                ((f"mfu_workload_cost_per_million_tokens{{{ONE}}}", "{{direction}}"),),
                unit="currencyUSD",
            ),
            Panel(
                "Drift",
                "The last half hour beside the six hours before.",
                (
                    (
                        f'{BEST} (avg_over_time(mfu_workload_observed_mfu_ratio{{window="10m",{ONE}}}[30m]))',
                        "half an hour",
                    ),
                    (f'{BEST} (avg_over_time(mfu_workload_observed_mfu_ratio{{window="10m",{ONE}}}[6h]))', "six hours"),
                ),
            ),
        ),
        ("namespace", "workload"),
    ),
    Dashboard(
        "mfu-hardware",
        "mfu: hardware and telemetry",
        (
            Panel(
                "Devices with fresh readings",
                "None means that observed MFU is unknown.",
                (("mfu_telemetry_devices", "devices"),),
                "stat",
                "none",
                8,
            ),
            Panel(
                "Nodes that are silenced",
                "Two exporters claim to speak for them.",
                (("sum(mfu_telemetry_nodes_silenced)", "nodes"),),
                "stat",
                "none",
                8,
            ),
            Panel(
                "Age of judgements",
                "Seconds since each workload was last judged.",
                (("mfu_operator_judgement_age_seconds", "{{quantile}}"),),
                "stat",
                "s",
                8,
            ),
            Panel(
                "Workloads that lose to hardware",
                "Throttling, degraded parts, stragglers, links.",
                (
                    (
                        f"count by (cause) (mfu_workload_cause{{{HARDWARE}}})",
                        "{{cause}}",
                    ),
                ),
                unit="none",
            ),
            Panel(
                "Allocated MFU by node",
                "A node that stands apart from its like.",
                (("mfu_node_allocated_mfu_ratio", "{{node}}"),),
            ),
            Panel(
                "Sources",
                "One for the state that each is in.",
                (("mfu_telemetry_source_state == 1", "{{source}} {{state}}"),),
                "table",
                "none",
            ),
            Panel(
                "Time of a cycle",
                "Seconds by step, mean of five minutes.",
                (
                    (
                        "rate(mfu_operator_cycle_seconds_sum[5m]) / rate(mfu_operator_cycle_seconds_count[5m])",
                        "{{step}}",
                    ),
                ),
                unit="s",
            ),
        ),
    ),
)
