"""What each replica does, from its own counters; nothing where one of them does not tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.engine.usefulness import uses
from mfu.observe.readings import METRICS, Counter, ProgressReading, WorkloadSeries
from tests.builders.scenes import NOW, pod


def told(name: str, per_second: float, *, total: bool = False) -> list[ProgressReading]:
    return [
        ProgressReading(
            "team-a", name, "vllm", NOW - 60.0 + at, {Counter.DECODE_TOKENS: per_second * at}, scope_total=total
        )
        for at in (0.0, 15.0, 30.0, 45.0, 60.0)
    ]


def series(*readings: ProgressReading) -> WorkloadSeries:
    ordered = tuple(sorted(readings, key=lambda each: each.observed_at))
    return WorkloadSeries((), np.empty(0), np.empty((0, 0, METRICS)), 15.0, ordered)


PODS = tuple(pod(name, "a", node="n0") for name in ("a-0", "a-1"))


def test_each_by_its_own_tokens() -> None:
    found = uses(series(*told("a-0", 40.0), *told("a-1", 2.0)), PODS)
    assert [(each.name, round(each.tokens_per_s)) for each in found] == [("a-0", 40), ("a-1", 2)]
    waiting = replace(PODS[1], node=None)
    assert [each.name for each in uses(series(*told("a-0", 40.0)), (PODS[0], waiting))] == ["a-0"]


def test_where_one_does_not_tell_nobody_knows_who_does_least() -> None:
    assert uses(None, PODS) == uses(series(), PODS) == ()
    assert uses(series(*told("a-0", 40.0)), PODS) == ()
    assert uses(series(*told("a-0", 40.0, total=True), *told("a-1", 2.0, total=True)), PODS) == ()
