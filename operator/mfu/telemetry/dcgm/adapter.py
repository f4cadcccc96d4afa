"""dcgm-exporter, all naming and unit regimes: the bodies of many targets → one GPURound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from mfu.observe.readings import Floats, GPUIdentity, GPURound
from mfu.telemetry.dcgm.fields import COLUMNS, RAW_COLUMNS, Raw
from mfu.telemetry.dcgm.labels import identity, traits
from mfu.telemetry.dcgm.units import Targets, to_metrics
from mfu.telemetry.rounds.exporters import Converted, ExporterFleet, StackedRows
from mfu.telemetry.rounds.table import PrintedLayout

DEFAULT_COLLECTION_SECONDS: Final = 30.0
"""dcgm-exporter's --collect-interval default is 30000 ms."""
_SECONDS_SCRAPED: Final = 15.0
"""Interval of the exporter chart's ServiceMonitor."""


def _scraped(labels: Mapping[str, str], node: str | None) -> GPUIdentity | None:
    return identity(labels, node=node)


def _traits(labels: Mapping[str, str]) -> int:
    return int(traits(labels))


class DCGM:
    """dcgm-exporter, read directly."""

    layout = PrintedLayout(COLUMNS, RAW_COLUMNS, _scraped, _traits)

    def convert(self, stack: StackedRows) -> Converted:
        raw = stack.values
        values = to_metrics(raw, Targets(stack.of_row, stack.traits))
        power = _first(raw, Raw.POWER_VIOLATION_NS, (Raw.SW_POWER_CAP_NS, Raw.POWER_BRAKE_NS))
        thermal = _first(raw, Raw.THERMAL_VIOLATION_NS, (Raw.SW_THERMAL_NS, Raw.HW_THERMAL_NS))
        return Converted(values, power, thermal, np.full(len(raw), np.nan))


def _first(raw: Floats, violation: Raw, reasons: tuple[Raw, Raw]) -> Floats:
    """The violation counter, else the clock-event reasons of the same kind added up."""
    one, other = raw[:, reasons[0]], raw[:, reasons[1]]
    added = np.where(np.isnan(other), one, one + other)
    return np.where(np.isnan(raw[:, violation]), added, raw[:, violation])


class DCGMFleet(ExporterFleet):
    """`Fleet` of dcgm-exporters."""

    def __init__(
        self,
        scrape_seconds: float = _SECONDS_SCRAPED,
        collection_seconds: float = DEFAULT_COLLECTION_SECONDS,
        source: str = "dcgm-exporter",
    ) -> None:
        super().__init__(DCGM(), source, scrape_seconds, collection_seconds)


def read_once(body: bytes, now: float, *, node: str | None = None) -> GPURound:
    """One body by itself, as a command line or a test has it: no rates, no repeats."""
    return DCGMFleet().round({"target": body}, now, nodes={} if node is None else {"target": node})
