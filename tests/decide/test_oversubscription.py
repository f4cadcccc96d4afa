"""The shadow over a week of planted demand: it gains hours, and next to nothing of it would have had no room."""

from __future__ import annotations

from math import cos, pi
from random import Random

import pytest

from mfu.decide.fleet.oversubscription import (
    HOUR,
    PeakHour,
    ShadowBounds,
    ShadowCount,
    ShadowJob,
    ShadowMemory,
    ShadowRequest,
    ask,
    passed,
    still_waiting,
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


NOW = 30 * HOUR


def batch(gpus: float = 8.0, hours: float = 1.0, promised: float = 0.0, key: str = "") -> ShadowRequest:
    return ShadowRequest("batch", gpus, hours * HOUR, promised, key)


def test_what_is_let_in_runs_in_the_shadow_and_is_counted_by_its_class() -> None:
    answer, memory = ask(day(), NOW, batch(100, 2, key="team/w"), BOUNDS)
    assert (answer.admits, str(answer.why)) == (True, "at most 530 of 1,000 GPUs are expected in use while it runs")
    assert memory.running == (ShadowJob(100.0, NOW, NOW + 2 * HOUR, priority_class="batch", key="team/w"),)
    assert memory.counts == {"batch": ShadowCount(admitted=1)}
    _, twice = ask(memory, NOW, batch(100, 2, key="team/x"), BOUNDS)
    assert twice.counts == {"batch": ShadowCount(admitted=2)}
    _, other = ask(twice, NOW, ShadowRequest("urgent", 8, HOUR, 0.0), BOUNDS)
    assert other.counts == {"batch": ShadowCount(admitted=2), "urgent": ShadowCount(admitted=1)}


def test_who_is_in_the_shadow_is_not_let_in_once_more() -> None:
    _, memory = ask(day(), NOW, batch(key="team/w"), BOUNDS)
    answer, same = ask(memory, NOW, batch(key="team/w"), BOUNDS)
    assert (answer.admits, answer.why, same) == (True, "it runs in the shadow already", memory)
    _, nobody = ask(day(), NOW, batch(), BOUNDS)
    _, others = ask(nobody, NOW, batch(), BOUNDS)
    assert others.admitted == 2, "nobody is told apart from nobody"


def test_what_runs_in_the_shadow_takes_room_until_it_is_over() -> None:
    _, memory = ask(day(), NOW, batch(400, 2), BOUNDS)
    full, _ = ask(memory, NOW + HOUR, batch(71), BOUNDS)
    assert (full.admits, full.why) == (False, "530 GPUs may be in use at worst, 400 more in the shadow, of 1,000")
    assert ask(memory, NOW + HOUR, batch(70), BOUNDS)[0].admits
    assert not ask(memory, NOW + 2 * HOUR - 1, batch(400), BOUNDS)[0].admits
    assert ask(memory, NOW + 2 * HOUR, batch(400), BOUNDS)[0].admits, "over to the second"


@pytest.mark.parametrize(("promised", "admits"), [(1492.0, True), (1492.1, False)])
def test_up_to_what_the_policy_promises(promised: float, admits: bool) -> None:
    assert ask(day(), NOW, batch(8, promised=promised), BOUNDS)[0].admits is admits


def test_what_fits_gains_its_hours_and_what_does_not_is_exceeded() -> None:
    """Of 1,000 GPUs 500 work: 300 fit, then 200 do exactly, and 1 finds no room."""
    running = tuple(ShadowJob(gpus, NOW, NOW + HOUR, priority_class=f"c{gpus:g}") for gpus in (300.0, 200.0, 1.0))
    after = passed(ShadowMemory(running=running), NOW + 60.0, 500.0, 1800.0, BOUNDS)
    assert [each.exceeded for each in after.running] == [False, False, True]
    assert after.counts == {
        "c300": ShadowCount(gpu_hours_gained=150.0),
        "c200": ShadowCount(gpu_hours_gained=100.0),
        "c1": ShadowCount(exceeded=1),
    }
    assert (after.admitted, after.exceeded, after.gpu_hours_gained) == (0, 1, 250.0)
    assert after.exceeded_share is None


def test_what_was_exceeded_once_stays_so_and_gains_nothing() -> None:
    late = ShadowJob(10.0, NOW, NOW + HOUR, exceeded=True, priority_class="batch")
    before = ShadowMemory(running=(late,), counts={"batch": ShadowCount(4, 1, 2.0)})
    room = passed(before, NOW + 60.0, 0.0, 3600.0, BOUNDS)
    none = passed(before, NOW + 60.0, 1000.0, 3600.0, BOUNDS)
    assert (room.running, room.counts) == (none.running, none.counts) == (before.running, before.counts)
    assert room.exceeded_share == 0.25


def test_what_is_over_is_gone_measured_or_not() -> None:
    over, going = ShadowJob(1.0, NOW, NOW + 60.0), ShadowJob(1.0, NOW, NOW + 61.0)
    for used_now in (0.0, None):
        after = passed(ShadowMemory(running=(over, going)), NOW + 60.0, used_now, 60.0, BOUNDS)
        assert [each.until for each in after.running] == [NOW + 61.0]


def test_the_worst_of_each_hour_is_kept_for_a_week() -> None:
    memory = ShadowMemory()
    for at, level in ((10.0, 5.0), (20.0, 9.0), (30.0, 7.0), (HOUR, 3.0)):
        memory = passed(memory, at, level, 10.0, BOUNDS)
    assert memory.hours == (PeakHour(0.0, 9.0), PeakHour(HOUR, 3.0))
    for hour in range(2, 170):
        memory = passed(memory, HOUR * hour, 1.0, 10.0, BOUNDS)
    assert (len(memory.hours), memory.hours[0].start) == (168, 2 * HOUR)


def test_who_waits_no_more_leaves_the_shadow_and_what_was_counted_stays() -> None:
    _, memory = ask(day(), NOW, batch(key="a"), BOUNDS)
    _, memory = ask(memory, NOW, batch(key="b"), BOUNDS)
    left = still_waiting(memory, {"b", "c"})
    assert [each.key for each in left.running] == ["b"]
    assert left.counts == memory.counts


def flat(level: float = 100.0, hours: int = 48, **others: float) -> tuple[PeakHour, ...]:
    """`h5=7.0`: another level in the fifth hour."""
    return tuple(PeakHour(HOUR * each, others.get(f"h{each}", level)) for each in range(hours))


@pytest.mark.parametrize(("hours", "known"), [(23, False), (24, True)])
def test_a_day_must_be_known(hours: int, known: bool) -> None:
    assert (worst_ahead(flat(hours=hours), 24 * HOUR, 0.0, CAPACITY) is not None) is known


def test_the_same_hours_of_the_days_before_are_what_may_come() -> None:
    """At the start of the third day, for an hour: hours 0 and 1 of both days count, and the hour after, hour 2 not."""
    margin = 30.0

    def ahead(seconds: float, **others: float) -> float:
        found = worst_ahead(flat(**others, hours=48), 48 * HOUR, seconds, 1000.0)
        assert found is not None
        return found

    quiet = ahead(HOUR)
    assert quiet == 100.0 + margin
    assert ahead(HOUR, h0=105.0) == 105.0 + margin
    assert ahead(HOUR, h25=105.0) == 105.0 + margin
    assert ahead(HOUR, h2=105.0) == 105.0 + margin, "it may begin at the end of its hour"
    assert ahead(HOUR, h3=105.0) == quiet
    assert ahead(HOUR - 1, h2=105.0) == quiet
    assert ahead(30 * 24 * HOUR, h23=105.0) == 105.0 + margin, "no more than a day is looked at"


def test_what_is_used_now_may_go_on() -> None:
    now = (*flat(hours=48), PeakHour(48 * HOUR, 200.0))
    assert worst_ahead(now, 48 * HOUR + 60.0, 0.0, 10_000.0) == 200.0 + 300.0


def test_a_day_that_is_a_week_ago_counts_and_older_ones_do_not() -> None:
    hours = flat(hours=24 * 7)
    at = 24 * 7 * HOUR
    first = (PeakHour(0.0, 150.0), *hours[1:])
    assert worst_ahead(first, at, 0.0, 10_000.0) == 150.0 + 300.0
    assert worst_ahead(first, at + 24 * HOUR, 0.0, 10_000.0) == 100.0 + 300.0


def test_the_margin_is_three_deviations_of_a_day_from_the_one_before() -> None:
    """Every hour of the second day was 20 above the first: 3 × 20 = 60, more than 3 % of 1,000."""
    hours = (*flat(100.0, 24), *(PeakHour(HOUR * each, 120.0) for each in range(24, 48)))
    assert worst_ahead(hours, 48 * HOUR, 0.0, 1000.0) == pytest.approx(120.0 + 60.0)
    assert worst_ahead(hours, 48 * HOUR, 0.0, 3000.0) == pytest.approx(120.0 + 90.0)


@pytest.mark.parametrize(("pairs", "margin"), [(5, 3.0 * 4.0), (6, 3.0 * 20.0)])
def test_in_the_first_days_hours_are_compared_with_those_before(pairs: int, margin: float) -> None:
    """Hours go up and down by 4; of the second day only some are known, each 20 above the first. The mean square of
    fewer than six such pairs is not asked."""
    first = [PeakHour(HOUR * each, 100.0 + 4.0 * (each % 2)) for each in range(24)]
    second = [PeakHour(HOUR * (24 + 2 * each), 120.0) for each in range(1, pairs + 1)]
    assert all(each.start % (2 * HOUR) == 0 for each in second), "never next to a known hour"
    found = worst_ahead((*first, *second), 24 * HOUR, 0.0, 0.0)
    assert found == pytest.approx(104.0 + margin)


def test_where_nothing_was_in_use_only_the_margin_is() -> None:
    assert worst_ahead(flat(0.0, 48), 48 * HOUR, 0.0, 1000.0) == 30.0


def test_where_no_two_hours_can_be_compared_the_margin_is_of_the_capacity() -> None:
    """Hours 0, 4, 8 … of one day and 2, 6, 10 … of the next: no hour of the day before is known, nor the one before."""
    hours = [24 * day + 4 * each + 2 * (day % 2) for day in range(4) for each in range(6)]
    known = tuple(PeakHour(HOUR * each, 10.0 * (each % 3)) for each in sorted([*hours, 1]))
    assert worst_ahead(known, 96 * HOUR, 0.0, 1000.0) == pytest.approx(10.0 + 30.0)
