"""The ladder of reclaim in status: how far it went outlives the operator, so that nobody is told everything twice."""

from __future__ import annotations

from mfu.api.workload_status import ReclaimStatus
from mfu.decide.ladder import ReclaimMemory
from mfu.decide.workload.reclaim import HOUR
from mfu.engine.text import epoch, moment
from mfu.units import decimal


def ladder_status(memory: ReclaimMemory) -> ReclaimStatus | None:
    """None where it has not begun, and nothing was ever given back."""
    if memory.announced < 0 and memory.suspended_at is None and not memory.seconds_given_back:
        return None
    return ReclaimStatus(
        taken=memory.rung + 1,
        announced=memory.announced + 1,
        announced_at=moment(memory.announced_at) if memory.announced >= 0 else None,
        suspended_at=None if memory.suspended_at is None else moment(memory.suspended_at),
        hours_given_back=decimal(memory.seconds_given_back / HOUR) if memory.seconds_given_back else None,
    )


def recalled_ladder(said: ReclaimStatus | None) -> ReclaimMemory:
    """After a restart. Idleness is counted anew: the ladder goes on where it stood, later and never earlier."""
    if said is None:
        return ReclaimMemory()
    try:
        return ReclaimMemory(
            rung=said.taken - 1,
            announced=max(said.announced, said.taken) - 1,
            announced_at=epoch(said.announced_at) if said.announced_at else 0.0,
            suspended_at=epoch(said.suspended_at) if said.suspended_at else None,
            seconds_given_back=HOUR * float(said.hours_given_back or 0.0),
        )
    except ValueError:
        # Somebody else's words in our status stop nothing: the ladder begins anew.
        return ReclaimMemory()
