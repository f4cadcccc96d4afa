"""The shadow over a week of planted demand: it gains hours, and next to nothing of it would have had no room."""

from __future__ import annotations

from math import cos, pi
from random import Random

import pytest

from mfu.decide.fleet.oversubscription import (
    HOUR,
    PeakHour,
    ShadowBounds,
    ShadowMemory,
    ShadowRequest,
    ask,
    passed,
    worst_ahead,
)

CAPACITY, STEP = 1000.0, 300.0
BOUNDS = ShadowBounds(CAPACITY, {"batch": 1.5})


def used(at: float, chance: Random, *, growth: float = 0.0) -> float:
    """All GPUs are held; 45 to 70 % of them work, by the time of day, with noise and a slow growth."""
    day = at / 86_400
    level = 0.575 - 0.125 * cos(2 * pi * day) + growth * day
    return CAPACITY * min(1.0, max(0.0, level + chance.gauss(0.0, 0.015)))


def week(seed: int, *, growth: float = 0.0) -> ShadowMemory:
    """Every ten minutes somebody asks for 8 to 64 GPUs for one to twelve hours."""
    chance, memory = Random(seed), ShadowMemory()
    for step in range(int(7 * 86_400 / STEP)):
        now = STEP * (step + 1)
        memory = passed(memory, now, used(now, chance, growth=growth), STEP, BOUNDS)
        if step % 2 == 0:
            gpus, hours = chance.choice((8, 16, 32, 64)), chance.choice((1, 2, 4, 12))
            promised = CAPACITY + sum(each.gpus for each in memory.running)
            _, memory = ask(memory, now, ShadowRequest("batch", gpus, hours * HOUR, promised), BOUNDS)
    return memory


@pytest.mark.parametrize(("seed", "growth"), [(1, 0.0), (2, 0.0), (3, 0.01), (4, -0.01)])
def test_a_planted_week_gains_and_hardly_ever_exceeds(seed: int, growth: float) -> None:
    memory = week(seed, growth=growth)
    assert memory.admitted > 100
    assert memory.exceeded_share is not None
    assert memory.exceeded_share <= 0.01
    assert memory.gpu_hours_gained > 0.10 * CAPACITY * 24 * 6, "a tenth of six days"
    assert len(memory.hours) <= 168


def test_nothing_is_let_in_before_a_day_is_known() -> None:
    memory = passed(ShadowMemory(), 100.0, 10.0, 100.0, BOUNDS)
    answer, same = ask(memory, 100.0, ShadowRequest("batch", 8, HOUR, 0.0), BOUNDS)
    assert not answer.admits
    assert "hours of use are known" in answer.why
    assert same == memory


def day(level: float = 500.0) -> ShadowMemory:
    return ShadowMemory(hours=tuple(PeakHour(HOUR * each, level) for each in range(30)))


def test_worked_room() -> None:
    """500 of 1,000 were in use at worst, every hour the same: 3 % of margin, so 470 fit."""
    now = 30 * HOUR
    assert worst_ahead(day().hours, now, HOUR, CAPACITY) == pytest.approx(530.0)
    fits, _ = ask(day(), now, ShadowRequest("batch", 470, HOUR, 0.0), BOUNDS)
    too_large, _ = ask(day(), now, ShadowRequest("batch", 471, HOUR, 0.0), BOUNDS)
    assert fits.admits
    assert not too_large.admits
    assert "530 GPUs may be in use at worst" in too_large.why


def test_a_class_is_promised_no_more_than_its_policy_says() -> None:
    answer, _ = ask(day(), 30 * HOUR, ShadowRequest("batch", 8, HOUR, 1495.0), BOUNDS)
    assert not answer.admits
    assert "1,500 GPUs at most" in answer.why
    other, _ = ask(day(), 30 * HOUR, ShadowRequest("urgent", 8, HOUR, 995.0), BOUNDS)
    assert not other.admits, "a class that the policy does not name gets each GPU once"


def test_what_finds_no_room_is_counted_once_and_gains_nothing_more() -> None:
    now = 30 * HOUR
    _, memory = ask(day(), now, ShadowRequest("batch", 400, 4 * HOUR, 0.0), BOUNDS)
    memory = passed(memory, now + STEP, 550.0, STEP, BOUNDS)
    gained = memory.gpu_hours_gained
    assert gained == pytest.approx(400 * STEP / HOUR)
    for step in (2, 3):
        memory = passed(memory, now + step * STEP, 700.0, STEP, BOUNDS)
    assert (memory.exceeded, memory.exceeded_share, memory.gpu_hours_gained) == (1, 1.0, gained)
    assert passed(memory, now + 5 * HOUR, 0.0, STEP, BOUNDS).running == ()


def test_hours_that_were_not_measured_let_nothing_in() -> None:
    holes = ShadowMemory(hours=tuple(each for each in day().hours if each.start != 7 * HOUR))
    answer, _ = ask(holes, 30 * HOUR, ShadowRequest("batch", 8, 2 * HOUR, 0.0), BOUNDS)
    assert not answer.admits
    assert passed(day(), 30 * HOUR, None, STEP, BOUNDS).hours == day().hours
