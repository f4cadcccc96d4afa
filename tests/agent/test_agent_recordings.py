"""Runs that the agent recorded on an H100 and an H200 (e2e/recordings): both meters against the counted truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from e2e.recordings.shape import Shape
from mfu.api.workload_status import Meter
from mfu.cli.diagnose import diagnosis
from mfu.cli.recorded_run import placement_of, setup_of
from mfu.observe.assess import Hints, assess
from mfu.observe.assessment import Window
from mfu.observe.readings import ProgressReading
from mfu.telemetry.pods.progress import REPORT_COUNTERS
from mfu.telemetry.recorded import Trace, load

FOLDER = Path(__file__).parents[2] / "e2e" / "recordings"
RUNS = [(gpu, run) for gpu in ("h100", "h200") for run in ("healthy", "starved", "recompute", "small-batch")]
POINTS = 0.03
"""What the two meters may differ from the truth."""


@lru_cache
def traces(gpu: str) -> dict[str, Trace]:
    return {trace.scenario: trace for trace in load(FOLDER / f"{gpu}.jsonl")}


def shape(trace: Trace) -> Shape:
    return Shape(**{name: trace.facts[name] for name in Shape.__slots__})


@lru_cache
def meters(gpu: str, run: str) -> dict[Meter, float]:
    """MFU since the start by each meter: the agent's readings, and what a scrape of `mfu.report` gave."""
    trace = traces(gpu)[run]
    progress = tuple(
        ProgressReading(
            "recorded",
            "recorded",
            "report",
            scrape["t"],
            {counter: float(scrape[name]) for name, counter in REPORT_COUNTERS.items() if name in scrape},
            scope_total=True,
        )
        for scrape in trace.facts["progress"]
    )
    series = replace(trace.series, progress=progress)
    setup, placement = setup_of(trace.facts), placement_of(trace.facts, series)
    found = assess(setup, placement, series=series, now=float(series.times[-1]), hints=Hints(window=Window.START))
    return {each.meter: each.mfu for each in found.observations if each.window is Window.START and each.mfu is not None}


@pytest.mark.parametrize(("gpu", "run"), RUNS)
@pytest.mark.parametrize("meter", [Meter.PROGRESS, Meter.COUNTERS])
def test_meter_agrees_with_the_counted_truth(gpu: str, run: str, meter: Meter) -> None:
    assert meters(gpu, run)[meter] == pytest.approx(traces(gpu)[run].facts["mfu"], abs=POINTS)


@pytest.mark.parametrize(("gpu", "run"), RUNS)
def test_the_planted_cause_is_named(gpu: str, run: str) -> None:
    trace = traces(gpu)[run]
    assert diagnosis(trace)["cause"] == trace.facts["truth"]


@pytest.mark.parametrize("number", [0, 1], ids=["h100", "h200"])
def test_an_idle_gpu_shows_nothing_at_work(number: int) -> None:
    assert diagnosis(list(load(FOLDER / "idle.jsonl"))[number])["mfu_counters"] in (None, 0.0)


@pytest.mark.parametrize(("gpu", "run"), RUNS)
def test_the_truth_is_counted_by_the_formula(gpu: str, run: str) -> None:
    facts = traces(gpu)[run].facts
    assert facts["flops_per_step_per_gpu"] == shape(traces(gpu)[run]).flops_per_step
    assert facts["mfu"] == pytest.approx(facts["flops_per_step_per_gpu"] * facts["steps"] / facts["seconds"] / 989.4e12)


@pytest.mark.parametrize(("gpu", "run"), RUNS)
def test_the_reporter_counted_every_step(gpu: str, run: str) -> None:
    facts = traces(gpu)[run].facts
    assert facts["reported"]["train_steps_total"] == facts["steps"]
    assert facts["reported"]["train_tokens_total"] == facts["steps"] * shape(traces(gpu)[run]).tokens_per_step


def test_formula_gives_the_figure_of_the_shared_healthy_trace() -> None:
    known = Shape(layers=24, hidden=2048, heads=16, ffn=8192, vocab=50304, micro_batch=12, seq_len=2048)
    assert known.flops_per_step == 208155590000640
