"""What arrives now and soon, from readings that may be lost, frozen or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.decide.replicas.law import Law, Point
from mfu.decide.replicas.memory import LoadSample, RawLoad

DRAIN_SECONDS: Final = 300.0
"""A queue is to be gone after so long: replicas that are added for it take as long to start."""
MOST_BACKLOG: Final = 1.0
"""A queue counts for at most as much again as what is served: a queue that lies can not do more."""
MOST_GROWTH: Final = 2.0
"""Times of what arrives now that a trend may promise."""
DOUBT: Final = 1.0
"""Standard errors of the slope that are taken off: noise is no trend."""
STRAYS: Final = 2.0
"""Standard deviations by which the newest reading may miss the line: beyond them the load has jumped."""


@dataclass(frozen=True, slots=True)
class LoadReading:
    """One moment of one workload. Rates and queues over all its replicas; None is unknown."""

    at: float
    ready: int
    """Replicas that serve."""
    pending: int
    """Replicas that were asked for and do not serve yet."""
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None
    running: float | None = None
    waiting: float | None = None
    cache_use: float | None = None
    """Share of the KV cache that is taken, 0–1."""

    @property
    def replicas(self) -> int:
        return self.ready + self.pending

    @property
    def raw(self) -> RawLoad | None:
        """None without both rates. Gauges that are not published are 0: they then say nothing."""
        inputs, outputs = self.input_tokens_per_s, self.output_tokens_per_s
        if inputs is None or outputs is None:
            return None
        return RawLoad(inputs, outputs, self.running or 0.0, self.waiting or 0.0)


def point_of(raw: RawLoad, ready: int) -> Point | None:
    """What one replica did; None where too few requests ran for the time per token to be read."""
    if ready < 1 or raw.outputs <= 0 or raw.running < LEAST_RUNNING:
        return None
    return Point(raw.running / raw.outputs, raw.outputs / ready, raw.inputs / ready)


LEAST_RUNNING: Final = 12.0
"""A gauge is one moment: with so many requests in flight it strays by about 30 %."""


@dataclass(frozen=True, slots=True)
class Typical:
    """Tokens of one request, as declared: what a request that waits will bring."""

    inputs: float
    outputs: float


def backlog(law: Law, typical: Typical, waiting: float, served: float) -> float:
    """Replicas' worth of work that drains the queue in DRAIN_SECONDS; at most what is served now."""
    each = law.per_input * typical.inputs + law.per_output * typical.outputs
    return min(waiting * each / DRAIN_SECONDS, MOST_BACKLOG * max(served, 1.0))


def ahead(law: Law, samples: Sequence[LoadSample], seconds: float) -> float:
    """Work that arrives `seconds` from now if it goes on as in the last minutes; it rises or stays.

    A line through the readings, which stray by some percent each; the newest one where it has left the line.
    Work 4.0, 4.2, … 5.0 at one reading a minute rises by 0.2 a minute: 6.0 in five minutes.
    """
    now = samples[-1]
    work = law.work(now.inputs, now.outputs)
    if len(samples) < 3:
        return work
    at = np.array([each.at - now.at for each in samples])
    values = np.array([law.work(each.inputs, each.outputs) for each in samples])
    slope, level, error = _line(at, values)
    strays = float(np.std(values - level - slope * at))
    begin = level if abs(work - level) <= STRAYS * strays else work
    return min(begin + max(0.0, slope - DOUBT * error) * seconds, MOST_GROWTH * work)


def _line(at: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Slope, value at 0 and the slope's standard error."""
    middle = at.mean()
    spread = float(((at - middle) ** 2).sum())
    slope = float(((at - middle) * (values - values.mean())).sum() / spread)
    level = float(values.mean() - slope * middle)
    left = values - level - slope * at
    return slope, level, float(np.sqrt((left**2).sum() / max(1, len(at) - 2) / spread))
