"""The simulator behind `make bench-scaling`: what it may import, and that it reads as the measured rows do."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scaling.day import DAY_SECONDS, PEAK_WORK, Day
from benchmarks.scaling.deployment import Case, Metrics, simulate
from benchmarks.scaling.rivals import WVA, HPAOnQueue, KEDAOnTokens, average_rule
from benchmarks.scaling.service_times import KV_TOKENS, fitted, measured_rows

FOLDER = Path(__file__).parents[2] / "benchmarks" / "scaling"
LAW = fitted()
compiled = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler for the simulator's engines"
)


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda each: each.name)
def test_the_simulator_knows_nothing_of_what_it_judges(path: Path) -> None:
    """Only `ours` may: it hands the metrics to the rule."""
    ours = any(name == "mfu" or name.startswith("mfu.") for name in imported(path))
    assert ours is (path.name == "ours.py")
    assert path.name == "ours.py" or "benchmarks.scaling.ours" not in imported(path)


def test_service_times_read_as_the_rows_that_they_cite() -> None:
    rows = measured_rows()
    off = [abs(LAW.token_seconds(row) / row.seconds - 1) for row in rows]
    assert len(rows) == 30
    assert np.mean(off) < 0.05
    assert max(off) < 0.15
    assert KV_TOKENS == 467_295


class Still:
    def __init__(self) -> None:
        self.seen: list[Metrics] = []

    def replicas(self, seen: Metrics | None) -> int | None:
        assert seen is not None
        self.seen.append(seen)
        return None


def test_a_day_is_the_same_for_everyone_and_needs_more_than_twenty_replicas() -> None:
    one, same = Day(7, LAW), Day(7, LAW)
    assert all((a == b).all() for a, b in zip(one.chunk(600), same.chunk(600), strict=True))
    work = one.work()
    assert len(work) == DAY_SECONDS // 60
    assert work.reshape(-1, 10).mean(axis=1).max() == pytest.approx(PEAK_WORK)
    assert work.min() < 0.2 * PEAK_WORK, "there is a night"


@compiled
def test_too_few_replicas_break_the_promise_and_enough_keep_it() -> None:
    day = Day(1, LAW)
    at = int(np.argmax(day.work())) * 60
    begin = at // 600 * 600
    few, many = simulate([Case(day, Still(), first=each) for each in (16, 30)], LAW, seconds=240, begin=begin)
    assert few.slo_ttft < 0.95 < many.slo_ttft
    assert many.slo_tpot > 0.95
    assert few.requests == many.requests


@compiled
def test_what_goes_in_comes_out() -> None:
    """With replicas enough, tokens given are tokens asked for, and GPU-hours are replicas times time."""
    scaler, day = Still(), Day(1, LAW)
    (outcome,) = simulate([Case(day, scaler, first=30)], LAW, seconds=600, begin=36_000)
    asked = [day.chunk(each) for each in range(604, 610)]
    wanted = sum(float(each.outputs.sum()) for each in asked) / 360
    given = float(np.mean([each.output_tokens_per_s for each in scaler.seen[-17:]]))
    assert given == pytest.approx(wanted, rel=0.1)
    assert outcome.gpu_hours == pytest.approx(30 * 600 / 3600)


@compiled
def test_what_runs_beside_a_case_changes_nothing_of_it() -> None:
    """Days in step share ticks, never replicas or requests."""
    one, other = Day(1, LAW), Day(2, LAW)

    def keda() -> Case:
        return Case(one, KEDAOnTokens("all", 20_000.0, 60.0))

    (alone,) = simulate([keda()], LAW, seconds=600, begin=36_000)
    beside = simulate(
        [Case(other, Still(), first=9), keda(), Case(one, Still(), first=3)], LAW, seconds=600, begin=36_000
    )
    assert beside[1] == alone


class Telling:
    """Asks for the numbers one after the other, a cycle each, and stays at the last."""

    def __init__(self, *numbers: int | None) -> None:
        self.numbers, self.seen = list(numbers), list[Metrics]()

    def replicas(self, seen: Metrics | None) -> int | None:
        assert seen is not None
        self.seen.append(seen)
        return self.numbers.pop(0) if len(self.numbers) > 1 else self.numbers[0]


@compiled
def test_replicas_start_late_and_the_last_ones_asked_for_are_cancelled_first() -> None:
    """From 9 to 14 and, while all five start, to 11; what is beyond them drains at once and takes no more requests."""
    scaler, day = Telling(14, 11, 11, 3), Day(1, LAW)
    (outcome,) = simulate([Case(day, scaler, first=9)], LAW, seconds=600, begin=36_000)
    assert outcome.replicas[:8] == [9, 9, 9, 9, 14, 11, 11, 3]
    assert [(each.ready, each.pending) for each in scaler.seen[:4]] == [(9, 0), (9, 5), (9, 2), (9, 2)]
    assert outcome.gpu_seconds > 3 * 600, "those that drain are paid for until their answers are given"


@compiled
def test_who_is_not_served_for_a_minute_is_gone() -> None:
    """One replica for a day's load: what waits at its door is at most what came in a minute."""
    scaler, day = Telling(None), Day(1, LAW)
    (outcome,) = simulate([Case(day, scaler, first=1)], LAW, seconds=600, begin=36_000)
    a_minute = max(len(day.chunk(each).at) for each in range(600, 610))
    assert 0.5 * a_minute < scaler.seen[-1].waiting < 1.1 * a_minute + 128
    assert outcome.slo_ttft < 0.1


def seen(**fields: float) -> Metrics:
    base = Metrics(0.0, 4, 0, 40_000.0, 5_000.0, 100.0, 0.0, 0.1, 0.9, 0, 0, 0, 0)
    return base._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "per_pod", "target", "wanted"),
    [
        ({}, 0.9, 0.9, 4),
        ({}, 0.95, 0.9, 4),
        ({}, 0.9, 0.45, 8),
        ({}, 0.2, 0.4, 2),
        ({"pending": 4}, 0.9, 0.45, 8),
    ],
)
def test_the_autoscaler_counts_as_documented(
    fields: dict[str, float], per_pod: float, target: float, wanted: int
) -> None:
    """Within a tenth nothing changes; pods that start count as idle on the way up."""
    assert average_rule(seen(**fields), per_pod, target) == wanted


def test_rivals_follow_their_own_metric() -> None:
    assert KEDAOnTokens("all", 4_500.0, 0.0).replicas(seen()) == 8
    assert KEDAOnTokens("output", 1_250.0, 0.0).replicas(seen()) == 4
    assert HPAOnQueue(2.0, 0.0).replicas(seen(waiting=16.0)) == 8
    assert WVA(1, 0.0, 0.0).replicas(seen(waiting=9.0)) == 5, "2.25 a replica leave less than 3 of 5"
    assert WVA(1, 0.0, 0.0).replicas(seen(waiting=9.0, pending=1)) == 5, "one starts already"
    assert WVA(1, 0.0, 0.0).replicas(seen()) == 3
