"""dcgm-exporter, all naming and unit regimes: the bodies of many targets → one GPURound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from mfu.observe.readings import METRICS, Floats, GPUIdentity, GPURound, Metric, SourceState
from mfu.telemetry.blanks import blank_to_nan, impossible_to_nan
from mfu.telemetry.dcgm_fields import PROFILING_COLUMNS, Raw
from mfu.telemetry.dcgm_text import DCGMText, RawRows
from mfu.telemetry.dcgm_units import Targets, to_metrics
from mfu.telemetry.faults import erase_stuck, tdps
from mfu.telemetry.memory import Observation, RowMemory
from mfu.telemetry.merge import Plan, plan

DEFAULT_COLLECTION_SECONDS: Final = 30.0
"""dcgm-exporter's --collect-interval default is 30000 ms."""
_NAMED: Final = 3


@dataclass(slots=True)
class _Target:
    text: DCGMText
    digest: int = 0
    changed_at: float = -np.inf


@dataclass(slots=True)
class DCGMFleet:
    """Adapter of any number of dcgm-exporters. It keeps label sets and the last counters, never a history.

    `scrape_seconds` is how often `round` is called; `collection_seconds` the exporters' own interval. A body whose
    numbers all repeat was collected once and scraped twice: its readings keep their first time.
    """

    scrape_seconds: float = 15.0
    collection_seconds: float = DEFAULT_COLLECTION_SECONDS
    source: str = "dcgm-exporter"
    states: dict[str, SourceState] = field(default_factory=dict)
    """What each target could give at the last round."""
    _targets: dict[str, _Target] = field(default_factory=dict)
    _memory: RowMemory = field(default_factory=RowMemory)
    _parts: tuple[tuple[GPUIdentity, ...], ...] = ()
    _rows: tuple[GPUIdentity, ...] = ()
    _plan: Plan = field(default_factory=lambda: plan(()))
    _tdp: Floats = field(default_factory=lambda: np.empty(0))

    @property
    def interval_seconds(self) -> float:
        return max(self.scrape_seconds, self.collection_seconds)

    def round(
        self, bodies: Mapping[str, bytes | None], now: float, *, nodes: Mapping[str, str] | None = None
    ) -> GPURound:
        """One GPURound of all targets by name; None is a target that could not be read.

        `nodes` gives the Node of a target where the caller knows it. Never raises on what a body holds.
        """
        nodes = nodes or {}
        self._forget(bodies)
        scrapes: list[RawRows] = []
        times: list[float] = []
        for name, body in bodies.items():
            rows = self._read(name, body, nodes.get(name))
            if rows is not None and rows.devices:
                scrapes.append(rows)
                times.append(self._collected_at(name, rows, now))
        if not scrapes:
            return self._nothing(bodies)
        return self._assemble(scrapes, times, now)

    def _forget(self, bodies: Mapping[str, bytes | None]) -> None:
        for name in self._targets.keys() - bodies.keys():
            del self._targets[name]
        self.states = {}

    def _read(self, name: str, body: bytes | None, node: str | None) -> RawRows | None:
        if body is None:
            self.states[name] = SourceState.UNREACHABLE
            return None
        target = self._targets.setdefault(name, _Target(DCGMText(node)))
        rows = target.text.read(body)
        self.states[name] = _state(rows)
        return rows

    def _collected_at(self, name: str, rows: RawRows, now: float) -> float:
        target, digest = self._targets[name], hash(rows.values.tobytes())
        if digest != target.digest:
            target.digest, target.changed_at = digest, now
        return target.changed_at

    def _nothing(self, bodies: Mapping[str, bytes | None]) -> GPURound:
        reached = sum(body is not None for body in bodies.values())
        state = SourceState.INVALID if reached else SourceState.UNREACHABLE
        message = f"no GPU series in {reached} bodies" if reached else f"none of {len(bodies)} targets answered"
        return GPURound(self.source, state, (), np.empty(0), np.empty((0, METRICS)), self.interval_seconds, message)

    def _assemble(self, scrapes: list[RawRows], times: list[float], now: float) -> GPURound:
        self._replan(scrapes)
        sizes = [len(scrape.devices) for scrape in scrapes]
        targets = Targets(
            np.repeat(np.arange(len(scrapes)), sizes), np.array([int(scrape.traits) for scrape in scrapes])
        )
        raw = blank_to_nan(np.concatenate([scrape.values for scrape in scrapes]))
        values, impossible = impossible_to_nan(to_metrics(raw, targets))
        observed_at = _with_stamps(np.repeat(np.array(times), sizes), scrapes, now)
        seen = self._memory.advance(self._rows, _observation(observed_at, raw, values))
        values[:, Metric.POWER_VIOLATION_RATIO] = seen.power_ratio
        values[:, Metric.THERMAL_VIOLATION_RATIO] = seen.thermal_ratio
        merged, stuck = erase_stuck(self._plan.apply(values), self._tdp, self._plan.devices)
        message = self._message(scrapes, impossible=impossible, stuck=stuck)
        times_out = seen.observed_at[self._plan.base]
        return GPURound(
            self.source, self._overall(merged), self._plan.devices, times_out, merged, self.interval_seconds, message
        )

    def _replan(self, scrapes: list[RawRows]) -> None:
        parts = tuple(scrape.devices for scrape in scrapes)
        if len(parts) == len(self._parts) and all(a is b for a, b in zip(parts, self._parts, strict=True)):
            return
        self._parts = parts
        self._rows = tuple(device for part in parts for device in part)
        self._plan = plan(self._rows)
        self._tdp = tdps(self._plan.devices)

    def _overall(self, values: Floats) -> SourceState:
        return SourceState.OK if _any_profiling(values) else SourceState.PROFILING_MISSING

    def _message(self, scrapes: list[RawRows], *, impossible: int, stuck: int) -> str:
        unreachable = [name for name, state in self.states.items() if state is SourceState.UNREACHABLE]
        missing = [name for name, state in self.states.items() if state is SourceState.PROFILING_MISSING]
        parts = [
            _named(unreachable, f"of {len(self.states)} targets did not answer"),
            _named(missing, "targets export no profiling metrics (the profiling module is not loaded)"),
            _counted(sum(scrape.problems for scrape in scrapes), "lines skipped"),
            _counted(impossible, "impossible values dropped"),
            _counted(stuck, "devices with profiling counters stuck at zero under load: restart the DCGM host engine"),
            _counted(self._plan.duplicates, "duplicate series"),
        ]
        return "; ".join(part for part in parts if part)


