"""What the recording rules hold, as answers of a query API → GPURound. Label sets are parsed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import METRICS, Floats, GPUIdentity, GPUKey, GPURound, Metric, SourceState
from mfu.telemetry.dcgm.labels import identity, key
from mfu.telemetry.prometheus.answers import labels_of, vector
from mfu.telemetry.prometheus.rules import EXPORTER_LABEL, OBSERVED_AT, RULES
from mfu.telemetry.prometheus.speaking import NOBODY, Speaking, speaking
from mfu.telemetry.rounds.between import RowMemory, RowReading
from mfu.telemetry.rounds.blanks import blank_to_nan, impossible_to_nan
from mfu.telemetry.rounds.contradictions import PROFILING_COLUMNS, erase_stuck, tdps
from mfu.telemetry.rounds.merge import MergePlan, plan

_TIME: Final = METRICS
COLUMNS: Final = ((OBSERVED_AT, _TIME), *((rule.record, int(rule.metric)) for rule in RULES if rule.metric is not None))
"""Recorded series and the column of each."""
_SPARE: Final = 1024
_POD_LABELS: Final = frozenset({"pod", "namespace", "container"})


def exporters_own(labels: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """Scrape jobs whose plain pod labels name the exporter: those where some series has `exported_pod`."""
    return frozenset(each.get("job", "") for each in labels if "exported_pod" in each or "exported_namespace" in each)


def without_exporter(labels: Mapping[str, str], exporters: frozenset[str]) -> Mapping[str, str]:
    """Labels without the exporter's own pod, which plain `pod` names in such a job, also on a free GPU."""
    if labels.get("job", "") not in exporters:
        return labels
    return {name: value for name, value in labels.items() if name not in _POD_LABELS}


_Printed = tuple[str, GPUIdentity]
"""A device with the exporter that printed it."""
_Printer = tuple[str, GPUKey]


@dataclass(slots=True)
class _Identities:
    """Devices and pods by the JSON text of their labels."""

    exporters: frozenset[str] = frozenset()
    known: dict[bytes, _Printed | None] = field(default_factory=dict)

    def read(self, info: bytes, source: str) -> tuple[_Printed, ...]:
        texts = vector(info, source).labels
        fresh = {text: labels_of(text) or {} for text in texts if text not in self.known}
        exporters = self.exporters | exporters_own(fresh.values())
        if exporters != self.exporters or len(self.known) > 2 * len(texts) + _SPARE:
            self.exporters = exporters
            self.known.clear()
            fresh = {text: labels_of(text) or {} for text in texts}
        for text, labels in fresh.items():
            device = identity(without_exporter(labels, exporters), relabelled=True)
            self.known[text] = None if device is None else (labels.get(EXPORTER_LABEL, ""), device)
        return tuple(printed for text in texts if (printed := self.known[text]) is not None)


@dataclass(slots=True)
class _Table:
    """Values by exporter and device key: `numbers` gives each its row."""

    numbers: dict[_Printer, int] = field(default_factory=dict)
    _texts: dict[bytes, int] = field(default_factory=dict)
    _order: tuple[list[bytes], NDArray[np.intp]] = field(default_factory=lambda: ([], np.empty(0, dtype=np.intp)))
    """Labels of the last answer and their rows: servers give every answer in one order."""

    _columns: dict[int, tuple[NDArray[np.intp], Floats]] = field(default_factory=dict)

    def take(self, column: int, body: bytes, source: str) -> None:
        self._columns[column] = self._column(body, source)

    def finish(self) -> Floats:
        """[keys, METRICS + 1] of the columns taken since the last start."""
        table = np.full((len(self.numbers), METRICS + 1), np.nan)
        for column, (rows, values) in self._columns.items():
            known = rows >= 0
            table[rows[known], column] = values[known]
        return table

    def start(self) -> None:
        self._columns.clear()

    def forget(self) -> None:
        self.numbers.clear()
        self._texts.clear()
        self._order = [], np.empty(0, dtype=np.intp)

    def _column(self, body: bytes, source: str) -> tuple[NDArray[np.intp], Floats]:
        found = vector(body, source)
        if found.labels == self._order[0]:
            return self._order[1], np.array(found.values, dtype=np.float64)
        rows = list(map(self._texts.get, found.labels))
        numbers = [self._number(found.labels[place]) if row is None else row for place, row in enumerate(rows)]
        self._order = found.labels, np.array(numbers, dtype=np.intp)
        return self._order[1], np.array(found.values, dtype=np.float64)

    def _number(self, text: bytes) -> int:
        labels = labels_of(text) or {}
        device = key(labels)
        printer = None if device is None else (labels.get(EXPORTER_LABEL, ""), device)
        self._texts[text] = -1 if printer is None else self.numbers.setdefault(printer, len(self.numbers))
        return self._texts[text]


