"""The ladder of reclaim as values: its rungs, what is remembered of one workload, and how far it went."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from mfu.api.powers import ReclaimAction


class Rung(NamedTuple):
    """One step of the policy's ladder, in seconds."""

    after_idle: float
    action: ReclaimAction
    grace: float


@dataclass(frozen=True, slots=True)
class ReclaimRules:
    rungs: tuple[Rung, ...] = ()
    window_seconds: float = 3600.0
    max_exemption_seconds: float = 72 * 3600.0


class Hour(NamedTuple):
    """Minutes of one hour: idle and known ones."""

    start: float
    idle: int
    known: int


class Stage(StrEnum):
    NOTHING = "Nothing"
    ANNOUNCED = "Announced"
    """The rung will be taken when its grace is over."""
    TAKEN = "Taken"
    EXEMPT = "Exempt"
    """The tenant objected."""
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class IdleVerdict:
    """`words` are the same when a rung is announced and when it is taken."""

    stage: Stage
    action: ReclaimAction | None = None
    words: str = ""
    takes_at: float | None = None
    idle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ReclaimMemory:
    """Bounded: the minutes of one window, the hours of a week, and how far the ladder went."""

    minutes: tuple[tuple[float, bool | None], ...] = ()
    """When, and whether it was idle; oldest first."""
    hours: tuple[Hour, ...] = ()
    idle_since: float | None = None
    """Since when no window had more work than a burst."""
    rung: int = -1
    """The last one that was taken."""
    announced: int = -1
    announced_at: float = 0.0
    seconds_given_back: float = 0.0
    """Of the suspensions that are over."""
    suspended_at: float | None = None
    """Since when the cluster shows it suspended by us."""
    said: IdleVerdict = IdleVerdict(Stage.NOTHING)
    """What followed from the last minute."""

    @property
    def known_share(self) -> float | None:
        """Of the minutes of the window, those of which it is known whether they were idle."""
        if not self.minutes:
            return None
        return sum(idle is not None for _, idle in self.minutes) / len(self.minutes)

    @property
    def known_at(self) -> float | None:
        """Unix seconds of the last known minute."""
        return next((when for when, idle in reversed(self.minutes) if idle is not None), None)