def _state(rows: RawRows) -> SourceState:
    if not rows.devices:
        return SourceState.INVALID
    profiling = rows.values[:, : Raw.CLOCK]
    return SourceState.PROFILING_MISSING if np.isnan(profiling).all() else SourceState.OK


def _any_profiling(values: Floats) -> bool:
    return not bool(np.isnan(values[:, PROFILING_COLUMNS]).all())


def _observation(observed_at: Floats, raw: Floats, values: Floats) -> Observation:
    unknown = np.full(len(raw), np.nan)
    caps = np.where(
        np.isnan(raw[:, Raw.POWER_BRAKE_NS]),
        raw[:, Raw.SW_POWER_CAP_NS],
        raw[:, Raw.SW_POWER_CAP_NS] + raw[:, Raw.POWER_BRAKE_NS],
    )
    heat = np.where(
        np.isnan(raw[:, Raw.HW_THERMAL_NS]),
        raw[:, Raw.SW_THERMAL_NS],
        raw[:, Raw.SW_THERMAL_NS] + raw[:, Raw.HW_THERMAL_NS],
    )
    power = np.where(np.isnan(raw[:, Raw.POWER_VIOLATION_NS]), caps, raw[:, Raw.POWER_VIOLATION_NS])
    thermal = np.where(np.isnan(raw[:, Raw.THERMAL_VIOLATION_NS]), heat, raw[:, Raw.THERMAL_VIOLATION_NS])
    return Observation(observed_at, values[:, Metric.ENERGY], power, thermal, unknown, unknown)


def _with_stamps(times: Floats, scrapes: list[RawRows], now: float) -> Floats:
    first = 0
    for scrape in scrapes:
        for row, stamp in scrape.stamps.items():
            times[first + row] = min(stamp, now)
        first += len(scrape.devices)
    return times


def _named(names: list[str], what: str) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return f"{len(names)} {what}: {shown}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def read_once(body: bytes, now: float, *, node: str | None = None) -> GPURound:
    """One body by itself, as a command line or a test has it: no rates, no repeats."""
    return DCGMFleet().round({"target": body}, now, nodes={} if node is None else {"target": node})
