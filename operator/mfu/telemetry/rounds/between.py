"""What must be remembered between two rounds: when a row last changed, its energy, and its throttling counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from mfu.observe.readings import Floats, GPUIdentity

_NANOSECOND: Final = 1e-9


@dataclass(frozen=True, slots=True)
class RowReading:
    """The remembered facts of every row of one round."""

    observed_at: Floats
    energy: Floats
    power_ns: Floats
    thermal_ns: Floats
    power_ratio: Floats
    thermal_ratio: Floats


@dataclass(slots=True)
class RowMemory:
    """Rows of the last round by (device, pod). Bounded by the rows of two rounds; forgotten rows start afresh."""

    _devices: tuple[GPUIdentity, ...] = ()
    _last: RowReading | None = None
    _index: dict[GPUIdentity, int] = field(default_factory=dict)

    def advance(self, devices: tuple[GPUIdentity, ...], seen: RowReading) -> RowReading:
        """Turn counters into shares of time and hold back `observed_at` of rows whose energy counter stands still.

        `seen.observed_at` may repeat an earlier time: a value that was collected once and scraped twice. Energy only
        grows, so a device whose counter stands still has not been read, whatever else moved (gpu-monitoring-tools 188).
        """
        before = self._aligned(devices)
        standing = seen.energy == before.energy
        observed_at = np.where(standing, before.observed_at, seen.observed_at)
        elapsed = observed_at - before.observed_at
        result = RowReading(
            observed_at,
            np.where(np.isnan(seen.energy), before.energy, seen.energy),
            seen.power_ns,
            seen.thermal_ns,
            _share(seen.power_ns, before.power_ns, elapsed, before.power_ratio),
            _share(seen.thermal_ns, before.thermal_ns, elapsed, before.thermal_ratio),
        )
        self._devices, self._last = devices, result
        return result

    def _aligned(self, devices: tuple[GPUIdentity, ...]) -> RowReading:
        if self._last is None:
            return RowReading(*(np.full(len(devices), np.nan) for _ in range(6)))
        if devices is self._devices:
            return self._last
        index = {device: row for row, device in enumerate(self._devices)}
        rows = np.array([index.get(device, -1) for device in devices], dtype=np.intp)
        columns = (getattr(self._last, name) for name in RowReading.__slots__)
        return RowReading(*(_take(column, rows) for column in columns))


def _take(column: Floats, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
    return np.append(column, np.nan)[rows]


def _share(now: Floats, before: Floats, elapsed: Floats, last: Floats) -> Floats:
    """Share of the elapsed time that a nanosecond counter grew by; the last one while nothing is new.

    NaN after a reset, and where the clock went back.
    """
    grown = now - before
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(grown * _NANOSECOND / elapsed, 1.0)
    return np.where(elapsed == 0, last, np.where((grown >= 0) & (elapsed > 0), share, np.nan))
