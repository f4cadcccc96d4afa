"""What a run came to: efficiency, money, waits, and what stood idle or stuck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Final

from benchmarks.placement.drive import Drive, JobRun
from benchmarks.placement.fleet import FleetNode
from benchmarks.placement_truth import Spot, splits_tensor_group

STUCK_SECONDS: Final = 30.0
"""A job that holds GPUs for so long without all of its pods counts as a gang that deadlocked."""


_STEPS: Final = ("pods", "open", "bound", "running")


def score(drive: Drive) -> dict[str, Any]:
    """GPUs are paid for from when a pod is bound until its job ends, or the run does; FLOPs count as they are done."""
    runs, end = list(drive.runs.values()), drive.now
    useful = sum(_done(each, end) for each in runs)
    held = [hold for each in runs for hold in _held(each, end, drive.nodes)]
    gpu_seconds = sum(seconds for seconds, _ in held)
    possible = sum(seconds * node.hardware.peak_flops_per_s for seconds, node in held)
    dollars = sum(seconds * node.hardware.dollars / 3600.0 for seconds, node in held)
    ended = [each for each in runs if each.ended_at is not None]
    waits = sorted(_wait(each, end) for each in runs if each.submitted_at is not None)
    return {
        "mean_mfu": round(useful / possible, 4),
        "gpu_hours": round(gpu_seconds / 3600.0, 3),
        "cost_per_useful_pflop": round(dollars / (useful / 1e15), 9),
        "wait_mean": round(fmean(waits), 2),
        "wait_p95": round(waits[int(0.95 * (len(waits) - 1))], 2),
        "stranded": round(fmean(drive.free_while_waiting or [0]), 1),
        "deadlocked_gangs": sum(_stuck(each, end) for each in runs),
        "jobs": len(runs),
        "jobs_ended": len(ended),
        "mean_job_seconds": round(fmean([_took(each) for each in ended] or [0.0]), 1),
        "split_tensor_groups": sum(_split(each, drive.nodes) for each in runs),
        "useful_pflop": round(useful / 1e15),
        "dollars": round(dollars, 2),
        "seconds": round(end, 1),
        "gpu_hours_by_product": _by_product(held),
        "wait_by_program": _by_program(runs, end),
        "wait_by_step": _by_step(runs),
        "slowest": _slowest(runs),
        "unschedulable": dict(sorted(drive.unschedulable.items())),
    }


def _done(each: JobRun, end: float) -> float:
    if each.started_at is None:
        return 0.0
    return min(each.work.flops, each.flops_per_s * (end - each.started_at))


def _held(each: JobRun, end: float, nodes: Mapping[str, FleetNode]) -> list[tuple[float, FleetNode]]:
    """GPU-seconds and node, pod by pod."""
    until = end if each.ended_at is None else each.ended_at
    return [
        ((until - bound_at) * each.work.kind.piece, nodes[each.nodes[index]])
        for index, bound_at in each.bound_at.items()
    ]


def _wait(each: JobRun, end: float) -> float:
    """Of those that never ran, until the end of the run: less than the truth."""
    waited = each.wait_seconds
    return end - (each.submitted_at or 0.0) if waited is None else waited


def _took(each: JobRun) -> float:
    return (each.ended_at or 0.0) - (each.started_at or 0.0)


def _stuck(each: JobRun, end: float) -> bool:
    if not each.bound_at:
        return False
    whole_at = end if each.started_at is None else each.started_at
    return whole_at - min(each.bound_at.values()) > STUCK_SECONDS


def _split(each: JobRun, nodes: Mapping[str, FleetNode]) -> bool:
    if each.started_at is None:
        return False
    names = [each.nodes[index] for index in range(each.work.pods)]
    return splits_tensor_group(each.work.kind, [Spot(name, nodes[name].hardware.label) for name in names])


def _by_product(held: Sequence[tuple[float, FleetNode]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for seconds, node in held:
        found[node.hardware.label] = found.get(node.hardware.label, 0.0) + seconds / 3600.0
    return {label: round(hours, 3) for label, hours in sorted(found.items())}


def _by_program(runs: Sequence[JobRun], end: float) -> dict[str, float]:
    """Mean wait, seconds."""
    found: dict[str, list[float]] = {}
    for each in runs:
        if each.submitted_at is not None:
            found.setdefault(each.work.kind.name, []).append(_wait(each, end))
    return {name: round(fmean(waits), 1) for name, waits in sorted(found.items())}


def _by_step(runs: Sequence[JobRun]) -> dict[str, float]:
    """Mean seconds of those that started: until all pods were there, no gate held one, the last had a node, all ran."""
    found = [steps for each in runs if (steps := _steps(each))]
    return {name: round(fmean(steps[name] for steps in found), 2) for name in _STEPS} if found else {}


def _steps(each: JobRun) -> dict[str, float] | None:
    moments = [each.submitted_at, each.complete_at, each.open_at, max(each.bound_at.values(), default=None)]
    known = [moment for moment in (*moments, each.started_at) if moment is not None]
    if len(known) < len(_STEPS) + 1:
        return None
    return {name: round(after - before, 2) for name, before, after in zip(_STEPS, known, known[1:], strict=False)}


def _slowest(runs: Sequence[JobRun]) -> list[dict[str, Any]]:
    """The tenth that waited longest: what a p95 is made of."""
    waited = sorted((each for each in runs if _steps(each)), key=lambda each: -(each.wait_seconds or 0.0))
    return [
        {
            "job": each.work.name,
            "program": each.work.kind.name,
            "at": round(each.submitted_at or 0.0, 1),
            "wait": round(each.wait_seconds or 0.0, 2),
            "nodes": len(set(each.nodes.values())),
            **(_steps(each) or {}),
        }
        for each in waited[: max(1, len(runs) // 10)]
    ]
