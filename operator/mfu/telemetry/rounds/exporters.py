"""The bodies of many exporters of one kind → one GPURound, whatever the kind: what all adapters of exporters share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from mfu.observe.readings import METRICS, Floats, GPUIdentity, GPURound, Metric, SourceState
from mfu.telemetry.rounds.between import RowMemory, RowReading
from mfu.telemetry.rounds.blanks import blank_to_nan, impossible_to_nan
from mfu.telemetry.rounds.contradictions import PROFILING_COLUMNS, erase_stuck, tdps
from mfu.telemetry.rounds.merge import MergePlan, plan
from mfu.telemetry.rounds.table import PrintedLayout, ScrapedRows, TableText

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Converted:
    """Rows of all targets in the units of `readings`, with what only this kind of exporter knows."""

    values: Floats
    """[rows, METRICS]"""
    power_ns: Floats
    """Nanoseconds held back by power so far [rows], NaN where it is not counted."""
    thermal_ns: Floats
    sampled_at: Floats
    """When the exporter itself read the row [rows], NaN where it does not say."""


@dataclass(frozen=True, slots=True)
class StackedRows:
    """Raw rows of all targets, one after the other: `of_row` [rows] numbers the target of each row."""

    values: Floats
    of_row: np.ndarray[tuple[int], np.dtype[np.intp]]
    traits: np.ndarray[tuple[int], np.dtype[np.int64]]


class ExporterKind(Protocol):
    """One kind of exporter: how it prints, and how its numbers become ours."""

    layout: PrintedLayout

    def convert(self, stack: StackedRows) -> Converted: ...


@dataclass(slots=True)
class _Target:
    text: TableText
    digest: int = 0
    changed_at: float = -np.inf

    def collected_at(self, rows: ScrapedRows, now: float) -> float:
        """When the exporter collected these rows: when they first differed from the rows before."""
        digest = hash(rows.values.tobytes())
        if digest != self.digest:
            self.digest, self.changed_at = digest, now
        return self.changed_at


@dataclass(slots=True)
class ExporterFleet:
    """Adapter of any number of exporters. It keeps label sets and the last counters, never a history.

    `scrape_seconds` is how often `round` is called; `collection_seconds` the exporters' own interval. A body whose
    numbers all repeat was collected once and scraped twice: its readings keep their first time.
    """

    kind: ExporterKind
    source: str
    scrape_seconds: float
    collection_seconds: float
    states: dict[str, SourceState] = field(default_factory=dict)
    """What each target could give at the last round."""
    _targets: dict[str, _Target] = field(default_factory=dict)
    _taken: dict[str, tuple[ScrapedRows, float]] = field(default_factory=dict)
    _memory: RowMemory = field(default_factory=RowMemory)
    _parts: tuple[tuple[GPUIdentity, ...], ...] = ()
    _rows: tuple[GPUIdentity, ...] = ()
    _plan: MergePlan = field(default_factory=lambda: plan(()))
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
        for name, body in bodies.items():
            if body is not None:
                self.take(name, body, now, node=nodes.get(name))
        return self.finish(bodies, now)

    def take(self, name: str, body: bytes, now: float, *, node: str | None = None) -> None:
        """Read one target's body as it arrives: bodies of thousands of nodes are never held at once."""
        target = self._targets.get(name)
        if target is None or target.text.node != node:
            target = self._targets[name] = _Target(TableText(self.kind.layout, node))
        rows = target.text.read(body)
        self._taken[name] = rows, target.collected_at(rows, now)

    def finish(self, names: Iterable[str], now: float) -> GPURound:
        """The round of these targets, in this order; those that were not taken since the last round did not answer."""
        order = list(names)
        taken, self._taken = self._taken, {}
        for name in self._targets.keys() - set(order):
            del self._targets[name]
        self.states = {name: _state(taken.get(name)) for name in order}
        readable = [taken[name] for name in order if self.states[name] is SourceState.OK]
        if not readable:
            return self._nothing()
        return self._assemble([rows for rows, _ in readable], [at for _, at in readable], now)

    def _nothing(self) -> GPURound:
        reached = sum(state is SourceState.INVALID for state in self.states.values())
        state = SourceState.INVALID if reached else SourceState.UNREACHABLE
        message = f"no GPU series in {reached} bodies" if reached else f"none of {len(self.states)} targets answered"
        return GPURound(self.source, state, (), np.empty(0), np.empty((0, METRICS)), self.interval_seconds, message)

    def _assemble(self, scrapes: list[ScrapedRows], times: list[float], now: float) -> GPURound:
        self._replan(scrapes)
        sizes = np.array([len(scrape.devices) for scrape in scrapes])
        raw = blank_to_nan(np.concatenate([scrape.values for scrape in scrapes]))
        stack = StackedRows(
            raw, np.repeat(np.arange(len(scrapes)), sizes), np.array([scrape.traits for scrape in scrapes])
        )
        converted = self.kind.convert(stack)
        values, impossible = impossible_to_nan(converted.values)
        observed_at = _with_stamps(np.repeat(np.array(times), sizes), scrapes, now)
        observed_at = np.fmin(observed_at, converted.sampled_at)
        seen = self._memory.advance(self._rows, _observation(observed_at, values, converted))
        for column, ratio in (
            (Metric.POWER_VIOLATION_RATIO, seen.power_ratio),
            (Metric.THERMAL_VIOLATION_RATIO, seen.thermal_ratio),
        ):
            values[:, column] = np.where(np.isnan(values[:, column]), ratio, values[:, column])
        self._note_profiling(values, stack)
        merged, stuck = erase_stuck(self._plan.apply(values), self._tdp, self._plan.devices)
        state = SourceState.OK if self._any_profiling() else SourceState.PROFILING_MISSING
        if not (seen.observed_at >= now - 2 * self.interval_seconds).any():
            state = SourceState.STALE
        message = self._message(scrapes, impossible=impossible, stuck=stuck)
        dated = seen.observed_at[self._plan.base]
        return GPURound(self.source, state, self._plan.devices, dated, merged, self.interval_seconds, message)

    def _replan(self, scrapes: list[ScrapedRows]) -> None:
        parts = tuple(scrape.devices for scrape in scrapes)
        if len(parts) == len(self._parts) and all(a is b for a, b in zip(parts, self._parts, strict=True)):
            return
        self._parts = parts
        self._rows = tuple(device for part in parts for device in part)
        self._plan = plan(self._rows, [number for number, part in enumerate(parts) for _ in part])
        self._tdp = tdps(self._plan.devices)

    def _note_profiling(self, values: Floats, stack: StackedRows) -> None:
        known = ~np.isnan(values[:, PROFILING_COLUMNS]).all(axis=1)
        with_profiling = np.bincount(stack.of_row, weights=known, minlength=len(stack.traits)) > 0
        readable = [name for name, state in self.states.items() if state is SourceState.OK]
        for name, found in zip(readable, with_profiling.tolist(), strict=True):
            if not found:
                self.states[name] = SourceState.PROFILING_MISSING

    def _any_profiling(self) -> bool:
        return SourceState.OK in self.states.values()

    def _message(self, scrapes: list[ScrapedRows], *, impossible: int, stuck: int) -> str:
        parts = [
            self._named(SourceState.UNREACHABLE, f"of {len(self.states)} targets did not answer"),
            self._named(SourceState.INVALID, "targets serve no GPU series"),
            self._named(SourceState.PROFILING_MISSING, "targets export no profiling metrics (module not loaded)"),
            _counted(sum(scrape.problems for scrape in scrapes), "lines skipped"),
            _counted(impossible, "impossible values dropped"),
            _counted(stuck, "devices with profiling counters stuck at zero under load: restart the DCGM host engine"),
            _counted(self._plan.duplicates, "duplicate series"),
        ]
        return "; ".join(part for part in parts if part)

    def _named(self, state: SourceState, what: str) -> str:
        names = [name for name, found in self.states.items() if found is state]
        shown = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
        return f"{len(names)} {what}: {shown}" if names else ""


def _state(taken: tuple[ScrapedRows, float] | None) -> SourceState:
    if taken is None:
        return SourceState.UNREACHABLE
    return SourceState.OK if taken[0].devices else SourceState.INVALID


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _observation(observed_at: Floats, values: Floats, converted: Converted) -> RowReading:
    unknown = np.full(len(values), np.nan)
    return RowReading(observed_at, values[:, Metric.ENERGY], converted.power_ns, converted.thermal_ns, unknown, unknown)


def _with_stamps(times: Floats, scrapes: list[ScrapedRows], now: float) -> Floats:
    first = 0
    for scrape in scrapes:
        for row, stamp in scrape.stamps.items():
            times[first + row] = min(stamp, now)
        first += len(scrape.devices)
    return times
