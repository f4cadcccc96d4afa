"""The page about the scalers, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.scaling.day import PEAK_WORK
from benchmarks.scaling.deployment import MOST_REPLICAS, TPOT_LIMIT, TTFT_LIMIT

NAMES: Final = {
    "ours": "mfu",
    "keda-all-tokens": "KEDA on prompt and output tokens/s",
    "keda-output-tokens": "KEDA on output tokens/s",
    "hpa-queue": "HPA on requests that wait",
    "hpa-gpu-utilisation": "HPA on GPU utilisation",
    "wva": "Workload Variant Autoscaler's rule",
}


def page(answer: Mapping[str, Any], foresight: Mapping[str, float]) -> str:
    """`foresight`: by scaler, GPU-hours with which one who knows the day keeps as much."""
    parts = (_head(), _days(answer), _against(answer), _levels(answer), _bounds(answer, foresight), _lies(answer))
    return "\n".join(line for part in parts for line in (*part, ""))


def _head() -> tuple[str, ...]:
    return (
        "# Replicas for a day of real requests",
        "",
        "Written by `make bench-scaling`; the method is in [docs/scaling.md](../docs/scaling.md). Five days of the two",
        "recorded hours of Azure's code and conversation services, each day with another night, spike and chance,",
        f"scaled until {PEAK_WORK:.0f} replicas that never pause would carry the busiest ten minutes. Llama-3.1-8B on",
        f"one H100 a replica, 2 to 7 minutes to start, at most {MOST_REPLICAS} replicas. Promise: first token within",
        f"{TTFT_LIMIT:.0f} s, then at most {TPOT_LIMIT * 1e3:.0f} ms a token. Settings are chosen on four other days,",
        "never on these: each scaler has the cheapest of its grid that keeps both promises for 99.9 % of the requests",
        "there, or where none does the one that keeps them most often.",
    )


COLUMNS: Final = (
    "scaler",
    "setting",
    "GPU-hours a day",
    "first token",
    "time per token",
    "turns an hour",
    "most replicas",
)


def _days(answer: Mapping[str, Any]) -> list[str]:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for name, row in answer.items():
        lines.append(
            f"| {NAMES[name]} | {_setting(row)} | {row['gpu_hours']:.0f} | {row['slo_ttft']:.2%} | "
            f"{row['slo_tpot']:.2%} | {row['direction_changes_per_hour']:.1f} | {row['most_replicas']:.0f} |"
        )
    return lines


def _against(answer: Mapping[str, Any]) -> list[str]:
    ours = answer["ours"]
    lines = ["| against | GPU-hours that mfu needs fewer | first token | time per token |", "|---|---|---|---|"]
    for name, row in answer.items():
        if name == "ours":
            continue
        fewer = 1.0 - ours["gpu_hours"] / row["gpu_hours"]
        first, token = ours["slo_ttft"] - row["slo_ttft"], ours["slo_tpot"] - row["slo_tpot"]
        lines.append(f"| {NAMES[name]} | {fewer:.0%} | {100 * first:+.2f} points | {100 * token:+.2f} points |")
    return lines


def _levels(answer: Mapping[str, Any]) -> list[str]:
    levels = list(answer["ours"]["levels"])
    lines = [
        "At equal promise: GPU-hours of the cheapest setting that keeps both promises so often on the four tuning",
        "days, and what it keeps on the five (first token, time per token). In brackets where no setting did, the one",
        "that came nearest.",
        "",
        f"| scaler | {' | '.join(levels)} |",
        f"|{'---|' * (len(levels) + 1)}",
    ]
    for name, row in answer.items():
        lines.append(f"| {NAMES[name]} | {' | '.join(_level(row['levels'][each]) for each in levels)} |")
    return lines


def _level(row: Mapping[str, Any]) -> str:
    said = f"**{row['gpu_hours']:.0f}** at {row['slo_ttft']:.2%}, {row['slo_tpot']:.2%} with {_setting(row)}"
    return said if row["reached"] else f"({said})"


def _setting(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in row["setting"])


def _bounds(answer: Mapping[str, Any], foresight: Mapping[str, float]) -> list[str]:
    lines = [
        "The least that keeps both promises as often as each does, for one who knows each minute of the day before and",
        "pays for start-ups (`python -m benchmarks.scaling.foresight`: days played at ten loads, the cheapest plan by",
        "multipliers and dynamic programming; a queue that one minute leaves to the next is not counted):",
        "",
        "| as | GPU-hours a day | foresight | mfu above that |",
        "|---|---|---|---|",
    ]
    ours = answer["ours"]["gpu_hours"]
    for name, hours in foresight.items():
        lines.append(f"| {NAMES[name]} | {answer[name]['gpu_hours']:.0f} | {hours:.0f} | {ours / hours - 1:+.0%} |")
    return lines


def _lies(answer: Mapping[str, Any]) -> list[str]:
    lies = list(answer["ours"]["most_replicas_when"])
    lines = [
        "Most replicas, and first tokens in time, of three hours in the middle of which metrics are wrong for one:",
        "",
        f"| scaler | {' | '.join(lies)} |",
        f"|{'---|' * (len(lies) + 1)}",
    ]
    for name, row in answer.items():
        cells = [f"{row['most_replicas_when'][lie]}, {row['slo_ttft_when'][lie]:.1%}" for lie in lies]
        lines.append(f"| {NAMES[name]} | {' | '.join(cells)} |")
    return lines
