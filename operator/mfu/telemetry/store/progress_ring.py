"""The recent progress of every pod as arrays. Counters fall only where a process began anew."""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.observe.readings import STALE_INTERVALS, Counter, Floats, Gauge, ProgressReading

COUNTERS: Final = tuple(Counter)
GAUGES: Final = tuple(Gauge)
_COUNTED: Final = len(COUNTERS)
_WIDTH: Final = len(COUNTERS) + len(GAUGES)
_JITTER: Final = 0.01
"""A derived counter (prompt less cached) may step back a little; more than this is another life of the process."""
MOST_COUNTED: Final = 1e21
"""A million times the tokens of the longest training so far: what counts more counts something else."""
_DERIVED: Final = np.array([counter is Counter.PREFILL_TOKENS for counter in COUNTERS])
"""The others are served as they are counted: any fall is a restart, or a return to a checkpoint."""


class PodProgress:
    """Readings of one pod: `slots` × (18 + 1) float64, 3.2 KB at 21 slots."""

    __slots__ = ("_gap", "_head", "_raw", "_slots", "_times", "_values", "identity", "newest", "resets")

    def __init__(self, first: ProgressReading, slots: int) -> None:
        self.identity = first
        self.newest = -np.inf
        self.resets = 0
        self._slots, self._head, self._gap = slots, 0, 0.0
        self._times: Floats = np.full(slots, -np.inf)
        self._values: Floats = np.full((slots, _WIDTH), np.nan)
        self._raw: Floats = np.full(_COUNTED, np.nan)

    def add(self, reading: ProgressReading) -> bool:
        """Add a reading unless it repeats or precedes the newest one."""
        if not np.isfinite(reading.observed_at) or reading.observed_at <= self.newest:
            return False
        raw = np.array([reading.counters.get(counter, np.nan) for counter in COUNTERS])
        raw = np.where(np.abs(raw) <= MOST_COUNTED, raw, np.nan)
        counters = self._steady(raw)
        gauges = [reading.gauges.get(gauge, np.nan) for gauge in GAUGES]
        self._values[self._head] = np.concatenate([counters, gauges])
        self._times[self._head] = reading.observed_at
        self._head = (self._head + 1) % self._slots
        self._gap = reading.observed_at - self.newest if np.isfinite(self.newest) else 0.0
        self.newest, self.identity = reading.observed_at, reading
        return True

    def fresh(self, now: float, interval: float) -> bool:
        """Is the newest reading at most two intervals old? The last gap counts where it was longer than `interval`."""
        return abs(now - self.newest) <= STALE_INTERVALS * max(interval, self._gap)

    def _steady(self, raw: Floats) -> Floats:
        """The counters with jitter taken out. A real fall stays: what was done across a restart is not known here."""
        last = self._raw
        back = raw < last
        if back.any():
            little = back & _DERIVED & (last - raw <= _JITTER * last)
            raw = np.where(little, last, raw)
            self.resets += bool((back & ~little).any())
        self._raw = np.where(np.isnan(raw), last, raw)
        return raw

    def readings(self, since: float, until: float) -> list[ProgressReading]:
        """Readings with since < time ≤ until, oldest first."""
        rows = np.flatnonzero((self._times > since) & (self._times <= until))
        return [self._reading(row) for row in rows[np.argsort(self._times[rows])].tolist()]

    def ends(self, since: float, until: float) -> tuple[ProgressReading, ...]:
        """The first and the last of these alone."""
        rows = np.flatnonzero((self._times > since) & (self._times <= until))
        if not len(rows):
            return ()
        times = self._times[rows]
        return self._reading(int(rows[times.argmin()])), self._reading(int(rows[times.argmax()]))

    def _reading(self, row: int) -> ProgressReading:
        numbers = self._values[row].tolist()
        return ProgressReading(
            namespace=self.identity.namespace,
            pod=self.identity.pod,
            source=self.identity.source,
            observed_at=float(self._times[row]),
            counters={c: v for c, v in zip(COUNTERS, numbers[:_COUNTED], strict=True) if v == v},
            gauges={g: v for g, v in zip(GAUGES, numbers[_COUNTED:], strict=True) if v == v},
            scope_total=self.identity.scope_total,
        )
