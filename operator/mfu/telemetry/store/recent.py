"""The recent past, bounded: about ten minutes of every device and pod, and the newest reading of the fleet.

Rounds and progress go in, `WorkloadSeries` and `FleetReadings` come out. A reading older than two intervals is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.engine.snapshot import FleetReadings
from mfu.observe.readings import (
    SET_BACK_SECONDS,
    STALE_INTERVALS,
    Floats,
    GPUIdentity,
    GPURound,
    ProgressReading,
    SourceState,
    WorkloadSeries,
)
from mfu.observe.steady import Level, Newest, paces_of, stands
from mfu.telemetry.pods.engines import DYNAMO_FRONTEND
from mfu.telemetry.store.device_ring import DeviceRing
from mfu.telemetry.store.progress_ring import PodProgress

_Rows = NDArray[np.intp]

WINDOW_SECONDS: Final = 600.0
RECENT_PACE_SECONDS: Final = 120.0
"""What a pod did lately is told over so long."""
_EVICT_EVERY_SECONDS: Final = 60.0
_MOST_SLOTS: Final = 121
_MOST_SOURCES: Final = 16


class Store:
    """All that is remembered of telemetry. One writer, any number of readers in the same thread.

    `interval_seconds` is the shortest distance of new readings that should be kept over the whole window; `prefer`
    names sources that take a device over from others (the first most). For 40,000 devices at 30 s: 21 slots, and 3.4 MB
    for each metric that is told.
    """

    def __init__(
        self,
        *,
        interval_seconds: float = 30.0,
        window_seconds: float = WINDOW_SECONDS,
        progress_interval_seconds: float | None = None,
        max_devices: int = 49_152,
        max_pods: int = 20_000,
        prefer: Sequence[str] = (),
    ) -> None:
        self.window_seconds = window_seconds
        self.refused_pods = 0
        self._slots = min(ceil(window_seconds / interval_seconds) + 1, _MOST_SLOTS)
        self._ring = DeviceRing(capacity=max_devices, slots=self._slots, window_seconds=window_seconds)
        self._progress: dict[tuple[str, str], PodProgress] = {}
        self._progress_interval = progress_interval_seconds or interval_seconds
        self._max_pods = max_pods
        self._prefer = {source: rank for rank, source in enumerate(prefer)}
        self._sources: list[str] = []
        self._refused: dict[str, Mapping[str, str]] = {}
        self._unread: dict[str, Mapping[str, str]] = {}
        self._states: dict[str, tuple[SourceState, float, float]] = {}
        self._rows: dict[str, tuple[tuple[GPUIdentity, ...], _Rows]] = {}
        self._evicted_at = -np.inf
        self._newest_rows: tuple[_Rows, tuple[GPUIdentity, ...]] | None = None
        """Which rows are news, and of which devices, until the next round comes."""
        self._read: tuple[_Rows, NDArray[np.bool_], Floats, Floats] | None = None
        """Of these rows, which are fresh, what they read and when."""

    def add_round(
        self,
        found: GPURound,
        now: float | None = None,
        *,
        living: Callable[[], Mapping[tuple[str, str], str]] | None = None,
    ) -> int:
        """Add a round received at `now`; returns how many of its readings were new.

        Without `now` a round dates itself by its newest reading, and an empty one by nothing. `living` tells the uids
        of the pods that there are: what the others did is let go of within a minute, though its window is not over.
        """
        now = _newest(found) if now is None else now
        source, self._newest_rows = self._source(found.source), None
        self._states[found.source] = (found.state, now, found.interval_seconds)
        self._evict(now, living)
        rows = self._rows_of(found)
        return self._ring.write(rows, found, source, outranks=self._outranked(found.source))

    def add_progress(self, readings: Iterable[ProgressReading]) -> int:
        """Add what pods reported; returns how many were new. A counter falls only where its process began anew."""
        new = 0
        for reading in readings:
            key = (reading.namespace, reading.pod)
            held = self._progress.get(key)
            if held is not None and held.identity.pod_uid != reading.pod_uid:
                held = self._progress[key] = PodProgress(reading, self._slots)
            if held is None or reading.observed_at < held.newest - SET_BACK_SECONDS:
                if held is None and len(self._progress) >= self._max_pods:
                    self.refused_pods += 1
                    continue
                held = self._progress[key] = PodProgress(reading, self._slots)
            new += held.add(reading)
        return new

    @property
    def refused_devices(self) -> int:
        """Devices that found the store full, counted once a round in which labels changed."""
        return self._ring.refused

    @property
    def metrics_kept(self) -> int:
        """Metrics of which a history is kept: those that were ever told."""
        return self._ring.metrics_kept

    def latest(self, now: float) -> FleetReadings:
        """The newest reading of every device, NaN where stale; a device that changed hands appears once."""
        ring = self._ring
        if self._newest_rows is None:
            rows = ring.used()
            rows = rows[self._current(rows)]
            devices = tuple(device for row in rows.tolist() if (device := ring.identities[row]) is not None)
            self._newest_rows = rows, devices
        rows, devices = self._newest_rows
        refused = {node: why for each in self._refused.values() for node, why in each.items()}
        return FleetReadings(devices, *self._read_of(rows, now), self.states(now), refused)

    def _read_of(self, rows: _Rows, now: float) -> tuple[Floats, Floats]:
        """The same arrays as before while no round came and nothing went stale: of a large fleet they take ten MB."""
        fresh, kept = self._ring.fresh(rows, now), self._read
        if kept is None or kept[0] is not rows or not np.array_equal(kept[1], fresh):
            values = self._ring.latest[rows]
            values[~fresh] = np.nan
            kept = self._read = (rows, fresh, values, self._ring.observed_at[rows])
        return kept[2], kept[3]

    def refuse(self, source: str, refused: Mapping[str, str]) -> None:
        """Why readings of nodes were not believed in the source's last round, by node."""
        self._refused[source] = refused

    def unread(self, source: str, problems: Mapping[str, str]) -> None:
        """Why pods' own reports could not be read in the source's last round, by "namespace/pod"."""
        self._unread[source] = dict(problems)

    def states(self, now: float) -> dict[str, SourceState]:
        """State of each source; one that gave no round for two intervals is stale."""
        return {
            source: SourceState.STALE if now - at > STALE_INTERVALS * interval else state
            for source, (state, at, interval) in self._states.items()
        }

    def series(
        self,
        pods: Iterable[tuple[str, str]],
        now: float,
        window_seconds: float | None = None,
        *,
        uids: Mapping[tuple[str, str], str] | None = None,
    ) -> WorkloadSeries | None:
        """Recent past of the devices and counters of these (namespace, pod) keys; None when nothing is known of them.

        `uids` says which pod of each name is meant: what an earlier one of that name did is not the later one's.
        Devices whose newest reading is stale are NaN throughout, pods whose progress is stale are left out.
        """
        keys = list(pods)
        seconds = self.window_seconds if window_seconds is None else window_seconds
        ring = self._ring
        rows = self._rows_held(keys, uids or {})
        progress = self._progress_of(keys, now, seconds, uids or {})
        unread = "" if progress else self._why_unread(keys)
        if not len(rows) and not progress and not unread:
            return None
        devices = tuple(device for row in rows.tolist() if (device := ring.identities[row]) is not None)
        times, values = ring.window(rows, now, seconds)
        interval = float(ring.interval[rows].max()) if len(rows) else self._progress_interval
        names = {self._sources[number] for number in ring.source[rows].tolist()}
        names.update(reading.source for reading in progress)
        return WorkloadSeries(devices, times, values, interval, progress, tuple(sorted(names)), unread)

    def stands(
        self, level: Level, pods: Iterable[tuple[str, str]], now: float, *, uids: Mapping[tuple[str, str], str]
    ) -> bool:
        """Do the newest readings of these pods keep to `level`? A fraction of the work of `series`."""
        keys = list(pods)
        rows = self._rows_held(keys, uids)
        values = self._ring.latest[rows]
        values[~self._ring.fresh(rows, now)] = np.nan
        devices = tuple(device for row in rows.tolist() if (device := self._ring.identities[row]) is not None)
        since = now - RECENT_PACE_SECONDS
        told = [each for held in self._speaking(keys, now, uids) for each in held.ends(since, now)]
        return stands(level, Newest(devices, values, paces_of(tuple(told))))

    def _rows_held(self, keys: list[tuple[str, str]], uids: Mapping[tuple[str, str], str]) -> _Rows:
        mine = (row for key in keys for row in self._ring.rows_of_pod.get(key, ()) if self._is_of(row, key, uids))
        return np.array(sorted(mine), dtype=np.intp)

    def _why_unread(self, keys: list[tuple[str, str]]) -> str:
        names = [f"{namespace}/{pod}" for namespace, pod in keys]
        return next((told[name] for told in self._unread.values() for name in names if name in told), "")

    def _is_of(self, row: int, key: tuple[str, str], uids: Mapping[tuple[str, str], str]) -> bool:
        device = self._ring.identities[row]
        return device is not None and device.pod_uid in (None, uids.get(key, device.pod_uid))

    def _source(self, name: str) -> int:
        if name not in self._sources:
            if len(self._sources) >= _MOST_SOURCES:
                raise ValueError(f"telemetry source {name!r}: at most {_MOST_SOURCES} sources can be stored")
            self._sources.append(name)
        return self._sources.index(name)

    def _outranked(self, name: str) -> NDArray[np.bool_]:
        last = len(self._prefer)
        rank = self._prefer.get(name, last)
        return np.array([rank < self._prefer.get(other, last) for other in self._sources])

    def _rows_of(self, found: GPURound) -> _Rows:
        cached = self._rows.get(found.source)
        if cached is not None and cached[0] is found.devices:
            return cached[1]
        rows = self._ring.rows(found.devices)
        self._rows[found.source] = (found.devices, rows)
        return rows

    def _evict(self, now: float, living: Callable[[], Mapping[tuple[str, str], str]] | None) -> None:
        if 0 <= now - self._evicted_at < _EVICT_EVERY_SECONDS or not np.isfinite(now):
            return
        self._evicted_at = now
        self._newest_rows = None
        uids = None if living is None else living()
        if self._ring.evict(uids):
            self._rows.clear()
        for key in [key for key, held in self._progress.items() if self._is_over(key, held, now, uids)]:
            del self._progress[key]

    def _is_over(
        self, key: tuple[str, str], held: PodProgress, now: float, uids: Mapping[tuple[str, str], str] | None
    ) -> bool:
        """Silent for a whole window, or of a pod that is gone."""
        silent = held.newest < now - self.window_seconds
        return silent or (uids is not None and held.identity.pod_uid not in (None, uids.get(key)))

    def _current(self, rows: _Rows) -> NDArray[np.bool_]:
        """Rows that hold the newest news of their GPU: the former pod's row of a device is history at once."""
        ring = self._ring
        numbers: dict[tuple[str | None, str], int] = {}
        gpu = np.array(
            [
                numbers.setdefault((device.node, device.key.uuid), len(numbers))
                for row in rows.tolist()
                if (device := ring.identities[row]) is not None
            ],
            dtype=np.intp,
        )
        newest = np.full(len(numbers), -np.inf)
        np.maximum.at(newest, gpu, ring.observed_at[rows])
        found: NDArray[np.bool_] = ring.observed_at[rows] >= newest[gpu]
        return found

    def _progress_of(
        self, keys: list[tuple[str, str]], now: float, seconds: float, uids: Mapping[tuple[str, str], str]
    ) -> tuple[ProgressReading, ...]:
        held = self._speaking(keys, now, uids)
        readings = [reading for each in held for reading in each.readings(now - seconds, now)]
        return tuple(sorted(readings, key=lambda reading: reading.observed_at))

    def _speaking(
        self, keys: list[tuple[str, str]], now: float, uids: Mapping[tuple[str, str], str]
    ) -> list[PodProgress]:
        """The pods whose progress is fresh; a frontend only where nobody behind it tells."""
        interval = self._progress_interval
        known = ((key, found) for key in keys if (found := self._progress.get(key)) is not None)
        held = [
            found
            for key, found in known
            if found.fresh(now, interval) and found.identity.pod_uid in (None, uids.get(key, found.identity.pod_uid))
        ]
        if {each.identity.source for each in held} - {DYNAMO_FRONTEND.name}:
            return [each for each in held if each.identity.source != DYNAMO_FRONTEND.name]
        return held


def _newest(found: GPURound) -> float:
    known = found.observed_at[np.isfinite(found.observed_at)]
    return float(known.max()) if len(known) else np.inf
