"""Exposition of device metrics → one row per device and pod, fast: label sets are parsed once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import Floats, GPUIdentity
from mfu.telemetry.text.body_shape import BodyShape
from mfu.telemetry.text.exposition import parse_labels, parse_value, whole_lines

_MAX_LABEL_SETS = 8192
_IGNORED = -1
_MALFORMED = -2


@dataclass(frozen=True, slots=True)
class PrintedLayout:
    """How one kind of exporter prints devices."""

    columns: Mapping[bytes, int]
    """Series name → column; other series are passed over."""
    width: int
    identity: Callable[[Mapping[str, str], str | None], GPUIdentity | None]
    """Labels and the target's node, where known → device and pod; None when the series is about no device."""
    traits: Callable[[Mapping[str, str]], int] = lambda labels: 0
    """Bits that labels give away about the exporter's version."""


@dataclass(frozen=True, slots=True)
class ScrapedRows:
    """One target's scrape: `values` [rows, width] as printed, NaN where absent. Rows are (device, pod).

    `devices` is the same object as long as the target's label sets stay the same.
    """

    devices: tuple[GPUIdentity, ...]
    values: Floats
    traits: int = 0
    malformed: int = 0
    conflicting: int = 0
    truncated: bool = False
    stamps: Mapping[int, float] = field(default_factory=dict)
    """Oldest sample timestamp by row, where the text carries any (an exporter's does not, a federation's does)."""

    @property
    def problems(self) -> int:
        return self.malformed + self.conflicting + self.truncated


@dataclass(slots=True)
class _Scanned:
    cells: list[int] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    used: set[bytes] = field(default_factory=set)
    """Label sets that the body shows."""
    stamps: dict[int, float] = field(default_factory=dict)
    malformed: int = 0


@dataclass(slots=True)
class TableText:
    """Reader of one target. Keeps the parsed label sets between scrapes, about 0.5 KiB a device."""

    layout: PrintedLayout
    node: str | None = None
    _sets: dict[bytes, int] = field(default_factory=dict)
    _rows: dict[GPUIdentity, int] = field(default_factory=dict)
    _devices: tuple[GPUIdentity, ...] = ()
    _traits: int = 0
    _shape: BodyShape | None = None

    def read(self, body: bytes) -> ScrapedRows:
        """Rows of one body. Lines that cannot be read are counted; a sample given twice with two values is dropped."""
        lines, truncated = whole_lines(body)
        known = None if self._shape is None or truncated else self._shape.read(lines)
        if known is not None and self._shape is not None:
            values = np.full(len(self._rows) * self.layout.width, np.nan)
            values[self._shape.cells] = known
            return ScrapedRows(self._devices, values.reshape(-1, self.layout.width), self._traits)
        return self._read_slowly(lines, truncated)

    def _read_slowly(self, lines: list[bytes], truncated: bool) -> ScrapedRows:
        before = len(self._sets)
        scanned = self._scan(lines)
        if before and (len(self._sets) != before or not scanned.used >= self._sets.keys()):
            # Labels changed: what the old ones gave away about the exporter's version may hold no longer.
            self._forget()
            scanned = self._scan(lines)
        if self._devices != (devices := tuple(self._rows)):
            self._devices = devices
        values = np.full(len(self._rows) * self.layout.width, np.nan)
        index, numbers = np.array(scanned.cells, dtype=np.intp), np.array(scanned.numbers, dtype=np.float64)
        values[index] = numbers
        conflicting = _drop_conflicts(values, index, numbers)
        table = values.reshape(-1, self.layout.width)
        rows = ScrapedRows(
            self._devices, table, self._traits, scanned.malformed, conflicting, truncated, scanned.stamps
        )
        seen = self._seen(scanned)
        if not seen.all():
            self._forget()
            return _only(rows, seen)
        clean = not rows.problems and not rows.stamps
        self._shape = BodyShape.of(lines, scanned.lines, index) if clean else None
        return rows

    def _seen(self, scanned: _Scanned) -> NDArray[np.bool_]:
        """Per row: did the scan find a number for it?"""
        seen = np.zeros(len(self._rows), dtype=bool)
        seen[np.array(scanned.cells, dtype=np.intp) // self.layout.width] = True
        return seen

    def _scan(self, lines: list[bytes]) -> _Scanned:
        columns, width, sets, found = self.layout.columns, self.layout.width, self._sets, _Scanned()
        for at, line in enumerate(lines):
            name, _, rest = line.partition(b"{")
            column = columns.get(name)
            if column is None:
                continue
            inside, brace, tail = rest.rpartition(b"}")
            row = sets.get(inside)
            if row is None:
                row = self._remember(inside) if brace else _MALFORMED
            if brace:
                found.used.add(inside)
            if row < 0:
                found.malformed += row == _MALFORMED
                continue
            value = _value(tail, row, found)
            if value is None:
                found.malformed += 1
                continue
            found.cells.append(row * width + column)
            found.numbers.append(value)
            found.lines.append(at)
        return found

    def _remember(self, inside: bytes) -> int:
        labels = parse_labels(inside)
        if labels is None or len(self._sets) >= _MAX_LABEL_SETS:
            return _MALFORMED
        self._traits |= self.layout.traits(labels)
        device = self.layout.identity(labels, self.node)
        self._sets[inside] = _IGNORED if device is None else self._rows.setdefault(device, len(self._rows))
        return self._sets[inside]

    def _forget(self) -> None:
        self._sets.clear()
        self._rows.clear()
        self._traits = 0
        self._shape = None


def _value(tail: bytes, row: int, found: _Scanned) -> float | None:
    """The number behind the labels; None when there is none. A timestamp behind it is noted."""
    try:
        return None if b"_" in tail else float(tail)
    except ValueError:
        parsed = parse_value(tail)
    if parsed is None:
        return None
    value, stamp = parsed
    if stamp is not None:
        found.stamps[row] = min(stamp, found.stamps.get(row, stamp))
    return value


def _drop_conflicts(values: Floats, index: NDArray[np.intp], numbers: Floats) -> int:
    """A cell that was given twice with different numbers has no value we could trust. A repeated NaN is no conflict."""
    kept = values[index]
    differs = kept != numbers
    if not differs.any():
        return 0
    wrong = np.unique(index[differs & ~(np.isnan(kept) & np.isnan(numbers))])
    values[wrong] = np.nan
    return len(wrong)


def _only(rows: ScrapedRows, keep: NDArray[np.bool_]) -> ScrapedRows:
    devices = tuple(device for device, kept in zip(rows.devices, keep, strict=True) if kept)
    moved = np.cumsum(keep) - 1
    stamps = {int(moved[row]): stamp for row, stamp in rows.stamps.items()}
    return replace(rows, devices=devices, values=rows.values[keep], stamps=stamps)
