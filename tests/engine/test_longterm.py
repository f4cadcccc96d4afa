"""The hour and the start from minutes: hand-counted windows, holes, and what no sequence of minutes breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.workload_status import Meter
from mfu.engine.history.longterm import MOST_BINS, LongTerm, extended, take
from mfu.observe.assessment import Assessment, Observation, TelemetryState, Window
from tests.builders.scenes import NOW, STEADY


def minute(
    mfu: float | None, *, coverage: float = 1.0, mbu: float | None = None, window: Window = Window.MINUTE
) -> Observation:
    """Reference MFU is half of it (a job in FP8), tokens 10,000 times."""
    half, tokens = (None, None) if mfu is None else (mfu / 2, 1e4 * mfu)
    low, high = (None, None) if mfu is None else (mfu * 0.9, mfu * 1.1)
    return Observation(
        window, Meter.PROGRESS, mfu, half, mbu, low, high, coverage, "test", NOW, 0.9, tokens_per_s_per_gpu=tokens
    )


def minutes(levels: Sequence[float | None], *, coverage: float = 1.0, start: float = NOW) -> tuple[LongTerm, float]:
    """One a minute, the first ending at `start` + 60 s; and the time of the last."""
    memory, now = LongTerm(), start
    for level in levels:
        now += 60.0
        memory = take(memory, minute(level, coverage=coverage), now)
    return memory, now


def windows(memory: LongTerm, now: float, latest: float = 0.4) -> dict[Window, Observation]:
    observations = tuple(minute(latest, window=window) for window in Window)
    whole = extended(Assessment(observations, state=TelemetryState.OK), {Meter.PROGRESS: memory}, now)
    return {each.window: each for each in whole.observations}


def test_half_an_hour_at_two_levels() -> None:
    memory, now = minutes([0.2] * 15 + [0.4] * 15)
    found = windows(memory, now)
    for window in (Window.HOUR, Window.START):
        assert found[window].mfu == pytest.approx(0.3)
        assert found[window].reference_mfu == pytest.approx(0.15)
        assert found[window].tokens_per_s_per_gpu == pytest.approx(3000.0)
        assert found[window].coverage == pytest.approx(1.0)
    assert (found[Window.MINUTE].mfu, found[Window.TEN_MINUTES].mfu) == (0.4, 0.4)


def test_the_band_holds_the_meter_s_doubt_and_the_scatter_of_minutes() -> None:
    """A tenth of 0.3, and two standard errors of thirty minutes with a variance of 0.01: √(0.03² + 4 · 0.01 / 30)."""
    memory, now = minutes([0.2] * 15 + [0.4] * 15)
    found = windows(memory, now)
    for window in (Window.HOUR, Window.START):
        assert found[window].low == pytest.approx(0.3 - 0.04726, abs=1e-4)
        assert found[window].high == pytest.approx(0.3 + 0.04726, abs=1e-4)


def test_two_hours_leave_the_hour_to_the_last_sixty_minutes() -> None:
    memory, now = minutes([0.1] * 60 + [0.5] * 60)
    found = windows(memory, now)
    assert len(memory.bins) == MOST_BINS
    assert found[Window.HOUR].mfu == pytest.approx(0.5)
    assert found[Window.START].mfu == pytest.approx(0.3)
    assert found[Window.START].coverage == pytest.approx(1.0)


def test_holes_are_no_zeros_but_coverage_tells() -> None:
    memory, now = minutes([0.4] * 15 + [None] * 15 + [0.4] * 10)
    found = windows(memory, now)
    assert found[Window.HOUR].mfu == pytest.approx(0.4)
    assert found[Window.HOUR].coverage == pytest.approx(25 / 40)
    assert found[Window.START].coverage == pytest.approx(25 / 40)


def test_half_covered_minutes_count_half() -> None:
    memory, now = minutes([0.4] * 30, coverage=0.5)
    assert windows(memory, now)[Window.HOUR].coverage == pytest.approx(0.5)


def test_minutes_older_than_an_hour_are_not_in_the_hour() -> None:
    memory, _ = minutes([0.1] * 20)
    later = NOW + 2 * 3600.0
    for number in range(5):
        memory = take(memory, minute(0.5), later + 60.0 * number)
    found = windows(memory, later + 240.0)
    assert found[Window.HOUR].mfu == pytest.approx(0.5)
    assert found[Window.HOUR].coverage == pytest.approx(5 / 60)
    assert found[Window.START].mfu == pytest.approx((20 * 0.1 + 5 * 0.5) / 25)


def test_ten_minutes_of_telemetry_beat_ten_bins() -> None:
    memory, now = minutes([0.1] * 10)
    assert windows(memory, now)[Window.HOUR].mfu == 0.4
    memory, now = minutes([0.1] * 11)
    assert windows(memory, now)[Window.HOUR].mfu == pytest.approx(0.1)


def test_at_most_one_bin_a_minute_and_none_back_in_time() -> None:
    memory, now = minutes([0.4, 0.4])
    for moment in (now, now + 30.0, now + 59.0, now - 600.0):
        assert take(memory, minute(0.9), moment) is memory
    assert len(take(memory, minute(0.9), now + 60.0).bins) == 3
    assert take(memory, None, now + 60.0) is memory
    assert take(memory, minute(None, mbu=0.5), now + 60.0) is memory


def test_a_job_that_stands_still_now_keeps_its_hour() -> None:
    """Observed is 0 at present: the reference figure of the hour is still that of its minutes."""
    memory, now = minutes([0.4] * 30)
    found = windows(memory, now, latest=0.0)
    assert found[Window.HOUR].mfu == pytest.approx(0.4)
    assert found[Window.HOUR].reference_mfu == pytest.approx(0.2)
    assert found[Window.START].reference_mfu == pytest.approx(0.2)


def test_what_is_not_read_stays_unknown() -> None:
    memory, now = minutes([0.4] * 30)
    bare = replace(minute(0.4, window=Window.HOUR), reference_mfu=None)
    (found,) = extended(Assessment((bare,)), {Meter.PROGRESS: memory}, now).observations
    assert (found.reference_mfu, found.mbu) == (None, None)
    counters = replace(bare, meter=Meter.COUNTERS)
    assert extended(Assessment((counters,)), {Meter.PROGRESS: memory}, now).observations == (counters,)


levels = st.lists(st.one_of(st.none(), st.floats(0.0, 0.9)), min_size=0, max_size=90)


@STEADY
@given(levels)
def test_windows_lie_within_their_minutes(mine: list[float | None]) -> None:
    memory, now = minutes(mine)
    known = [each for each in mine if each is not None]
    assert len(memory.bins) == min(len(known), MOST_BINS)
    assert (memory.sums.count if memory.sums else 0) == len(known)
    found = windows(memory, now)
    for window in (Window.HOUR, Window.START):
        each = found[window]
        assert each.mfu is not None
        assert each.low is not None
        assert each.high is not None
        assert min([*known, 0.4]) - 1e-6 <= each.mfu <= max([*known, 0.4]) + 1e-6
        assert 0 <= each.low <= each.mfu + 1e-9 <= each.high + 2e-9
        assert 0 < each.coverage <= 1
    if len(known) == len(mine) > 10:
        assert found[Window.START].mfu == pytest.approx(float(np.mean(known)), abs=1e-6)
        assert found[Window.HOUR].mfu == pytest.approx(float(np.mean(known[-60:])), abs=1e-6)
