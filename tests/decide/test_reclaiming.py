"""What a workload is told of the ladder, one row a verdict; and what is remembered of it between two minutes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.api.powers import ReclaimAction
from mfu.decide.ladder import Hour, IdleVerdict, ReclaimMemory, ReclaimRules, Rung, Stage
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome
from mfu.decide.workload.reclaim import (
    HOUR,
    MINUTE,
    Excuse,
    Minute,
    judge_idleness,
    lasting,
    remembered,
    resumed,
    suspended,
    words,
)
from mfu.decide.workload.reclaiming import OBJECT, TAKEN_UP, reclaim

START = 1_800_000_000.0
RUNGS = (Rung(2 * HOUR, ReclaimAction.ANNOTATE, 0.0), Rung(8 * HOUR, ReclaimAction.SUSPEND, HOUR))
RULES = ReclaimRules(RUNGS)
POLICY = EffectivePolicy(reclaim=RULES, modes={DecisionType.RECLAIM: Mode.ENFORCE})
WORDS = "idle for 8 h: suspend it, so that others get its GPUs; nothing of it is deleted"


def told(verdict: IdleVerdict, **memory: float) -> Decision:
    made = reclaim(replace(ReclaimMemory(said=verdict), **memory), POLICY)  # type: ignore[arg-type]
    assert made is not None
    assert made.type is DecisionType.RECLAIM
    assert made.mode is Mode.ENFORCE
    return made


@pytest.mark.parametrize(
    ("verdict", "outcome", "reason", "message"),
    [
        (IdleVerdict(Stage.NOTHING), Outcome.KEEP, "InUse", "its GPUs are in use, or not idle for long enough"),
        (
            IdleVerdict(Stage.UNKNOWN),
            Outcome.NONE,
            "NoReadings",
            "too little was read of its GPUs in the window: nothing follows from it",
        ),
        (
            IdleVerdict(Stage.EXEMPT, idle_seconds=9000.0),
            Outcome.KEEP,
            "Exempt",
            "idle for 2.5 h; its owner objects, which holds until its term is over",
        ),
        (
            IdleVerdict(Stage.ANNOUNCED, ReclaimAction.SUSPEND, WORDS, START),
            Outcome.NOTICE,
            "Announced",
            f"{WORDS}, at 2027-01-15T08:00Z; {OBJECT}",
        ),
        (IdleVerdict(Stage.TAKEN, ReclaimAction.EVENT, "tell"), Outcome.NOTICE, "Idle", f"tell; {OBJECT}"),
        (IdleVerdict(Stage.TAKEN, ReclaimAction.SUSPEND, WORDS), Outcome.SUSPEND, "Idle", WORDS),
    ],
)
def test_what_is_said(verdict: IdleVerdict, outcome: Outcome, reason: str, message: str) -> None:
    made = told(verdict)
    assert (made.outcome, made.reason, str(made.message)) == (outcome, reason, message)


def test_what_was_given_back_is_said_with_the_way_back_whatever_was_said_before() -> None:
    made = told(IdleVerdict(Stage.UNKNOWN), suspended_at=START + 60.0)
    assert (made.outcome, made.reason) == (Outcome.KEEP, "Suspended")
    assert made.message == f"suspended since 2027-01-15T08:01Z; {TAKEN_UP}"


def test_a_policy_without_a_ladder_says_nothing() -> None:
    assert reclaim(ReclaimMemory(suspended_at=START), EffectivePolicy()) is None


@pytest.mark.parametrize(
    ("minutes", "share", "at"),
    [
        ((), None, None),
        (((1.0, None), (2.0, None)), 0.0, None),
        (((1.0, True), (2.0, None), (3.0, False), (4.0, None)), 0.5, 3.0),
        (((1.0, True), (2.0, True)), 1.0, 2.0),
    ],
)
def test_what_is_known_of_the_window(
    minutes: tuple[tuple[float, bool | None], ...], share: float | None, at: float | None
) -> None:
    memory = ReclaimMemory(minutes=minutes)
    assert (memory.known_share, memory.known_at) == (share, at)


@pytest.mark.parametrize(
    ("minute", "worked", "idle"),
    [
        (Minute(0.0), None, None),
        (Minute(0.0, excuse=Excuse.STARTING), None, False),
        (Minute(0.0, tensor=0.0), False, True),
        (Minute(0.0, tensor=0.029, sm=0.029, dram=0.029), False, True),
        (Minute(0.0, tensor=0.03), True, False),
        (Minute(0.0, tensor=0.0, sm=0.03), True, False),
        (Minute(0.0, tensor=0.0, sm=0.0, dram=0.03), True, False),
        (Minute(0.0, tensor=0.0, progressed=True), True, False),
        (Minute(0.0, tensor=0.0, progressed=False), False, True),
        (Minute(0.0, progressed=False), None, None),
        (Minute(0.0, tensor=0.0, excuse=Excuse.INTERACTIVE), False, False),
    ],
)
def test_one_minute(minute: Minute, worked: bool | None, idle: bool | None) -> None:
    assert (minute.worked, minute.idle) == (worked, idle)


def resting(at: float) -> Minute:
    return Minute(at, tensor=0.0)


def busy(at: float) -> Minute:
    return Minute(at, tensor=0.5)


def after(*minutes: Minute, rules: ReclaimRules = RULES) -> ReclaimMemory:
    memory = ReclaimMemory()
    for each in minutes:
        memory = remembered(memory, each, rules)
    return memory


def test_minutes_of_the_window_alone_are_kept() -> None:
    memory = after(*(resting(START + MINUTE * each) for each in range(61)))
    assert len(memory.minutes) == 60
    assert memory.minutes[0] == (START + MINUTE, True)
    assert memory.minutes[-1] == (START + 60 * MINUTE, True)


def test_hours_count_their_known_and_idle_minutes() -> None:
    start = START // HOUR * HOUR
    memory = after(resting(start + 60), busy(start + 120), Minute(start + 180), resting(start + HOUR))
    assert memory.hours == (Hour(start, 1, 2), Hour(start + HOUR, 1, 1))


def test_a_week_of_hours_is_kept() -> None:
    start = START // HOUR * HOUR
    memory = after(*(resting(start + HOUR * each) for each in range(170)))
    assert len(memory.hours) == 168
    assert memory.hours[0].start == start + 2 * HOUR


def test_idle_since_the_last_work_or_since_before_the_first_minute() -> None:
    assert after(resting(START)).idle_since == START - MINUTE
    working = after(busy(START), resting(START + 60))
    assert working.idle_since is None, "half of what is known is work"
    later = after(busy(START), *(resting(START + MINUTE * each) for each in range(1, 21)))
    assert later.idle_since == START, "one of 21 minutes is a burst, and was the last work"


@pytest.mark.parametrize(("rests", "idle"), [(18, False), (19, True), (20, True)])
def test_a_burst_is_up_to_a_twentieth_of_the_window(rests: int, idle: bool) -> None:
    """One of 20 is 0.05: a burst; one of 19 is more."""
    memory = after(busy(START), *(resting(START + MINUTE * each) for each in range(1, rests + 1)))
    assert (memory.idle_since is not None) is idle


def test_more_than_a_burst_begins_anew_and_a_burst_does_not() -> None:
    quiet = [resting(START + MINUTE * each) for each in range(40)]
    since = after(*quiet).idle_since
    assert since == START - MINUTE
    assert after(*quiet, busy(START + 40 * MINUTE)).idle_since == since
    worked = [busy(START + MINUTE * each) for each in range(40, 43)]
    assert after(*quiet, *worked).idle_since is None, "3 of 43 are more than a twentieth"


@pytest.mark.parametrize(("unknown", "known"), [(20, True), (21, False)])
def test_four_fifths_of_the_window_must_be_known(unknown: int, known: bool) -> None:
    """Of 100 minutes."""
    rules = replace(RULES, window_seconds=100 * MINUTE)
    minutes = [Minute(START + MINUTE * each) for each in range(unknown)]
    minutes += [resting(START + MINUTE * each) for each in range(unknown, 100)]
    memory = ReclaimMemory(rung=0, announced=1)
    for each in minutes:
        verdict, memory = judge_idleness(memory, each, rules)
    assert (verdict.stage is Stage.UNKNOWN) is not known
    assert (memory.rung, memory.announced) == ((-1, -1) if not known else (memory.rung, memory.announced))


def climb(minutes: int, rules: ReclaimRules) -> list[tuple[IdleVerdict, ReclaimMemory]]:
    memory, found = ReclaimMemory(), []
    for each in range(minutes):
        verdict, memory = judge_idleness(memory, resting(START + MINUTE * each), rules)
        assert memory.said == verdict
        found.append((verdict, memory))
    return found


SHORT = ReclaimRules(
    (Rung(3 * MINUTE, ReclaimAction.ANNOTATE, 0.0), Rung(6 * MINUTE, ReclaimAction.SUSPEND, 2 * MINUTE)),
    window_seconds=2 * MINUTE,
)


def test_the_ladder_minute_by_minute() -> None:
    """The first minute is the end of one minute of idleness: three are over with the third. Announced then, taken with
    the next; the last is announced with the sixth and taken when two minutes of grace are over."""
    found = climb(10, SHORT)
    stages = [each.stage for each, _ in found]
    nothing, announced, taken = Stage.NOTHING, Stage.ANNOUNCED, Stage.TAKEN
    assert stages == [nothing, nothing, announced, taken, nothing, announced, announced, taken, taken, taken]
    assert [each.rung for _, each in found] == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1]
    assert [each.announced for _, each in found] == [-1, -1, 0, 0, 0, 1, 1, 1, 1, 1]
    at = START + 5 * MINUTE
    assert found[5][0] == IdleVerdict(
        stage=announced,
        action=ReclaimAction.SUSPEND,
        words=words(SHORT.rungs[1]),
        takes_at=at + 2 * MINUTE,
        idle_seconds=6 * MINUTE,
    )
    assert found[5][1].announced_at == at
    assert found[9][0] == IdleVerdict(taken, ReclaimAction.SUSPEND, words(SHORT.rungs[1]), START + 540.0, 600.0)
    assert found[4][0].idle_seconds == 5 * MINUTE


def test_above_the_last_rung_that_suspends_nothing_there_is_nothing_more() -> None:
    found = climb(8, replace(SHORT, rungs=SHORT.rungs[:1]))
    assert [each.stage for each, _ in found[4:]] == [Stage.NOTHING] * 4
    assert [each.rung for _, each in found[4:]] == [0] * 4


def test_what_is_resumed_counts_what_it_gave_back_and_never_less() -> None:
    gone = suspended(ReclaimMemory(minutes=((START, True),), idle_since=START, seconds_given_back=5.0), START + 10.0)
    assert (gone.minutes, gone.idle_since, gone.suspended_at) == ((), None, START + 10.0)
    assert resumed(gone, START + 40.0) == ReclaimMemory(seconds_given_back=35.0)
    assert resumed(gone, START).seconds_given_back == 5.0, "a clock that was set back"


def week(idle: int, known: int, *, hours: int = 168, last: tuple[int, int] | None = None) -> ReclaimMemory:
    """All hours alike but for the last one, which is not over yet."""
    start = START // HOUR * HOUR
    made = [Hour(start - HOUR * each, idle, known) for each in range(hours - 1, 0, -1)]
    return ReclaimMemory(hours=(*made, Hour(start, *(last or (idle, known)))))


@pytest.mark.parametrize(
    ("memory", "idle_minutes"),
    [
        (week(55, 60), 168 * 55 + 1),
        (week(53, 60), None),
        (week(54, 60, last=(54, 59)), 168 * 54 + 1),
        (week(54, 60, last=(53, 59)), None),
        (week(47, 48, last=(46, 47)), 168 * 47),
        (week(47, 48, last=(45, 46)), None),
        (week(55, 60, hours=167), None),
    ],
    ids=["5 of 60 work", "7 of 60", "less than a tenth", "a tenth", "80 % known", "less known", "an hour short"],
)
def test_a_week_that_works_less_than_a_tenth_is_idle_as_a_whole(
    memory: ReclaimMemory, idle_minutes: int | None
) -> None:
    """The present minute rests and belongs to the last hour; alone it is one minute of idleness."""
    rules = ReclaimRules(window_seconds=MINUTE)
    verdict, _ = judge_idleness(memory, resting(START // HOUR * HOUR + 59.0 * MINUTE), rules)
    assert verdict.stage is Stage.NOTHING
    assert verdict.idle_seconds == (idle_minutes or 1) * MINUTE


@pytest.mark.parametrize(
    ("seconds", "text"), [(420.0, "7 min"), (3599.0, "60 min"), (3600.0, "1 h"), (9000.0, "2.5 h"), (90.0, "1.5 min")]
)
def test_how_long(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("action", "done"),
    [
        (ReclaimAction.ANNOTATE, "say on the object that its GPUs are idle"),
        (ReclaimAction.EVENT, "tell its owner by an event that its GPUs are to be given back"),
        (ReclaimAction.SUSPEND, "suspend it, so that others get its GPUs; nothing of it is deleted"),
    ],
)
def test_what_a_rung_does(action: ReclaimAction, done: str) -> None:
    assert words(Rung(2 * HOUR, action, 0.0)) == f"idle for 2 h: {done}"
