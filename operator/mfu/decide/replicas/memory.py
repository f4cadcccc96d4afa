"""What scaling remembers of a workload from one reading to the next: bounded, frozen, part of the engine's history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from mfu.decide.replicas.law import Equations

KEPT_SECONDS: Final = 300.0
"""Readings of so long are kept: a trend is drawn through them."""
LEAST_APART_SECONDS: Final = 10.0
"""Readings closer than this are one: at most 31 are kept."""


class LoadSample(NamedTuple):
    """What arrived at one moment, and how many replicas that asked for."""

    at: float
    inputs: float
    """Tokens/s over all replicas, as `outputs`."""
    outputs: float
    waiting: float
    needed: int


class RawLoad(NamedTuple):
    """Readings as they came, to be compared with the next ones: a page that never changes is frozen."""

    inputs: float
    outputs: float
    running: float
    waiting: float


NOTHING: Final = Equations()


@dataclass(frozen=True, slots=True)
class ScalingMemory:
    """Empty after a start: then nothing is given back until a whole window has been seen anew."""

    samples: tuple[LoadSample, ...] = ()
    """Oldest first."""
    sums: Equations = NOTHING
    """What readings say about a replica's capacity."""
    changed_at: float | None = None
    """When another number than before was asked for."""
    wanted: int | None = None
    """The number that was asked for last."""
    raw: RawLoad | None = None
    repeats: int = 0
    """How often `raw` came again without any change."""

    def since(self, at: float) -> tuple[LoadSample, ...]:
        return tuple(each for each in self.samples if each.at >= at)

    @property
    def covered_since(self) -> float | None:
        return self.samples[0].at if self.samples else None
