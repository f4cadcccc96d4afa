"""Means over the last seconds, so that a scrape every 15 s sees all of them and not just the last one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.observe.metric import Metric

INSTANTANEOUS: Final = frozenset(
    {
        Metric.XID,
        Metric.CLOCK_EVENTS,
        Metric.ENERGY,
        Metric.ECC_UNCORRECTED,
        Metric.PCIE_LINK_GEN,
        Metric.PCIE_LINK_WIDTH,
        Metric.FB_TOTAL,
        Metric.POWER_LIMIT,
    }
)
"""Counters, masks and settings: their mean would mean nothing."""


@dataclass(slots=True)
class SampleWindow:
    """Readings of one device. The mean of 0.2 and 0.4 is 0.3; of a metric unknown at times, that of the others."""

    seconds: float
    _held: deque[tuple[float, Mapping[Metric, float]]] = field(default_factory=deque)

    def add(self, at: float, values: Mapping[Metric, float]) -> None:
        self._held.append((at, values))
        # Half a sample's grace: timers are late by a little, and the oldest second must not flicker in and out.
        while self._held[0][0] <= at - self.seconds:
            self._held.popleft()

    def mean(self) -> dict[Metric, float]:
        newest = self._held[-1][1] if self._held else {}
        if len(self._held) == 1:
            return dict(newest)
        sums: dict[Metric, float] = {}
        counts: dict[Metric, int] = {}
        for _, values in self._held:
            for metric, value in values.items():
                sums[metric] = sums.get(metric, 0.0) + value
                counts[metric] = counts.get(metric, 0) + 1
        means = {metric: total / counts[metric] for metric, total in sums.items() if metric not in INSTANTANEOUS}
        return {metric: means.get(metric, value) for metric, value in newest.items()} | {
            metric: value for metric, value in means.items() if metric not in newest
        }
