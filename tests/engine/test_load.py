"""What arrives at a serving workload: a table of readings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.decide.types import Load
from mfu.engine.demand import load_of
from mfu.observe.readings import Counter, Gauge, ProgressReading, WorkloadSeries
from mfu.predict.types import Inference, Parallelism, Phase, Precisions
from tests.builders.readings import GPT, job, recent, table

MIXED = Inference(GPT, Precisions(), Phase.MIXED, 512, 128, 16, Parallelism())
PREFILL = replace(MIXED, phase=Phase.PREFILL)
BLIND = recent(table(60))


def reading(
    at: float, written: float, *, pod: str = "p", read: float | None = None, total: bool = False, **gauges: float
) -> ProgressReading:
    counters = {Counter.DECODE_TOKENS: written} | ({} if read is None else {Counter.PREFILL_TOKENS: read})
    named = {Gauge[name.upper() + "_REQUESTS"]: value for name, value in gauges.items()}
    return ProgressReading("ns", pod, "vLLM", at, counters, named, total)


def seen(*readings: ProgressReading) -> WorkloadSeries:
    return replace(BLIND, progress=tuple(sorted(readings, key=lambda each: each.observed_at)))


def run(pod: str = "p", *, rate: float = 100.0, total: bool = False, running: float = 4.0) -> list[ProgressReading]:
    """A minute of a pod."""
    return [reading(at, rate * at, pod=pod, total=total, running=running) for at in range(0, 61, 10)]


CASES: dict[str, tuple[WorkloadSeries | None, Inference, Load]] = {
    "nothing is read": (None, MIXED, Load()),
    "nothing is reported": (BLIND, MIXED, Load()),
    "output tokens": (seen(*run()), MIXED, Load(100.0, 4.0)),
    "two pods are added up": (seen(*run("a"), *run("b", rate=50.0, running=2.0)), MIXED, Load(150.0, 6.0)),
    "each pod reports the whole": (seen(*run("a", total=True), *run("b", total=True)), MIXED, Load(100.0, 4.0)),
    "prompt tokens beside them": (
        seen(*(reading(at, at, read=300.0 * at) for at in range(0, 61, 10))),
        PREFILL,
        Load(1.0, input_tokens_per_s=300.0),
    ),
    "prompt tokens are not output tokens": (seen(*run(running=1.0)), PREFILL, Load(100.0, 1.0)),
    "what came ten minutes ago is over": (
        seen(*(reading(at, 50.0 * min(at, 600) + 100.0 * max(0, at - 600)) for at in range(0, 781, 20))),
        MIXED,
        Load(100.0),
    ),
    "one reading is no rate": (seen(reading(0, 5.0, running=2.0, waiting=3.0)), MIXED, Load(None, 2.0, 3.0)),
    "the newest gauge counts": (
        seen(*(reading(at, 10.0 * at, running=at, waiting=60 - at) for at in range(0, 61, 10))),
        MIXED,
        Load(10.0, 60.0, 0.0),
    ),
    "a restart is no loss of demand": (
        seen(*(reading(at, 100.0 * (at if at < 40 else at - 40)) for at in range(0, 81, 10))),
        MIXED,
        Load(100.0),
    ),
    "an idle engine has no load, which is known": (seen(*run(rate=0.0, running=0.0)), MIXED, Load(0.0, 0.0)),
}


def about(value: float | None) -> Any:
    return None if value is None else pytest.approx(value)


def test_pods_that_report_serve_and_their_caches_are_averaged() -> None:
    full = [replace(each, gauges={Gauge.KV_CACHE_USAGE: 0.9}) for each in run("a")]
    empty = [replace(each, gauges={Gauge.KV_CACHE_USAGE: 0.1}) for each in run("b")]
    found = load_of(seen(*full, *empty), MIXED)
    assert (found.serving, found.cache_use) == (2, pytest.approx(0.5))
    assert load_of(seen(*run(total=True)), MIXED).serving is None


@pytest.mark.parametrize("name", CASES)
def test_load(name: str) -> None:
    series, setup, want = CASES[name]
    found = load_of(series, setup)
    assert found.output_tokens_per_s == about(want.output_tokens_per_s)
    assert found.input_tokens_per_s == about(want.input_tokens_per_s)
    assert (found.running_requests, found.waiting_requests) == (want.running_requests, want.waiting_requests)


def test_training_has_no_load() -> None:
    assert load_of(seen(*run()), job()) == Load()
