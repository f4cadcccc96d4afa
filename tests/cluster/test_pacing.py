"""When an object may be written again: tables in plain seconds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.cluster.pacing import ECHO_SECONDS, Attempts, Pace


def test_failures_wait_longer_each_time_up_to_five_minutes() -> None:
    attempts, now, waits = Attempts(), 0.0, []
    for _ in range(9):
        waits.append(attempts.failed("a", "x", now))
        now += waits[-1]
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(
    ("digest", "at", "held"),
    [("x", 4.9, True), ("another body", 4.9, True), ("x", 5.0, False), ("another body", 5.0, False)],
)
def test_a_failure_holds_back_every_body(digest: str, at: float, held: bool) -> None:
    attempts = Attempts()
    attempts.failed("a", "x", 0.0)
    assert attempts.held_back("a", digest, at) is held
    assert not attempts.held_back("b", digest, at)


@pytest.mark.parametrize(("digest", "at", "held"), [("x", 9.9, True), ("another body", 0.1, False), ("x", 10, False)])
def test_success_holds_back_the_same_body_alone(digest: str, at: float, held: bool) -> None:
    attempts = Attempts()
    attempts.succeeded("a", "x", 0.0)
    assert attempts.held_back("a", digest, at) is held


def test_a_fight_over_one_object_slows_down() -> None:
    """Somebody undoes what we write: ten seconds, twenty … and no more than every five minutes."""
    attempts, now, gaps = Attempts(), 0.0, []
    for _ in range(8):
        attempts.succeeded("a", "x", now)
        gap = next(step for step in range(1, 400) if not attempts.held_back("a", "x", now + step))
        gaps.append(gap)
        now += gap
    assert gaps == [10, 20, 40, 80, 160, 300, 300, 300]


def test_success_after_failure_starts_afresh() -> None:
    attempts = Attempts()
    for at in (0.0, 5.0, 15.0):
        attempts.failed("a", "x", at)
    attempts.succeeded("a", "x", 35.0)
    assert attempts.failed("a", "y", 60.0) == 5


def test_what_is_gone_is_forgotten() -> None:
    attempts = Attempts()
    attempts.failed("a", "x", 0.0)
    attempts.succeeded("b", "x", 200.0)
    attempts.forget(400.0)
    assert len(attempts) == 1


@settings(deadline=None)
@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_the_pace_is_kept_whatever_the_arrivals(gaps: list[float]) -> None:
    """50 a second: in any window no more than a second's worth at once and the rate beyond it."""
    pace, now, starts = Pace(50.0), 100.0, []
    for gap in gaps:
        now += gap
        starts.append(now + pace.delay(now))
    for first, at in enumerate(starts):
        assert sum(1 for each in starts[first:] if each <= at + 1.0) <= 101


def test_what_was_tried_long_ago_needs_no_closer_look() -> None:
    attempts = Attempts()
    assert not attempts.waits("a", 0.0)
    attempts.succeeded("a", "x", 0.0)
    assert attempts.waits("a", ECHO_SECONDS - 1.0)
    assert not attempts.waits("a", ECHO_SECONDS)
