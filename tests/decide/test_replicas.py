"""The rule behind the number of replicas: worked numbers, bounds that hold always, and readings that lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.decide.replicas.demand import LoadReading, Typical, ahead
from mfu.decide.replicas.law import Equations, Law, Point, learned, measured, misfit
from mfu.decide.replicas.memory import KEPT_SECONDS, ScalingMemory
from mfu.decide.replicas.rule import WINDOW_SECONDS, Course, Sizing, Terms, size

LAW = Law(0.008, 1e-4, 2e-5)
"""At 10,000 tokens/s in and 1,000 out a replica is busy 0.3 of its time, and a token takes 11.4 ms."""
TERMS = Terms(LAW, Typical(1_000.0, 100.0), 1, 50, max_step=1.0, cooldown_seconds=0.0)


def reading(at: float, replicas: float, *, ready: int, pending: int = 0, waiting: float = 0.0) -> LoadReading:
    """`replicas` times 0.3 of work, with as many requests running as the law says."""
    share = 0.3 * replicas / max(ready, 1)
    outputs = 1_000.0 * replicas
    running = outputs * LAW.token_seconds(min(share, 0.95))
    return LoadReading(at, ready, pending, 10_000.0 * replicas, outputs, running, waiting, 0.1)


def course(loads: list[float], terms: Terms = TERMS, *, ready: int, every: float = 20.0) -> list[Sizing]:
    """The rule's answers while each of them is followed at once."""
    memory, found = ScalingMemory(), []
    for step, load in enumerate(loads):
        # A tenth of a per mille of noise: no two real pages are the same.
        one = reading(1e6 + every * step, load * (1 + 1e-5 * (step % 7)), ready=ready)
        answer, memory = size(memory, one, terms)
        found.append(answer)
        ready = answer.replicas
    return found


def test_worked_numbers() -> None:
    """Six of these are 1.8 replicas of work, ÷ 0.8 = 2.25: three. With 40 ms a token: 1 − 8 ÷ 32 = 0.75, also three."""
    assert LAW.work(10_000.0, 1_000.0) == pytest.approx(0.3)
    assert course([6.0], ready=3)[0].replicas == 3
    assert course([6.0], replace(TERMS, tpot_seconds=0.040), ready=2)[0].replicas == 3


def test_a_trend_is_followed_to_when_new_replicas_serve() -> None:
    """From 4.0 by 0.2 a minute: 6.0 in five minutes' time; noise alone promises little."""
    minutes = np.linspace(0.0, 300.0, 6)
    assert ahead(minutes, np.linspace(4.0, 5.0, 6), 300.0) == pytest.approx(6.0)
    level = np.array([4.08, 3.92] * 3)
    assert ahead(minutes, level, 300.0) < 1.1 * level[-1]


def test_headroom_is_kept_beside_what_is_seen_coming() -> None:
    """1.8 replicas of work and a third more are 2.4, ÷ 0.8: three; a half more would be four."""
    for headroom, wanted in ((0.0, 3), (0.3, 3), (0.5, 4)):
        assert course([6.0], replace(TERMS, headroom=headroom), ready=3)[0].replicas == wanted


@given(st.floats(0.5, 40.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_headroom_never_asks_for_fewer(load: float, one: float, other: float) -> None:
    few, many = (replace(TERMS, max_step=100.0, headroom=each) for each in sorted((one, other)))
    assert course([load], few, ready=50)[0].replicas <= course([load], many, ready=50)[0].replicas


def test_replicas_that_start_count() -> None:
    answer, _ = size(ScalingMemory(), reading(1e6, 6.0, ready=2, pending=1), TERMS)
    assert (answer.course, answer.replicas) == (Course.KEEP, 3)


def test_nothing_is_given_back_before_a_whole_window_has_shown_it() -> None:
    found = course([6.0] * 2 + [2.0] * 40, ready=3)
    fewer = next(step for step, each in enumerate(found) if each.course is Course.SHRINK)
    assert fewer * 20.0 >= WINDOW_SECONDS
    assert found[-1].replicas == 1
    assert f"{WINDOW_SECONDS:.0f} s" in found[5].why


def test_a_peak_within_the_window_holds() -> None:
    found = course([6.0] * 10 + [2.0] * 4 + [6.0] + [2.0] * 4, ready=3)
    assert all(each.replicas == 3 for each in found)


def test_step_and_cooldown_bound_each_change() -> None:
    bounded = replace(TERMS, max_step=0.5, cooldown_seconds=100.0)
    found = course([12.0] * 20, bounded, ready=3)
    assert [each.replicas for each in found[:12]] == [4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5]


def test_what_was_asked_for_stands_until_it_is_there() -> None:
    """An autoscaler that looks once a minute must not find the number gone; nor does waiting for it start anew."""
    slow, memory = replace(TERMS, cooldown_seconds=100.0), ScalingMemory()
    said = []
    for step in range(8):
        answer, memory = size(memory, reading(1e6 + 20.0 * step, 12.0 + step / 100, ready=3), slow)
        said.append(answer.replicas)
    assert said == [4] * 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output_tokens_per_s": None}, "not reported"),
        ({"input_tokens_per_s": None}, "not reported"),
        ({"ready": 0}, "no replica serves"),
        ({"output_tokens_per_s": 0.0, "input_tokens_per_s": 0.0}, "not one token"),
        ({"waiting": -1.0}, "below zero"),
        ({"output_tokens_per_s": 60_000.0}, "times the time"),
        ({"input_tokens_per_s": 600_000.0}, "times the time"),
    ],
)
def test_readings_that_can_not_be_freeze_the_number(change: dict[str, float | None], words: str) -> None:
    one = replace(reading(1e6, 6.0, ready=3), **change)  # type: ignore[arg-type]
    answer, memory = size(ScalingMemory(), one, TERMS)
    assert answer.course is Course.FREEZE
    assert answer.replicas == max(1, one.replicas)
    assert words in answer.why
    assert memory == ScalingMemory()


