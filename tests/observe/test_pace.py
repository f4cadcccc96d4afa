"""From readings of steps to one pace: properties that no log may break."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.pace import steady
from mfu.observe.steps import RunShape, StepReading

SHAPE = RunShape(gpus=8, sequence_length=4096, global_batch=64, micro_batch=2, data_ranks=8)
TOKENS = 64 * 4096


def readings(seconds: list[float]) -> list[StepReading]:
    return [StepReading(step=float(number), seconds=each) for number, each in enumerate(seconds, start=1)]


def test_the_worked_example() -> None:
    found = [*readings([9.0, 1.0, 1.0, 1.0]), StepReading(step=5.0, seconds=6.0, after_pause=True)]
    pace = steady(found, SHAPE)
    assert (pace.tokens_per_s, pace.step_seconds) == (TOKENS, 1.0)
    assert (pace.warm_up, pace.pauses, pace.steps) == (1, 1, 3)


@given(st.floats(0.05, 50.0), st.integers(10, 60), st.integers(0, 3), st.floats(1.2, 30.0), st.integers(0, 2**32 - 1))
def test_warm_up_and_rare_pauses_never_move_the_pace(
    step: float, count: int, warm: int, slower: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    found = readings([*([step * slower] * warm), *(step * draw.uniform(0.99, 1.01, count)).tolist()])
    at = int(draw.integers(warm + 1, len(found)))
    found[at] = replace(found[at], seconds=step * slower, after_pause=True)
    assert steady(found, SHAPE).step_seconds == pytest.approx(step, rel=0.02)


@given(st.permutations(readings([1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0])))
def test_order_does_not_matter(found: list[StepReading]) -> None:
    assert steady(found, SHAPE).step_seconds == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("reading", "tokens_per_s"),
    [
        (StepReading(step=1, tokens_per_s=5e5), 5e5),
        (StepReading(step=1, tokens_per_s_per_gpu=5e4), 4e5),
        (StepReading(step=1, samples_per_s=100.0), 409_600.0),
        (StepReading(step=1, samples_per_s_per_gpu=10.0), 327_680.0),
        (StepReading(step=1, seconds=2.0), TOKENS / 2),
        (StepReading(micro_step=1, micro_seconds=0.5), TOKENS / 2),
        (StepReading(step=1, seconds=2.0, sequences=32.0), TOKENS / 4),
        (StepReading(step=1, seconds=2.0, sequence_length=2048.0), TOKENS / 4),
    ],
)
def test_every_kind_of_number_becomes_tokens_of_all_gpus(reading: StepReading, tokens_per_s: float) -> None:
    assert steady([reading], SHAPE).tokens_per_s == pytest.approx(tokens_per_s)


def test_a_batch_that_ramps_up_counts_by_its_last_size() -> None:
    found = [StepReading(step=float(n), seconds=1.0, sequences=16.0 if n < 10 else 64.0) for n in range(20)]
    assert steady(found, SHAPE).tokens_per_s == pytest.approx(TOKENS)


def test_a_batch_is_counted_where_samples_and_steps_are() -> None:
    found = [StepReading(step=10.0 * n, seconds=1.0, samples=2560.0 * n) for n in range(1, 8)]
    assert steady(found, SHAPE).tokens_per_s == pytest.approx(256 * 4096)


def test_clocks_of_whole_seconds_are_read_over_many_steps() -> None:
    found = [StepReading(step=float(n), clock_seconds=float(int(0.7 * n))) for n in range(400)]
    assert steady(found, SHAPE).step_seconds == pytest.approx(0.7, rel=0.02)


def test_a_restart_between_lines_is_no_step() -> None:
    before = [StepReading(step=float(n), clock_seconds=2.0 * n + 0.5) for n in range(50)]
    after = [StepReading(step=float(n), clock_seconds=2.0 * n + 5000.5) for n in range(40, 90)]
    assert steady([*before, *after], SHAPE).step_seconds == pytest.approx(2.0)


def test_milliseconds_called_seconds_are_found_out_by_the_clock() -> None:
    """DeepSpeed pull request 1934: `iter time (s)` held milliseconds."""
    found = [StepReading(step=10.0 * n, seconds=1230.0, samples_per_s=0.052, clock_seconds=12.3 * n) for n in range(9)]
    assert steady(found, SHAPE).step_seconds == pytest.approx(1.23)


def test_a_slow_first_step_does_not_make_the_clock_doubtful() -> None:
    found = [
        StepReading(step=1.0, seconds=90.0, clock_seconds=0.5),
        StepReading(step=10.0, seconds=2.0, clock_seconds=18.5),
    ]
    assert steady(found, SHAPE).step_seconds == pytest.approx(2.0)


def test_nothing_is_unknown_and_says_so() -> None:
    pace = steady([], SHAPE)
    assert (pace.tokens_per_s, pace.step_seconds, pace.steps) == (None, None, 0)
    assert set(pace.why) == {"step_seconds", "tokens_per_second", "mfu"}
    only_flops = steady([StepReading(step=1, flops_per_s_per_gpu=4e14)], SHAPE)
    assert only_flops.flops_per_s_per_gpu == 4e14 and "mfu" not in only_flops.why
