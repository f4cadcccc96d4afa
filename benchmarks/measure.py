"""What benchmarks share: a measured figure with its limit, and the loop that machines are compared by."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True)
class Figure:
    """One measured thing. `limit` is in the same unit as the samples; None is for information."""

    what: str
    unit: str
    samples: tuple[float, ...]
    limit: float | None
    reference: float | None = None

    @property
    def within(self) -> bool:
        return self.limit is None or mean(self.samples) <= self.limit


def reference_seconds() -> float:
    """CPU seconds of a loop of two million steps: best of three, so that a neighbour does not make us look fast."""

    def once() -> float:
        start, total = time.process_time(), 0
        for number in range(2_000_000):
            total += number & 7
        return time.process_time() - start

    return min(once() for _ in range(3))