@dataclass(slots=True)
class RecordedRules:
    """Adapter of the recording rules. Keeps label sets and the last energy counters, never a history."""

    interval_seconds: float
    source: str = "prometheus"
    speaking: Speaking = field(default_factory=Speaking)
    _identities: _Identities = field(default_factory=_Identities)
    _table: _Table = field(default_factory=_Table)
    _memory: RowMemory = field(default_factory=RowMemory)
    _found: tuple[_Printed, ...] = ()
    _devices: tuple[_Printed, ...] = ()
    _numbered: int = 0
    _plan: MergePlan = field(default_factory=lambda: plan(()))
    _rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    _tdp: Floats = field(default_factory=lambda: np.empty(0))

    def round(self, info: bytes, answers: Mapping[int, bytes], now: float) -> GPURound:
        """`info` answers the identity query, `answers` by column the others. Raises TelemetryError otherwise."""
        self.start(info)
        for column, body in answers.items():
            self.take(column, body)
        return self.finish(now)

    def start(self, info: bytes, places: Mapping[str, str] = NOBODY) -> None:
        """Begin a round with the answer of the identity query; `places` are nodes by address."""
        if len(self._table.numbers) > 2 * len(self._devices) + _SPARE:
            self._table.forget()
            self._devices = ()
        self._table.start()
        found = self._identities.read(info, self.source)
        self.speaking = speaking({(exporter, device.node) for exporter, device in found}, places)
        self._found = _heard(found, self.speaking)

    def take(self, column: int, body: bytes) -> None:
        """Read one column's answer as it arrives: answers are never held together."""
        self._table.take(column, body, self.source)

    def finish(self, now: float) -> GPURound:
        """The round of what was taken since `start`."""
        devices, table = self._found, self._table.finish()
        if not devices or not len(table):
            problem = "the recording rules hold no GPU: load recording-rules.yaml, or read without rules"
            return self._round(SourceState.INVALID, (), np.empty(0), np.empty((0, METRICS)), problem)
        self._replan(devices)
        table = table[self._rows]
        values, impossible = impossible_to_nan(blank_to_nan(table[:, :METRICS]))
        values = self._plan.apply(values)
        observed_at = self._observed_at(np.fmin(table[:, _TIME], now)[self._plan.base], values)
        values, stuck = erase_stuck(values, self._tdp, self._plan.devices)
        known = not np.isnan(values[:, PROFILING_COLUMNS]).all()
        state = SourceState.OK if known else SourceState.PROFILING_MISSING
        return self._round(state, self._plan.devices, observed_at, values, _message(impossible, stuck))

    def _round(
        self, state: SourceState, devices: tuple[GPUIdentity, ...], observed_at: Floats, values: Floats, message: str
    ) -> GPURound:
        return GPURound(self.source, state, devices, observed_at, values, self.interval_seconds, message)

    def _replan(self, devices: tuple[_Printed, ...]) -> None:
        numbers = self._table.numbers
        if devices == self._devices and len(numbers) == self._numbered:
            return
        self._numbered = len(numbers)
        rows = [
            (device, row) for exporter, device in devices if (row := numbers.get((exporter, device.key))) is not None
        ]
        self._devices = devices
        self._plan = plan([device for device, _ in rows])
        self._rows = np.array([row for _, row in rows], dtype=np.intp)
        self._tdp = tdps(self._plan.devices)

    def _observed_at(self, times: Floats, values: Floats) -> Floats:
        """Sample times, held back where the energy counter stands still."""
        unknown = np.full(len(times), np.nan)
        seen = RowReading(times, values[:, Metric.ENERGY], unknown, unknown, unknown, unknown)
        return self._memory.advance(self._plan.devices, seen).observed_at


def _heard(found: tuple[_Printed, ...], who: Speaking) -> tuple[_Printed, ...]:
    """Devices of exporters that may speak, each on the node that its exporter is on."""
    return tuple(
        (exporter, device if node in (None, device.node) else replace(device, node=node))
        for exporter, device in found
        if exporter not in who.silenced
        for node in (who.nodes.get(exporter),)
    )


def _message(impossible: int, stuck: int) -> str:
    parts = (
        f"{impossible} impossible values dropped" if impossible else "",
        f"{stuck} devices with profiling counters stuck at zero under load" if stuck else "",
    )
    return "; ".join(part for part in parts if part)
