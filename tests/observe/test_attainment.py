"""How much of what was answered came in time: over pods, restarts, and another limit."""

from __future__ import annotations

import pytest

from mfu.api.workload_status import LatencyObjective
from mfu.observe.attainment import attained
from mfu.observe.readings import Counter, Gauge, ProgressReading

NOW = 10_000.0


def reading(at: float, timed: float, in_time: float, *, pod: str = "p0", limit: float = 0.2) -> ProgressReading:
    counters = {Counter.FIRST_TOKENS_TIMED: timed, Counter.FIRST_TOKENS_IN_TIME: in_time}
    gauges = {Gauge.FIRST_TOKEN_LIMIT_SECONDS: limit}
    return ProgressReading("team", pod, "vLLM", NOW + at, counters, gauges)


def share(*readings: ProgressReading) -> float | None:
    return attained(readings, LatencyObjective.TTFT, 0.2, now=NOW).share


def test_pods_are_added_up() -> None:
    found = attained(
        (
            reading(-300, 1000, 900),
            reading(0, 1400, 1292),
            reading(-300, 0, 0, pod="p1"),
            reading(0, 100, 83, pod="p1"),
        ),
        LatencyObjective.TTFT,
        0.2,
        now=NOW,
    )
    assert (found.share, found.timed, found.kept) == (0.95, 500.0, True)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((), None),
        ((reading(0, 500, 400),), None),
        ((reading(-60, 0, 0), reading(0, 19, 19)), None),
        ((reading(-700, 0, 0), reading(0, 500, 400)), None),
        ((reading(-90, 900, 900), reading(-60, 10, 5), reading(0, 110, 95)), 0.9),
        ((reading(-90, 0, 0), reading(-60, 100, 0, limit=0.01), reading(-30, 200, 190), reading(0, 300, 280)), 14 / 15),
        ((reading(-60, 0, 0), reading(0, 100, 130)), 1.0),
    ],
    ids=["nothing", "one reading", "too few", "too old", "a restart", "another limit", "more than all"],
)  # fmt: skip
def test_share_of_the_last_ten_minutes(readings: tuple[ProgressReading, ...], expected: float | None) -> None:
    assert share(*readings) == (expected if expected is None else pytest.approx(expected))


def test_the_other_objective_is_not_known_by_this_one() -> None:
    known = (reading(-60, 0, 0), reading(0, 100, 99))
    found = attained(known, LatencyObjective.TPOT, 0.2, now=NOW)
    assert (found.share, found.kept) == (None, None)
