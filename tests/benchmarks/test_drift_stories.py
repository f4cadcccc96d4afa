"""Planted regressions through the operator's own cycle, and quiet days: a reduced `benchmarks.bench_drift`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.bench_drift import main
from benchmarks.drift import truth
from benchmarks.drift.quiet import watched
from benchmarks.drift.truth import Planted, Story
from benchmarks.drift.watched import Alarm, jobs_of, judge, watch

STORIES = [
    Story(Planted.VERSION, 7, scatter=0.02, carried=0.3, onset=40),
    Story(Planted.SLOW_NODE, 8, scatter=0.02, carried=0.3, onset=40),
    Story(Planted.SLOW_NODE, 9, scatter=0.01, carried=0.3, onset=40, variant=1),
    Story(Planted.LOST_LINK, 10, scatter=0.02, carried=0.3, onset=40),
    Story(Planted.SCALE_OUT, 11, scatter=0.02, carried=0.3, onset=40),
    Story(Planted.PRODUCT, 12, scatter=0.02, carried=0.3, onset=40, variant=1),
]


@pytest.mark.slow
@pytest.mark.parametrize("restart", [None, 43], ids=["", "restarted"])
@pytest.mark.parametrize("story", STORIES, ids=lambda each: f"{each.planted} {each.variant}")
def test_a_planted_regression_is_found_and_classed(story: Story, restart: int | None) -> None:
    assert watch(story, restart_minute=restart).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [False, True])
def test_quiet_days_are_quiet(restarts: bool) -> None:
    assert watched(20, 2, restarts=restarts) == []


def test_the_truth_knows_nothing_of_the_search() -> None:
    """Of the product it takes the names of readings alone."""
    tree = ast.parse(Path(truth.__file__).read_text())
    taken = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module}
    assert {each for each in taken if each.startswith("mfu")} == {"mfu.observe.readings"}


RIGHT = Alarm("job", 50, "Infrastructure", "H100-SXM5", "job-n0", "", -0.08)


@pytest.mark.parametrize(
    ("alarms", "problem"),
    [
        ((), "not found"),
        ((Alarm("job", 50, "Scaling", "H100-SXM5", "job-n0", "", -0.08),), "classed Scaling"),
        ((Alarm("job", 50, "Infrastructure", "H100-SXM5", "job-n1", "", -0.08),), "placed on job-n1"),
        ((Alarm("job", 50, "Infrastructure", "A100", "job-n0", "", -0.08),), "product A100"),
        ((Alarm("job", 50, "Infrastructure", "H100-SXM5", "job-n0", "", -0.3),), "sized -30.0%"),
        ((Alarm("job", 12, "Infrastructure", "H100-SXM5", "job-n0", "", -0.08), RIGHT), "job told of at minute 12"),
        ((RIGHT, RIGHT), "told 2 times"),
    ],
)
def test_the_judge_is_strict(alarms: tuple[Alarm, ...], problem: str) -> None:
    story = Story(Planted.SLOW_NODE, 8, scatter=0.02, carried=0.3, onset=40)
    assert judge(story, (RIGHT,), jobs_of(story), restarted=False).problems == ()
    assert problem in judge(story, alarms, jobs_of(story), restarted=False).problems


@pytest.mark.slow
def test_the_bench_writes_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--each", "1", "--seeds", "7", "--workloads", "2", "--days", "1", "--into", str(tmp_path)]) == 0
    text = (tmp_path / "drift.md").read_text()
    assert "| all |  | 5 of 5 | 5 of 5 |" in text
    assert "restarted in the middle; alarms: 0" in text
    assert (tmp_path / "results" / "drift.json").stat().st_size > 1000
