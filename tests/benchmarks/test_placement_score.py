"""What a run came to: money for held GPUs, FLOPs as they are done, waits, gangs that got stuck; and who is ahead."""

from __future__ import annotations

from typing import Any, cast

import pytest

from benchmarks.placement.contenders import Contender
from benchmarks.placement.drive import Drive, JobRun
from benchmarks.placement.fleet import FleetNode
from benchmarks.placement.score import score
from benchmarks.placement.table import summary, table
from benchmarks.placement.work import Work
from benchmarks.placement_truth import HARDWARE, KINDS, Truth

NODES = {name: FleetNode(name, HARDWARE["NVIDIA-A100-SXM4-80GB"], 8, "leaf-0") for name in ("a", "b")}
PEAK = 312e12


def job(name: str, *, bound: dict[int, float], started: float | None, ended: float | None, rate: float) -> JobRun:
    """Two pods of one GPU that arrive at once."""
    made = JobRun(Work(name, KINDS["ddp"], 0.0, rate * 100.0), submitted_at=0.0, bound_at=bound)
    made.nodes = {index: "ab"[index] for index in bound}
    made.started_at, made.ended_at, made.flops_per_s = started, ended, rate
    return made


def played(*runs: JobRun, end: float) -> dict[str, Any]:
    by_name = {each.work.name: each for each in runs}
    drive = Drive(Contender.DEFAULT, cast(Any, None), NODES, Truth(1), by_name, 480.0, now=end)
    return score(drive)


def test_gpus_are_paid_from_when_they_are_bound() -> None:
    """Bound at 10 and 40, both run from 40 to 140: 230 GPU-seconds for 200 of use."""
    rate = 0.4 * 2 * PEAK
    found = played(job("a", bound={0: 10.0, 1: 40.0}, started=40.0, ended=140.0, rate=rate), end=200.0)
    assert found["gpu_hours"] == pytest.approx(230 / 3600, abs=1e-3)
    assert found["mean_mfu"] == pytest.approx(0.4 * 200 / 230, abs=1e-4)
    dollars = 230 / 3600 * 1.79
    assert found["cost_per_useful_pflop"] == pytest.approx(dollars / (rate * 100 / 1e15), abs=1e-8)
    assert (found["wait_mean"], found["deadlocked_gangs"]) == (40.0, 0)


def test_a_gang_without_its_last_pod_pays_does_nothing_and_counts_as_stuck() -> None:
    rate = 0.4 * 2 * PEAK
    runs = job("a", bound={0: 0.0, 1: 0.0}, started=0.0, ended=100.0, rate=rate)
    stuck = job("b", bound={0: 20.0}, started=None, ended=None, rate=rate)
    found = played(runs, stuck, end=100.0)
    assert (found["deadlocked_gangs"], found["jobs_ended"]) == (1, 1)
    assert found["gpu_hours"] == pytest.approx(280 / 3600, abs=1e-3)
    assert found["wait_mean"] == 50.0, "who never ran waited until the end"


def test_what_is_cut_counts_for_what_it_did() -> None:
    rate = 0.4 * 2 * PEAK
    found = played(job("a", bound={0: 0.0, 1: 0.0}, started=0.0, ended=None, rate=rate), end=50.0)
    assert found["useful_pflop"] == round(rate * 50 / 1e15)
    assert found["mean_mfu"] == pytest.approx(0.4, abs=1e-4)


def figures(contender: str, seed: int, cost: float, wait: float) -> dict[str, Any]:
    found = played(job("a", bound={0: 0.0, 1: 0.0}, started=0.0, ended=100.0, rate=PEAK), end=100.0)
    told = {"contender": contender, "seed": seed, "cost_per_useful_pflop": cost, "load_average_before": 0.1}
    return {**found, **told, "wait_mean": wait, "wait_p95": 2 * wait}


def test_the_seed_that_is_worst_for_ours_stands_on_top() -> None:
    costs = {1: (1.5, 1.2, 1.0), 2: (1.4, 1.3, 1.2)}
    runs = [
        figures(contender, seed, cost, 3.0)
        for seed, row in costs.items()
        for contender, cost in zip(("default", "kueue", "ours"), row, strict=True)
    ]
    document = summary(runs[::-1])
    assert document["advantage"]["worst"]["seed"] == 2
    assert document["advantage"]["worst"]["useful_flops_per_dollar"] == pytest.approx(1.3 / 1.2 - 1, abs=1e-3)
    assert document["advantage"]["worst"]["wait_mean_ratio"] == 1.0
    assert [document[name]["seed"] for name in ("default", "kueue", "ours")] == [2, 2, 2]
    assert "seed 1: +20.0% useful FLOPs per $" in table(document)


def test_nothing_is_claimed_before_all_three_ran() -> None:
    document = summary([figures("kueue", 1, 1.2, 3.0), figures("ours", 1, 1.0, 3.0)])
    assert set(document) == {"runs"}
    assert "nothing is said of which is ahead" in table(document)
