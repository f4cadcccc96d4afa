"""MFU as a product of three: is it held, does it move, how well. After *ML Productivity Goodput* (Google, 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_IDLE: Final = 0.005
"""Of a peak: who holds GPUs and reaches less than half a percent of it does nothing with them."""


@dataclass(frozen=True, slots=True)
class Factors:
    """Each a share of peak × time: their product is MFU over all of it. None where nothing is known.

    8 GPUs of which 6 are held, of whose time half makes progress, at 40 %: 0.75 × 0.5 × 0.4 = 0.15.
    """

    scheduling: float | None = None
    """Held ÷ all: of a fleet all that there are, of a workload all that it asks for."""
    runtime: float | None = None
    """Of the GPU-time that is held, the part that makes progress."""
    program: float | None = None
    """Model FLOPs ÷ peak × the time that makes progress."""

    @property
    def mfu(self) -> float | None:
        """Over all that is asked for; None where one of the three is not known."""
        if self.scheduling is None or self.runtime is None or self.program is None:
            return None
        return self.scheduling * self.runtime * self.program


def moving_share(reference_mfu: float, progressing: float | None) -> float:
    """The part of held GPU-time that makes progress: as counters see it, else all of it or nothing.

    `progressing` is that share of readings; where it is not known, or nothing moves and work comes out all the same,
    the work decides: `moving_share(0.3, 0.75) == 0.75`, `moving_share(0.3, None) == 1.0`, `moving_share(0.001, None) ==
    0.0`.
    """
    works = float(reference_mfu >= MOST_IDLE)
    return works if progressing is None else progressing or works


def workload_factors(
    scheduling: float | None, reference_mfu: float | None, progressing: float | None = None
) -> Factors:
    """One workload's: half of what it asks for, three quarters of that time at work, 0.3 of the peak of what it holds:
    `workload_factors(0.5, 0.3, 0.75) == Factors(0.5, 0.75, 0.4)`, 0.15 of what it asks for.
    """
    if reference_mfu is None or not scheduling:
        return Factors(scheduling)
    moving = moving_share(reference_mfu, progressing)
    return Factors(scheduling, moving, reference_mfu / moving if moving else None)
