"""The ladder over a week of planted idleness: nobody is accused wrongly, and what was idle is back in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mfu.api.powers import ReclaimAction
from mfu.decide.ladder import IdleVerdict, ReclaimMemory, ReclaimRules, Rung, Stage
from mfu.decide.workload.reclaim import (
    HOUR,
    MINUTE,
    Excuse,
    Exemption,
    Minute,
    exempt,
    judge_idleness,
    resumed,
    suspended,
)

RULES = ReclaimRules(
    rungs=(
        Rung(2 * HOUR, ReclaimAction.ANNOTATE, 0.0),
        Rung(4 * HOUR, ReclaimAction.EVENT, 10 * MINUTE),
        Rung(8 * HOUR, ReclaimAction.SUSPEND, HOUR),
    )
)
START, WEEK = 1_800_000_000.0, 7 * 24 * 60
Trace = Callable[[int], Minute]


def at(minute: int) -> float:
    return START + MINUTE * minute


def working(minute: int) -> Minute:
    return Minute(at(minute), tensor=0.45, sm=0.9, dram=0.3, progressed=True)


def resting(minute: int) -> Minute:
    return Minute(at(minute), tensor=0.0, sm=0.0, dram=0.0, progressed=False)


def decode(minute: int) -> Minute:
    """Bound by memory: tensor cores next to nothing, one request in three minutes at night."""
    night = minute % 1440 < 360
    busy = not night or minute % 3 == 0
    return Minute(at(minute), tensor=0.01 if busy else 0.0, sm=0.2 if busy else 0.0, dram=0.4 if busy else 0.0)


def checkpointing(minute: int) -> Minute:
    """Twelve minutes of writing in every hour."""
    return resting(minute) if minute % 60 < 12 else working(minute)


def evaluating(minute: int) -> Minute:
    """Training for five hours, then an hour and a half in which the host scores what came out."""
    return resting(minute) if minute % 390 >= 300 else working(minute)


def starved(minute: int) -> Minute:
    """A job whose data set is a day late: it was promised, and it says that it waits."""
    waits = 1440 <= minute < 2880
    return replace(resting(minute), excuse=Excuse.PROMISED_DATA) if waits else working(minute)


def interactive(minute: int) -> Minute:
    """A session by day: a cell now and then, somebody at it; it is ended for the night."""
    by_day = 540 <= minute % 1440 < 1080
    if not by_day:
        return working(minute)
    return working(minute) if minute % 40 == 0 else replace(resting(minute), excuse=Excuse.INTERACTIVE)


def spare(minute: int) -> Minute:
    return replace(resting(minute), excuse=Excuse.WARM_SPARE)


def unread(minute: int) -> Minute:
    """Its exporter went away at noon of the second day."""
    return working(minute) if minute < 2160 else Minute(at(minute))


def forgotten(minute: int) -> Minute:
    return working(minute) if minute < 600 else resting(minute)


def bursting(minute: int) -> Minute:
    """Two minutes of work in every hour: a health check, no use."""
    return working(minute) if minute % 60 < 2 else resting(minute)


def low(minute: int) -> Minute:
    """One good hour a day."""
    return working(minute) if minute % 1440 < 60 else resting(minute)


def ladder(trace: Trace, *, rules: ReclaimRules = RULES, minutes: int = WEEK, **kwargs: Exemption) -> list[IdleVerdict]:
    memory, found = ReclaimMemory(), []
    for minute in range(minutes):
        verdict, memory = judge_idleness(memory, trace(minute), rules, **kwargs)
        found.append(verdict)
    return found


def first(found: list[IdleVerdict], stage: Stage, action: ReclaimAction) -> int | None:
    hits = (minute for minute, each in enumerate(found) if each.stage is stage and each.action is action)
    return next(hits, None)


@pytest.mark.slow
@pytest.mark.parametrize("trace", [working, decode, checkpointing, evaluating, starved, interactive, spare, unread])
def test_no_week_of_use_is_accused(trace: Trace) -> None:
    assert {each.stage for each in ladder(trace)} <= {Stage.NOTHING, Stage.UNKNOWN}


def test_what_was_forgotten_is_back_within_the_term() -> None:
    """Idle after minute 599: suspended after 8 hours of it and an hour of grace; the window adds at most one."""
    found = ladder(forgotten, minutes=1400)
    gone = first(found, Stage.TAKEN, ReclaimAction.SUSPEND)
    assert gone is not None
    assert 599 + 9 * 60 <= gone <= 599 + 10 * 60


@pytest.mark.parametrize("trace", [forgotten, bursting])
def test_every_rung_is_said_before_it_is_taken_in_the_same_words(trace: Trace) -> None:
    found = ladder(trace, minutes=1400)
    for rung in RULES.rungs:
        said, taken = first(found, Stage.ANNOUNCED, rung.action), first(found, Stage.TAKEN, rung.action)
        assert said is not None
        assert taken is not None
        assert (taken - said) * MINUTE >= rung.grace
        assert taken > said
        assert found[said].words == found[taken].words


def test_a_burst_does_not_reset_it() -> None:
    assert first(ladder(bursting, minutes=1000), Stage.TAKEN, ReclaimAction.SUSPEND) is not None


@pytest.mark.slow
def test_one_busy_hour_a_day_does_not_hide_a_week() -> None:
    """Rungs beyond a day are never reached between two busy hours, and are by the week as a whole."""
    patient = replace(RULES, rungs=(Rung(30 * HOUR, ReclaimAction.SUSPEND, HOUR),))
    found = ladder(low, rules=patient, minutes=WEEK + 180)
    gone = first(found, Stage.TAKEN, ReclaimAction.SUSPEND)
    assert gone is not None
    assert gone >= WEEK - 60


def test_an_objection_stops_it_as_long_as_the_policy_allows() -> None:
    short = Exemption(until=at(2000), made_at=at(0))
    found = ladder(forgotten, minutes=2200, objection=short)
    assert all(each.action is None for each in found[:2000])
    assert first(found, Stage.TAKEN, ReclaimAction.SUSPEND) is not None
    endless = Exemption(until=at(10**6), made_at=at(0))
    assert exempt(endless, at(71 * 60), RULES)
    assert not exempt(endless, at(72 * 60), RULES)
    assert not exempt(endless, at(0), replace(RULES, max_exemption_seconds=0.0))


def test_work_takes_all_of_it_back() -> None:
    def awake(minute: int) -> Minute:
        return working(minute) if 400 <= minute < 500 else resting(minute)

    found = ladder(awake, minutes=600)
    assert first(found[:400], Stage.TAKEN, ReclaimAction.EVENT) is not None
    assert found[450].stage is Stage.NOTHING
    assert found[599].action is None, "the ladder begins anew"


def test_the_time_given_back_is_counted_until_it_is_resumed() -> None:
    memory = ReclaimMemory()
    for minute in range(2000):
        _, memory = judge_idleness(memory, resting(minute), RULES)
    gone = suspended(memory, at(2000))
    assert gone.suspended_at == at(2000)
    again = resumed(gone, at(2100))
    assert again == ReclaimMemory(seconds_given_back=100 * MINUTE)
    assert resumed(replace(again, rung=1), at(2200)).seconds_given_back == 100 * MINUTE, "it was never suspended"


def test_the_last_rung_stands_until_the_cluster_shows_it_or_there_is_work() -> None:
    found = ladder(lambda minute: resting(minute) if minute < 1200 else working(minute), minutes=1300)
    gone = first(found, Stage.TAKEN, ReclaimAction.SUSPEND)
    assert gone is not None
    assert {(each.stage, each.words) for each in found[gone:1200]} == {(Stage.TAKEN, found[gone].words)}
    assert found[-1].action is None


def test_less_than_a_window_takes_nothing_back_and_repeats_nothing() -> None:
    """As after a restart: it stood at the second rung, announced."""
    memory = ReclaimMemory(rung=1, announced=2, announced_at=at(0))
    for minute in range(59):
        verdict, memory = judge_idleness(memory, resting(minute), RULES)
        assert verdict.stage is Stage.NOTHING
    assert (memory.rung, memory.announced) == (1, 2)
    verdict, memory = judge_idleness(memory, resting(59), RULES)
    assert (verdict.stage, memory.rung) == (Stage.NOTHING, 1), "the next rung needs eight hours that were seen"


def test_memory_is_bounded_and_no_ladder_takes_nothing() -> None:
    memory = ReclaimMemory()
    for minute in range(600):
        verdict, memory = judge_idleness(memory, resting(minute), ReclaimRules())
        assert verdict.action is None
    assert len(memory.minutes) <= 60
    assert len(memory.hours) == 10
