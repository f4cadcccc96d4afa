"""What arrives now and soon, from readings that may be lost, frozen or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.decide.replicas.law import Law, Point
from mfu.decide.replicas.memory import LoadSample, RawLoad

Floats = NDArray[np.float64]

DRAIN_SECONDS: Final = 30.0
"""A queue is to be gone so soon after new replicas serve: who waits a minute gives up, and is seen nowhere."""
MOST_BACKLOG: Final = 1.0
"""A queue counts for at most as much again as what is served: a queue that lies can not do more."""
QUEUE_SECONDS: Final = 60.0
"""Over so long the growth of the queue is read."""
MOST_SHRINK: Final = 0.5
"""Of what is served: at most so much of it can come out of the queue."""
MOST_GROWTH: Final = 2.0
"""Times of what is served now that a trend may promise."""
DOUBT: Final = 0.5
"""Standard errors of the slope that are taken off: noise is half a trend, and one missed breaks a promise."""
ONSET_SECONDS: Final = 180.0
"""What began so lately is diluted in a line through all readings; a line of its own shows it."""
BEYOND_CHANCE: Final = 9.0
"""Times 1 ÷ √(requests of a minute) that a load has to rise at once to be more than chance: three standard errors, each
three times that of requests which are all alike."""
AT_ONCE_SECONDS: Final = 100.0
"""What is older is what a sudden rise is held against."""
_LEAST_IN_LINE: Final = 4
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


def arriving(law: Law, typical: Typical, samples: Sequence[LoadSample]) -> Floats:
    """Work that arrived at each reading: what was served, and what the queue grew by meanwhile.

    Engines that have all they can do serve no more, however much comes: only the queue tells. 2,000 requests of 30 ms
    more in a minute are one replica's work beside what is served; at most as much again, and at least half of it.
    """
    each = law.per_input * typical.inputs + law.per_output * typical.outputs
    served = np.array([law.work(sample.inputs, sample.outputs) for sample in samples])
    at, waiting = (np.array([getattr(sample, name) for sample in samples]) for name in ("at", "waiting"))
    before = np.maximum(np.searchsorted(at, at - QUEUE_SECONDS + 1.0, side="right") - 1, 0)
    grown = (waiting - waiting[before]) / np.maximum(at - at[before], 1.0) * each
    return np.asarray(served + np.clip(grown, -MOST_SHRINK * served, MOST_BACKLOG * served))


def ahead(at: Floats, work: Floats, seconds: float) -> float:
    """Work that arrives `seconds` from now if it goes on as in the last minutes; it rises or stays.

    A line through the readings, which stray by some percent each; the newest one where it has left the line. Where the
    last ONSET_SECONDS alone rise more, it has begun to.
    Work 4.0, 4.2, … 5.0 at one reading a minute rises by 0.2 a minute: 6.0 in five minutes.
    """
    if len(work) < 3:
        return float(work[-1])
    since = at - at[-1]
    late = since >= -ONSET_SECONDS
    soon = _along(since, work, seconds)
    return max(soon, _along(since[late], work[late], seconds)) if late.sum() >= _LEAST_IN_LINE else soon


def set_in(at: Floats, work: Floats, requests: float) -> bool:
    """Whether more arrives than chance and the drift so far explain, with `requests` in a minute.

    10,000 requests a minute stray by 9 %: work 10.0 for four minutes and then 10.8 is chance, 11.0 is not.
    """
    since = at - at[-1]
    old = since <= -AT_ONCE_SECONDS
    if old.sum() < _LEAST_IN_LINE or requests <= 0:
        return False
    usual = float(work[old].mean())
    slope, _, _ = _line(since[old], work[old])
    drift = max(0.0, slope) * -float(since[old].mean())
    return float(work[-1]) - usual - drift > BEYOND_CHANCE / sqrt(requests) * usual > 0


def _along(at: Floats, work: Floats, seconds: float) -> float:
    slope, level, error = _line(at, work)
    strays = float(np.std(work - level - slope * at))
    begin = level if abs(work[-1] - level) <= STRAYS * strays else float(work[-1])
    return begin + max(0.0, slope - DOUBT * error) * seconds


def _line(at: Floats, values: Floats) -> tuple[float, float, float]:
    """Slope, value at 0 and the slope's standard error."""
    middle = at.mean()
    spread = float(((at - middle) ** 2).sum())
    slope = float(((at - middle) * (values - values.mean())).sum() / spread)
    level = float(values.mean() - slope * middle)
    left = values - level - slope * at
    return slope, level, float(np.sqrt((left**2).sum() / max(1, len(at) - 2) / spread))
