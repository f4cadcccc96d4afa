"""Rates of reported work: restarts, coarse steps, stand-stills, totals and shares."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.progress import gauge, left_out, not_counting, rate
from mfu.observe.readings import Counter, Gauge, ProgressReading

TOKENS = Counter.TRAINED_TOKENS


def readings(points: list[tuple[float, float]], pod: str = "a", *, total: bool = False) -> list[ProgressReading]:
    return [ProgressReading("ns", pod, "test", at, {TOKENS: value}, {}, total) for at, value in points]


def per_second(found: list[ProgressReading], *, now: float = 1e9, since: float = 0.0) -> float | None:
    answer = rate(found, TOKENS, since=since, now=now)
    return None if answer is None else answer.per_second


def test_steady_counter() -> None:
    assert per_second(readings([(t, 50.0 * t) for t in range(10)])) == pytest.approx(50.0)


def test_a_restart_leaves_its_interval_out() -> None:
    assert per_second(readings([(0, 100), (10, 600), (20, 50), (30, 550)])) == pytest.approx(50.0)


@pytest.mark.parametrize("reset", range(1, 12))
def test_a_reset_anywhere_leaves_the_rate_right(reset: int) -> None:
    points = [(float(t), 40.0 * t if t < reset else 40.0 * (t - reset) + 7.0) for t in range(12)]
    assert per_second(readings(points)) == pytest.approx(40.0)


def test_a_counter_that_moves_once_a_step_is_not_read_short() -> None:
    """Steps of 7 s and 700 tokens, read every second: 100 per second wherever the window starts."""
    for start in range(7):
        points = [(float(t), 700.0 * ((t + start) // 7)) for t in range(40)]
        assert per_second(readings(points)) == pytest.approx(100.0)


def test_a_hung_job_slows_down() -> None:
    points = [(float(t), 100.0 * min(t, 10)) for t in range(60)]
    assert per_second(readings(points)) == pytest.approx(900 / 58, rel=0.02)
    found = rate(readings(points), TOKENS, since=0, now=1e9)
    assert found is not None and found.standing


def test_pods_add_up_and_totals_do_not() -> None:
    pods = readings([(0, 0), (10, 100)], "a") + readings([(0, 0), (10, 300)], "b")
    both = [ProgressReading("ns", p, "t", t, {TOKENS: v}, {}, True) for p in "ab" for t, v in ((0, 0.0), (10, 400.0))]
    assert per_second(pods) == pytest.approx(40.0)
    assert per_second(both) == pytest.approx(40.0)


@pytest.mark.parametrize("points", [[], [(0.0, 5.0)], [(0.0, 5.0), (0.2, 9.0)]])
def test_too_little_is_unknown(points: list[tuple[float, float]]) -> None:
    assert per_second(readings(points)) is None


def test_outside_the_window_is_not_seen() -> None:
    points = readings([(0, 0), (10, 1000), (20, 1010), (30, 1020)])
    assert per_second(points, since=10, now=30) == pytest.approx(1.0)


def test_gauges_come_back_in_order() -> None:
    found = [ProgressReading("n", "p", "s", float(t), {}, {Gauge.RUNNING_REQUESTS: float(t)}) for t in range(5)]
    assert gauge(found, Gauge.RUNNING_REQUESTS, since=1, now=3) == (1.0, 2.0, 3.0)


@given(st.lists(st.tuples(st.floats(0.5, 10), st.floats(0, 1e6)), min_size=1, max_size=20))
def test_rates_are_never_negative(steps: list[tuple[float, float]]) -> None:
    at, points = 0.0, []
    for gap, value in steps:
        at += gap
        points.append((at, value))
    found = per_second(readings(points))
    assert found is None or found >= 0


def test_a_counter_restored_higher_than_before_is_a_new_life() -> None:
    """66.7 per second before and after; the leap of 5e9 between is a checkpoint's, not the GPUs'."""
    points = [(15.0 * k, (1e6 if k < 10 else 5e9) + 1000 * k) for k in range(20)]
    assert per_second(readings(points)) == pytest.approx(1000 / 15)


@given(st.integers(5, 14), st.floats(1e4, 1e15), st.floats(0.0, 0.2))
def test_any_leap_anywhere_leaves_the_rate_right(at: int, leap: float, noise: float) -> None:
    points = [(15.0 * k, (leap if k >= at else 0.0) + 1000 * k * (1 + noise * (k % 2) / 40)) for k in range(20)]
    assert per_second(readings(points)) == pytest.approx(1000 / 15, rel=0.25)


def test_a_restore_is_said() -> None:
    points = [(15.0 * k, (1e6 if k < 10 else 5e9) + 1000 * k) for k in range(20)]
    assert "ns/a was restored to a higher count" in left_out(readings(points), now=1e9)
    assert left_out(readings(points[:9]), now=1e9) == ""


@pytest.mark.parametrize("seen", [2, 3, 4])
def test_a_leap_among_few_readings_is_no_number(seen: int) -> None:
    """Which of two moves was the work can not be told from two."""
    points = [(15.0 * k, (0.0 if k < 2 else 5e9) + 1000 * k) for k in range(seen)]
    assert per_second(readings(points)) == (pytest.approx(1000 / 15) if seen == 2 else None)


def test_the_minute_of_a_leap_knows_what_was_usual_before() -> None:
    points = [(15.0 * k, (1e6 if k < 17 else 5e9) + 1000 * k) for k in range(20)]
    assert per_second(readings(points), since=225.0, now=285.0) == pytest.approx(1000 / 15)


def test_a_page_that_stood_still_and_catches_up_has_worked() -> None:
    """Its exporter hung for five readings; nothing of the work is left out."""
    points = [(15.0 * k, 1000.0 * (k if not 8 <= k < 13 else 8)) for k in range(20)]
    assert per_second(readings(points)) == pytest.approx(1000 / 15, rel=0.01)


@given(st.floats(5, 60), st.lists(st.floats(0.5, 30), min_size=8, max_size=40))
def test_steady_steps_never_look_like_leaps(step_seconds: float, gaps: list[float]) -> None:
    """However unevenly the page is read."""
    at, points = 0.0, []
    for gap in gaps:
        at += gap
        points.append((at, 500.0 * (at // step_seconds)))
    assert left_out(readings(points), now=1e9) == ""


def test_a_shallow_fall_among_few_readings_is_no_number() -> None:
    """A gauge, or a return to a checkpoint: five readings later it is known."""
    points = [(0.0, 100.0), (15.0, 103.0), (30.0, 99.0), (45.0, 102.0)]
    assert per_second(readings(points)) is None
    assert per_second(readings([(0.0, 100.0), (15.0, 103.0), (30.0, 3.0), (45.0, 6.0)])) == pytest.approx(0.2)


def test_a_return_to_a_checkpoint_just_before_is_a_restart() -> None:
    points, value = [], 1e6
    for k in range(20):
        value += 100 if k != 10 else -4900
        points.append((15.0 * k, value))
    assert per_second(readings(points)) == pytest.approx(100 / 15)


@given(st.lists(st.floats(97e3, 103e3), min_size=20, max_size=60, unique=True))
def test_a_gauge_is_no_counter(values: list[float]) -> None:
    told = readings([(15.0 * k, value) for k, value in enumerate(values)])
    falls = sum(b < a for a, b in pairwise(values))
    if falls < 2 or falls <= 0.2 * (len(values) - 1):
        return
    assert per_second(told) is None
    assert "falls again and again" in not_counting(told, now=1e9)


def test_a_service_may_do_much_more_for_once() -> None:
    served = [
        ProgressReading("n", "p", "s", 15.0 * k, {Counter.PREFILL_TOKENS: 100.0 * k + (1e5 if k > 5 else 0.0)})
        for k in range(12)
    ]
    found = rate(served, Counter.PREFILL_TOKENS, since=0, now=1e9)
    assert found is not None and found.per_second > 500
