"""When is an allocation given back? A ladder of notices, over windows that neither a burst nor a busy hour upsets.

A minute is worked where any pipe or the memory of its GPUs was busy, or progress moved: memory-bound decode works. It
is excused where the workload waits for something that was promised to it, or is kept warm on purpose. What is not known
is neither. Nothing here deletes: the last rung suspends, and what is suspended comes back as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from mfu.api.powers import ReclaimAction
from mfu.decide.ladder import Hour, IdleVerdict, ReclaimMemory, ReclaimRules, Rung, Stage

MINUTE: Final = 60.0
HOUR: Final = 3600.0
WORKING: Final = 0.03
"""Activity of a pipe or of memory from which a minute is worked; an idle H100 reads 0.00 to 0.01."""
BURST: Final = 0.05
"""Of the window: so much work in it is a burst, and the time before goes on counting."""
WEEK_HOURS: Final = 168
LOW: Final = 0.1
"""Of a week's known minutes: one that works less is idle, whenever it works."""
COVERED: Final = 0.8
"""Of a window that must be known for anything to follow from it."""


class Excuse(StrEnum):
    """Why an idle minute is nobody's fault."""

    PROMISED_DATA = "PromisedData"
    WARM_SPARE = "WarmSpare"
    INTERACTIVE = "Interactive"
    """Somebody was at it within the window."""
    STARTING = "Starting"


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of one workload: activities 0–1, None where not read."""

    at: float
    """Unix seconds of its end."""
    tensor: float | None = None
    sm: float | None = None
    dram: float | None = None
    progressed: bool | None = None
    excuse: Excuse | None = None

    @property
    def worked(self) -> bool | None:
        if self.progressed:
            return True
        known = [each for each in (self.tensor, self.sm, self.dram) if each is not None]
        if not known:
            return None
        return max(known) >= WORKING

    @property
    def idle(self) -> bool | None:
        """None where it is not known."""
        if self.excuse is not None:
            return False
        worked = self.worked
        return None if worked is None else not worked


@dataclass(frozen=True, slots=True)
class Exemption:
    """spec.reclaim.exemptUntil, and when it was first seen."""

    until: float
    made_at: float


def judge_idleness(
    memory: ReclaimMemory, minute: Minute, rules: ReclaimRules, *, objection: Exemption | None = None
) -> tuple[IdleVerdict, ReclaimMemory]:
    """One more minute, and what follows from it. Pure; at most one rung is announced or taken at a time."""
    verdict, memory = _judged(remembered(memory, minute, rules), minute, rules, objection)
    return verdict, replace(memory, said=verdict)


def _judged(
    memory: ReclaimMemory, minute: Minute, rules: ReclaimRules, objection: Exemption | None
) -> tuple[IdleVerdict, ReclaimMemory]:
    idle = _idle_seconds(memory, minute.at, rules)
    if idle is None:
        return IdleVerdict(Stage.UNKNOWN), _stepped_down(memory)
    if minute.at - memory.minutes[0][0] + MINUTE < rules.window_seconds:
        # Less than a window is known, as after a start: nothing follows from it, and nothing is taken back by it.
        return IdleVerdict(Stage.NOTHING), memory
    if idle <= 0:
        return IdleVerdict(Stage.NOTHING), _stepped_down(memory)
    if exempt(objection, minute.at, rules):
        return IdleVerdict(Stage.EXEMPT, idle_seconds=idle), replace(memory, announced=memory.rung)
    return _climbed(memory, minute.at, rules, idle)


def exempt(objection: Exemption | None, now: float, rules: ReclaimRules) -> bool:
    """An objection holds as long as it says, and never longer than the policy allows from when it was made."""
    if objection is None:
        return False
    return now < min(objection.until, objection.made_at + rules.max_exemption_seconds)


def suspended(memory: ReclaimMemory, now: float) -> ReclaimMemory:
    """The cluster shows that the last rung was carried out: from now on its GPUs are others'."""
    return replace(memory, suspended_at=now, minutes=(), idle_since=None)


def resumed(memory: ReclaimMemory, now: float) -> ReclaimMemory:
    """Its owner took it up again, or it ended by itself: everything begins anew, what was given back stays counted."""
    since = now if memory.suspended_at is None else memory.suspended_at
    return ReclaimMemory(seconds_given_back=memory.seconds_given_back + max(0.0, now - since))