def test_a_counter_that_jumps_and_stays_does_not_run_away() -> None:
    """Half as much again for an hour: at most twice of that for some minutes, then what it asks for by itself."""
    found = course([6.0] * 20 + [9.0] * 180, ready=3)
    calm = course([9.0] * 180, ready=4)[-1].replicas
    assert max(each.replicas for each in found) <= 2 * calm
    assert found[-1].replicas == calm


def test_a_page_that_is_frozen_is_not_followed_down() -> None:
    memory, same = ScalingMemory(), reading(0.0, 2.0, ready=6)
    for step in range(60):
        answer, memory = size(memory, replace(same, at=1e6 + 20.0 * step), TERMS)
    assert answer.course is Course.FREEZE
    assert answer.replicas == 6
    assert "frozen" in answer.why


def test_a_queue_in_front_of_idle_engines_is_not_believed() -> None:
    answer, _ = size(ScalingMemory(), reading(1e6, 3.0, ready=6, waiting=1e6), TERMS)
    assert answer.replicas == 6


def test_a_queue_that_lies_at_most_doubles_what_is_served() -> None:
    honest, _ = size(ScalingMemory(), reading(1e6, 12.0, ready=6), TERMS)
    lied, _ = size(ScalingMemory(), reading(1e6, 12.0, ready=6, waiting=1e9), TERMS)
    assert honest.replicas < lied.replicas <= 2 * honest.replicas + 1


def test_readings_correct_a_law_that_was_predicted_wrong() -> None:
    truth, sums = Law(0.010, 1.4e-4, 1.5e-5), Equations()
    for step in range(60):
        inputs, outputs = 5_000.0 + 400.0 * (step % 13), 600.0 + 90.0 * (step % 7)
        point = Point(truth.token_seconds(truth.work(inputs, outputs)), outputs, inputs)
        sums = learned(sums, point, 1e6 + 20.0 * step)
    found = measured(LAW, sums)
    assert misfit(truth, point) == pytest.approx(0.0, abs=1e-9)
    assert found.work(10_000.0, 1_000.0) == pytest.approx(truth.work(10_000.0, 1_000.0), rel=0.1)
    assert abs(misfit(found, point)) < abs(misfit(LAW, point)) / 2
    assert measured(LAW, Equations()) == pytest.approx(LAW)


loads = st.lists(st.floats(0.0, 200.0), min_size=1, max_size=40)
steps = st.floats(0.05, 3.0)


@given(loads, st.integers(1, 30), steps, st.floats(0.0, 600.0))
def test_bounds_step_and_cooldown_hold_for_every_load(
    values: list[float], ready: int, max_step: float, cooldown: float
) -> None:
    terms = replace(TERMS, high=30, max_step=max_step, cooldown_seconds=cooldown)
    found = course(values, terms, ready=ready)
    before, changed_at = ready, -1e9
    for step, each in enumerate(found):
        assert 1 <= each.replicas <= 30
        assert abs(each.replicas - before) <= max(1, int(max_step * before))
        if each.replicas != before:
            assert 20.0 * step - changed_at >= cooldown or step == 0
            changed_at = 20.0 * step
        before = each.replicas


@given(st.floats(0.5, 40.0), st.floats(0.5, 40.0))
def test_more_load_never_asks_for_fewer(one: float, other: float) -> None:
    few, many = sorted((one, other))
    terms = replace(TERMS, max_step=100.0)
    assert course([few], terms, ready=50)[0].replicas <= course([many], terms, ready=50)[0].replicas


@given(st.lists(st.sampled_from([None, 0.0, 3.0, 1e12, -1.0]), min_size=4, max_size=40))
def test_whatever_is_read_memory_stays_bounded(values: list[float | None]) -> None:
    memory = ScalingMemory()
    for step, value in enumerate(values * 3):
        one = replace(reading(1e6 + 7.0 * step, 5.0, ready=4), output_tokens_per_s=value, waiting=value)
        answer, memory = size(memory, one, TERMS)
        assert 1 <= answer.replicas <= 50
        assert len(memory.samples) <= KEPT_SECONDS / 10.0 + 2
