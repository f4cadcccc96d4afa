"""Do new readings say what the judged ones said? Then the judgement stands, and nothing is worked out again.

A level is taken where the whole window kept to it. As long as every newer reading does as well, no mean over any window
can have left it: what a judgement is made of is the same within the tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mfu.observe.readings import METRICS, Counter, Floats, GPUIdentity, Metric, ProgressReading, WorkloadSeries

LEAST_READINGS: Final = 3
APART: Final = 0.05
"""How far a reading may be from its device's level, as a share of it."""
PACE_APART: Final = 0.05
"""The same of the pace at which a pod's counters rise, over at least so many seconds:"""
PACE_SECONDS: Final = 60.0
_FRACTIONS: Final = (
    *(metric for metric in Metric if metric.name.endswith("_ACTIVE")),
    Metric.SM_OCCUPANCY,
    Metric.GPU_UTIL,
    Metric.MEM_UTIL,
    Metric.POWER_VIOLATION_RATIO,
    Metric.THERMAL_VIOLATION_RATIO,
)
_EXACT: Final = (
    Metric.CLOCK_EVENTS,
    Metric.XID,
    Metric.ECC_UNCORRECTED,
    Metric.PCIE_LINK_GEN,
    Metric.PCIE_LINK_WIDTH,
)
_COUNTS: Final = (Metric.ENERGY,)
"""Only ever rise: no level, and no judgement is made of them."""


def _column(default: float, **special: tuple[tuple[Metric, ...], float]) -> Floats:
    column = np.full(METRICS, default)
    for metrics, value in special.values():
        column[[int(each) for each in metrics]] = value
    return column


_SHARE: Final = _column(APART, exact=(_EXACT, 0.0))
_FLOOR: Final = _column(0.0, fractions=(_FRACTIONS, 0.02), warmth=((Metric.TEMPERATURE,), 5.0))
"""Of small fractions two points, of temperatures five degrees."""
_LEVELLED: Final = np.array([metric not in _COUNTS for metric in Metric])


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest reading of each device [devices, METRICS], NaN where stale, and each pod's pace by its name."""

    devices: tuple[GPUIdentity, ...]
    values: Floats
    paces: dict[tuple[str, str], Floats]
    """Counted a second, in the order of `Counter`; NaN where nothing is counted or too little is known."""


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Between which bounds each device kept, and at which pace each pod did."""

    devices: tuple[GPUIdentity, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    paces: dict[tuple[str, str], Floats]


def level_of(series: WorkloadSeries) -> Level | None:
    """None where a window is short, a reading is missing or apart, or engines tell of their load: that always moves.

    Tensor activity of 0.40, 0.41 and 0.39 keeps to its mean of 0.40 ± 0.02; 0.40, 0.41 and 0.46 do not.
    """
    values = series.values
    if len(values) < LEAST_READINGS or series.unread or any(each.gauges for each in series.progress):
        return None
    known = np.isfinite(values)
    if not (known.all(axis=0) | ~known.any(axis=0)).all():
        return None
    middle = values.mean(axis=0)
    margin = np.maximum(_SHARE * np.abs(middle), _FLOOR)
    low, high = middle - margin, middle + margin
    if not _within(values, low, high):
        return None
    paces = paces_of(series.progress)
    if any(np.isnan(each).all() for each in paces.values()):
        return None
    return Level(series.devices, low.astype(np.float32), high.astype(np.float32), paces)


def stands(level: Level, newest: Newest) -> bool:
    """Is everything still at its level, the same devices and pods, and nothing stale?"""
    if level.devices != newest.devices or level.paces.keys() != newest.paces.keys():
        return False
    if not _within(newest.values, level.low, level.high):
        return False
    return all(_same_pace(pace, newest.paces[pod]) for pod, pace in level.paces.items())


def paces_of(readings: tuple[ProgressReading, ...]) -> dict[tuple[str, str], Floats]:
    """How fast each pod's counters rose from its first reading to its last, a second; by (namespace, pod)."""
    first: dict[tuple[str, str], ProgressReading] = {}
    last: dict[tuple[str, str], ProgressReading] = {}
    for each in readings:
        first.setdefault((each.namespace, each.pod), each)
        last[(each.namespace, each.pod)] = each
    return {pod: _pace(first[pod], each) for pod, each in last.items()}


def _pace(first: ProgressReading, last: ProgressReading) -> Floats:
    seconds = last.observed_at - first.observed_at
    if seconds < PACE_SECONDS:
        return np.full(len(Counter), np.nan)
    none = float("nan")
    return np.array([(last.counters.get(each, none) - first.counters.get(each, none)) / seconds for each in Counter])


def _within(values: Floats, low: NDArray[np.floating], high: NDArray[np.floating]) -> bool:
    """NaN only where the level has none: a metric that comes or goes is news."""
    apart = ~((values >= low) & (values <= high)) & ~(np.isnan(values) & np.isnan(low))
    return not bool((apart & _LEVELLED).any())


def _same_pace(before: Floats, now: Floats) -> bool:
    near = np.abs(now - before) <= PACE_APART * np.abs(before)
    return bool((near | (np.isnan(now) & np.isnan(before))).all())