def remembered(memory: ReclaimMemory, minute: Minute, rules: ReclaimRules) -> ReclaimMemory:
    """With one more minute, and nothing decided on it."""
    since = minute.at - rules.window_seconds
    minutes = (*(each for each in memory.minutes if each[0] > since), (minute.at, minute.idle))
    hours = _with(memory.hours, minute)
    share = _worked_share(minutes)
    idle_since = memory.idle_since
    if share is not None and share > BURST:
        idle_since = None
    elif idle_since is None and share is not None:
        idle_since = max((when for when, idle in minutes if idle is False), default=minutes[0][0] - MINUTE)
    return replace(memory, minutes=minutes, hours=hours, idle_since=idle_since)


def _with(hours: tuple[Hour, ...], minute: Minute) -> tuple[Hour, ...]:
    start = minute.at // HOUR * HOUR
    last = hours[-1] if hours and hours[-1].start == start else Hour(start, 0, 0)
    grown = last._replace(idle=last.idle + (minute.idle is True), known=last.known + (minute.idle is not None))
    before = hours[:-1] if hours and hours[-1].start == start else hours
    return (*(each for each in before if each.start > start - WEEK_HOURS * HOUR), grown)


def _worked_share(minutes: Sequence[tuple[float, bool | None]]) -> float | None:
    known = [idle for _, idle in minutes if idle is not None]
    if len(known) < COVERED * len(minutes):
        return None
    return sum(not idle for idle in known) / len(known)


def _idle_seconds(memory: ReclaimMemory, now: float, rules: ReclaimRules) -> float | None:
    """How long it has been idle: without more than bursts, or as the idle time of a week that was low as a whole."""
    if _worked_share(memory.minutes) is None:
        return None
    lasting = 0.0 if memory.idle_since is None else now - memory.idle_since
    return max(lasting, _low_week(memory.hours))


def _low_week(hours: Sequence[Hour]) -> float:
    known, idle = sum(each.known for each in hours), sum(each.idle for each in hours)
    if len(hours) < WEEK_HOURS or known < COVERED * 60 * WEEK_HOURS:
        return 0.0
    return idle * MINUTE if known - idle < LOW * known else 0.0


def _stepped_down(memory: ReclaimMemory) -> ReclaimMemory:
    return replace(memory, rung=-1, announced=-1)


def _climbed(memory: ReclaimMemory, now: float, rules: ReclaimRules, idle: float) -> tuple[IdleVerdict, ReclaimMemory]:
    """The next rung is announced when it is reached, and taken when its grace is over."""
    following = memory.rung + 1
    if 0 < following <= len(rules.rungs) and rules.rungs[memory.rung].action is ReclaimAction.SUSPEND:
        # Taken, and not to be seen in the cluster yet: it stands until it is, or until there is work.
        last = rules.rungs[memory.rung]
        return IdleVerdict(Stage.TAKEN, last.action, words(last), now, idle), memory
    if following >= len(rules.rungs) or idle < rules.rungs[following].after_idle:
        return IdleVerdict(Stage.NOTHING, idle_seconds=idle), memory
    rung = rules.rungs[following]
    if memory.announced != following:
        memory = replace(memory, announced=following, announced_at=now)
    takes_at = memory.announced_at + rung.grace
    verdict = IdleVerdict(Stage.ANNOUNCED, rung.action, words(rung), takes_at, idle)
    if now < takes_at or now == memory.announced_at:
        return verdict, memory
    return replace(verdict, stage=Stage.TAKEN), replace(memory, rung=following)


def words(rung: Rung) -> str:
    """What the rung does, for dry run and deed alike."""
    done = {
        ReclaimAction.ANNOTATE: "say on the object that its GPUs are idle",
        ReclaimAction.EVENT: "tell its owner by an event that its GPUs are to be given back",
        ReclaimAction.SUSPEND: "suspend it, so that others get its GPUs; nothing of it is deleted",
    }
    return f"idle for {lasting(rung.after_idle)}: {done[rung.action]}"


def lasting(seconds: float) -> str:
    """`7 min`, `8 h`, `2.5 h`."""
    return f"{seconds / HOUR:.3g} h" if seconds >= HOUR else f"{seconds / MINUTE:.3g} min"
