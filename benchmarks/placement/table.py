"""The results of all runs as one document, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.placement.contenders import Contender

_TOLD: Final = (
    "mean_mfu",
    "gpu_hours",
    "cost_per_useful_pflop",
    "wait_mean",
    "wait_p95",
    "stranded",
    "deadlocked_gangs",
    "split_tensor_groups",
    "seed",
)
_NAMES: Final = {
    Contender.DEFAULT: "default scheduler",
    Contender.KUEUE: "Kueue 0.17, topology-aware",
    Contender.OURS: "mfu on the default scheduler",
}


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """By contender, the figures of the seed in which ours is the least ahead; then every single run."""
    ordered = sorted(runs, key=lambda each: (each["seed"], list(Contender).index(each["contender"])))
    seeds = sorted({each["seed"] for each in ordered})
    advantages = [gain for seed in seeds if (gain := advantage(ordered, seed))]
    found: dict[str, Any] = {}
    if advantages:
        worst = min(advantages, key=lambda each: float(each["useful_flops_per_dollar"]))
        shown = [each for each in ordered if each["seed"] == worst["seed"]]
        found = {each["contender"]: {key: each[key] for key in _TOLD} for each in shown}
        found["advantage"] = {"worst": worst, "seeds": advantages}
    return {**found, "runs": ordered}


def advantage(runs: Sequence[dict[str, Any]], seed: int) -> dict[str, Any] | None:
    """Ours against the better of the two others in one seed; None until all three ran.

    0.20 is 20 % more useful FLOPs for the same money. A wait ratio of 1 is as long as the shorter of theirs.
    """
    mine = {each["contender"]: each for each in runs if each["seed"] == seed}
    if len(mine) < len(Contender):
        return None
    ours = mine.pop(Contender.OURS)
    rivals = list(mine.values())
    return {
        "seed": seed,
        "useful_flops_per_dollar": round(
            min(each["cost_per_useful_pflop"] for each in rivals) / ours["cost_per_useful_pflop"] - 1.0, 3
        ),
        "wait_mean_ratio": round(ours["wait_mean"] / max(0.01, min(each["wait_mean"] for each in rivals)), 3),
        "wait_p95_ratio": round(ours["wait_p95"] / max(0.01, min(each["wait_p95"] for each in rivals)), 3),
    }


def table(document: dict[str, Any]) -> str:
    head = (
        "# Placement\n\nThe same jobs on the same nodes, `make bench-placement`: how it is measured stands in "
        "[docs/placement-bench.md](../docs/placement-bench.md). One line a seed and contender.\n\n"
        "| seed | contender | MFU | GPU-hours | $ per useful EFLOP | wait mean, s | wait p95, s | stranded GPUs | "
        "gangs that deadlocked | tensor groups split | jobs ended | mean job, s | load of the machine before |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_row(each) for each in document["runs"]) + _advantages(document)


def _row(each: dict[str, Any]) -> str:
    cells = (
        each["seed"],
        _NAMES[Contender(each["contender"])],
        f"{each['mean_mfu']:.1%}",
        f"{each['gpu_hours']:.1f}",
        f"{1000 * each['cost_per_useful_pflop']:.4f}",
        f"{each['wait_mean']:.1f}",
        f"{each['wait_p95']:.1f}",
        f"{each['stranded']:.0f}",
        each["deadlocked_gangs"],
        each["split_tensor_groups"],
        f"{each['jobs_ended']} of {each['jobs']}",
        f"{each['mean_job_seconds']:.0f}",
        each["load_average_before"],
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _advantages(document: dict[str, Any]) -> str:
    if "advantage" not in document:
        return "\nNo seed was run with all three contenders yet: nothing is said of which is ahead.\n"
    lines = [
        f"- seed {each['seed']}: {each['useful_flops_per_dollar']:+.1%} useful FLOPs per $ against the better of the "
        f"two others; waits {each['wait_mean_ratio']:.2f} of their shorter mean, {each['wait_p95_ratio']:.2f} of "
        "their shorter p95"
        for each in document["advantage"]["seeds"]
    ]
    return "\nOurs:\n\n" + "\n".join(lines) + "\n"
