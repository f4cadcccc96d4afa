"""The recent past of every device as arrays: a ring of float32 readings a row, and the newest reading in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import METRICS, SET_BACK_SECONDS, STALE_INTERVALS, Floats, GPUIdentity, GPURound, Metric

_Rows = NDArray[np.intp]
RowKey = tuple[str | None, str, int | None, str | None, str | None, str | None]

LATEST_ONLY: Final = (
    Metric.POWER_LIMIT,
    Metric.FB_TOTAL,
    Metric.TEMPERATURE,
    Metric.ECC_UNCORRECTED,
    Metric.PCIE_LINK_GEN,
    Metric.PCIE_LINK_WIDTH,
    Metric.ENERGY,
)
"""Columns that hardly move within a window: the newest value stands for all of it."""
HISTORY: Final[_Rows] = np.array([int(metric) for metric in Metric if metric not in LATEST_ONLY], dtype=np.intp)
_STATIC: Final[_Rows] = np.array([int(metric) for metric in LATEST_ONLY], dtype=np.intp)
_NEVER: Final = -np.inf


def row_key(device: GPUIdentity) -> RowKey:
    """A device of a node while one pod has it: with another pod, of the same name too, its history starts afresh."""
    key = device.key
    return (device.node, key.uuid, key.instance, device.namespace, device.pod, device.pod_uid)


class DeviceRing:
    """Rows of (device, pod), `slots` readings each. Memory is reserved for `capacity` rows and used as rows appear.

    A row costs slots × (4 × metrics that are ever told + 8) bytes of history and about 0.3 KiB for the newest reading:
    each metric has a plane of its own, and the system gives memory to those alone that are written.
    """

    def __init__(self, *, capacity: int, slots: int, window_seconds: float) -> None:
        self.capacity, self.slots, self.window_seconds = capacity, slots, window_seconds
        self.refused = 0
        self.observed_at: Floats = np.full(capacity, _NEVER)
        self.interval: Floats = np.zeros(capacity)
        self.latest: Floats = np.zeros((capacity, METRICS))
        self.source: NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self.identities: list[GPUIdentity | None] = [None] * capacity
        self.rows_of_pod: dict[tuple[str, str], set[int]] = {}
        self._values: NDArray[np.float32] = np.zeros((len(HISTORY), capacity, slots), dtype=np.float32)
        self._told: _Rows = np.empty(0, dtype=np.intp)
        """Planes of metrics that were told at least once; those of all others are as they were reserved."""
        self._times: Floats = np.zeros((capacity, slots))
        self._head: _Rows = np.zeros(capacity, dtype=np.intp)
        self._row_of: dict[RowKey, int] = {}
        self._free: list[int] = list(range(capacity - 1, -1, -1))
        self._newest = _NEVER
        self._oldest_first: _Rows = np.arange(slots)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def metrics_kept(self) -> int:
        return len(self._told)

    def rows(self, devices: Sequence[GPUIdentity]) -> _Rows:
        """Row of each device, −1 where the ring is full (counted in `refused`)."""
        return np.array([self._row(device) for device in devices], dtype=np.intp)

    def _row(self, device: GPUIdentity) -> int:
        key = row_key(device)
        row = self._row_of.get(key)
        if row is None:
            if not self._free:
                self.refused += 1
                return -1
            row = self._row_of[key] = self._free.pop()
            self._clear(row)
            if device.pod is not None and device.namespace is not None:
                self.rows_of_pod.setdefault((device.namespace, device.pod), set()).add(row)
        self.identities[row] = device
        return row

    def _clear(self, row: int) -> None:
        self.observed_at[row] = _NEVER
        self._times[row] = _NEVER
        self._head[row] = 0

    def write(self, rows: _Rows, found: GPURound, source: int, *, outranks: NDArray[np.bool_]) -> int:
        """Add one round. Repeats and late arrivals are passed over; returns how many readings were new.

        `outranks[source]` tells over which sources this one prevails: while another source is fresh on a row, the first
        to come stays, so that two meters of one device never mix.
        """
        times = found.observed_at
        known = (rows >= 0) & np.isfinite(times)
        before, gap = self.observed_at[rows], STALE_INTERVALS * self.interval[rows]
        owner = self.source[rows]
        mine = (owner == source) | outranks[owner] | (times > before + gap) | (before == _NEVER)
        jumped = known & mine & (times < before - SET_BACK_SECONDS)
        for row in rows[jumped].tolist():
            self._clear(row)
        new = known & mine & (times > self.observed_at[rows])
        self._append(rows[new], found.values[new], times[new])
        self.interval[rows[new]] = found.interval_seconds
        self.source[rows[new]] = source
        if new.any():
            self._newest = float(times[new].max())
        return int(new.sum())

    def _append(self, rows: _Rows, values: Floats, times: Floats) -> None:
        head = self._head[rows]
        self._meet(values)
        self._values[self._told[:, None], rows, head] = values[:, HISTORY[self._told]].T
        self._times[rows, head] = times
        self._head[rows] = (head + 1) % self.slots
        self.latest[rows] = values
        self.observed_at[rows] = times

    def _meet(self, values: Floats) -> None:
        """What came before the first reading of a metric is unknown."""
        new = np.setdiff1d(np.flatnonzero((~np.isnan(values[:, HISTORY])).any(axis=0)), self._told)
        if len(new):
            self._values[new[:, None], self.used()] = np.nan
            self._told = np.sort(np.append(self._told, new))

    def evict(self, uids: Mapping[tuple[str, str], str] | None = None) -> int:
        """Free the rows that were silent for a whole window, and those of pods that are gone; returns how many.

        `uids` are the pods that there are, by namespace and name; without it nothing is known to be gone.
        """
        used = np.fromiter(self._row_of.values(), dtype=np.intp, count=len(self._row_of))
        gone = set(used[self.observed_at[used] < self._newest - self.window_seconds].tolist())
        if uids is not None:
            gone |= set(self._of_gone(uids))
        if not gone:
            return 0
        self._row_of = {key: row for key, row in self._row_of.items() if row not in gone}
        for row in gone:
            self._forget(row)
        return len(gone)

    def _of_gone(self, uids: Mapping[tuple[str, str], str]) -> Iterator[int]:
        for pod, rows in self.rows_of_pod.items():
            living = uids.get(pod)
            for row in rows:
                device = self.identities[row]
                if living is None or (device is not None and device.pod_uid not in (None, living)):
                    yield row

    def _forget(self, row: int) -> None:
        device = self.identities[row]
        self.identities[row] = None
        self._free.append(row)
        if device is None or device.pod is None or device.namespace is None:
            return
        owner = (device.namespace, device.pod)
        rows = self.rows_of_pod[owner]
        rows.discard(row)
        if not rows:
            del self.rows_of_pod[owner]

    def used(self) -> _Rows:
        """All rows in use, in the order in which they appeared."""
        return np.fromiter(self._row_of.values(), dtype=np.intp, count=len(self._row_of))

    def fresh(self, rows: _Rows, now: float) -> NDArray[np.bool_]:
        """Is the newest reading of each row at most two intervals old? One from the future tells that the clock went
        back: it is not news either."""
        found: NDArray[np.bool_] = np.abs(now - self.observed_at[rows]) <= STALE_INTERVALS * self.interval[rows]
        return found

    def window(self, rows: _Rows, now: float, seconds: float) -> tuple[Floats, Floats]:
        """(times [T], values [T, rows, METRICS]) of the readings within `seconds` before `now`; stale rows are NaN.

        Devices are read at different phases; reading k of each, counted back from its own newest, share one time step,
        and `times` holds their mean.
        """
        slots = (self._head[rows][:, None] + self._oldest_first) % self.slots
        times = self._times[rows[:, None], slots]
        valid = (times > now - seconds) & (times <= now) & self.fresh(rows, now)[:, None]
        if not valid.any():
            return np.empty(0), np.empty((0, len(rows), METRICS))
        step = _cadence(times, valid, float(self.interval[rows].max()))
        device, place = np.nonzero(valid)
        when, newest = times[device, place], np.where(valid, times, _NEVER).max(axis=1)
        back = np.rint((newest[device] - when) / step).astype(np.intp)
        steps = int(back.max()) + 1
        position = steps - 1 - back
        # Of two readings in one step the later one stays: they come oldest first.
        values = np.full((steps, len(rows), METRICS), np.nan)
        row, slot = rows[device][:, None], slots[device, place][:, None]
        values[position[:, None], device[:, None], HISTORY[self._told]] = self._values[self._told, row, slot]
        values[position[:, None], device[:, None], _STATIC] = self.latest[rows[device][:, None], _STATIC]
        at = np.full((steps, len(rows)), np.nan)
        at[position, device] = when
        told = ~np.isnan(at)
        count = told.sum(axis=1)
        seen = count > 0
        return np.where(told, at, 0.0).sum(axis=1)[seen] / count[seen], values[seen]


def _cadence(times: Floats, valid: NDArray[np.bool_], interval: float) -> float:
    """Seconds between readings that follow each other: the median seen, at most the declared interval."""
    gaps = np.diff(np.where(valid, times, np.nan), axis=1)
    gaps = np.sort(gaps[gaps > 0])
    if not len(gaps) or interval <= 0:
        return interval or 1.0
    middle = len(gaps) // 2
    return min(interval, float(gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2.0))
