"""How much of what was answered kept its latency objective, by the engines' own histograms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from mfu.api.workload_status import LatencyObjective
from mfu.observe.readings import Counter, Gauge, ProgressReading

SPAN_SECONDS: Final = 600.0
PROMISED_SHARE: Final = 0.95
"""spec.inference.slo are objectives at the 95th percentile."""
LEAST_TIMED: Final = 20.0
"""Of fewer, one late answer would decide."""


@dataclass(frozen=True, slots=True)
class Attained:
    """Share of the last ten minutes' answers within the limit; None where engines do not tell or timed too few."""

    objective: LatencyObjective
    limit_seconds: float
    share: float | None = None
    timed: float = 0.0
    """Answers behind the share: requests, or tokens where the engine times each."""

    @property
    def kept(self) -> bool | None:
        return None if self.share is None else self.share >= PROMISED_SHARE


@dataclass(frozen=True, slots=True)
class _Kept:
    timed: Counter
    in_time: Counter
    limit: Gauge


_READ: Final[Mapping[LatencyObjective, _Kept]] = MappingProxyType(
    {
        LatencyObjective.TTFT: _Kept(
            Counter.FIRST_TOKENS_TIMED, Counter.FIRST_TOKENS_IN_TIME, Gauge.FIRST_TOKEN_LIMIT_SECONDS
        ),
        LatencyObjective.TPOT: _Kept(Counter.TOKENS_TIMED, Counter.TOKENS_IN_TIME, Gauge.TOKEN_LIMIT_SECONDS),
    }
)


def attained(
    readings: Sequence[ProgressReading], objective: LatencyObjective, limit_seconds: float, *, now: float
) -> Attained:
    """Pods are added up. What was counted by another limit, or across a restart, is left out.

    400 and 100 requests of two pods, 392 and 83 in time: 475 / 500 = 95 %.
    """
    pods: dict[tuple[str, str, str], list[ProgressReading]] = defaultdict(list)
    names = _READ[objective]
    for each in readings:
        recent = now - SPAN_SECONDS <= each.observed_at <= now
        if recent and each.gauges.get(names.limit) == limit_seconds and names.timed in each.counters:
            pods[each.namespace, each.pod, each.pod_uid or ""].append(each)
    counted = [_between(before, after, names) for known in pods.values() for before, after in pairwise(known)]
    timed, in_time = (sum(column) for column in zip(*counted, strict=True)) if counted else (0.0, 0.0)
    if timed < LEAST_TIMED:
        return Attained(objective, limit_seconds, None, timed)
    return Attained(objective, limit_seconds, in_time / timed, timed)


def _between(before: ProgressReading, after: ProgressReading, names: _Kept) -> tuple[float, float]:
    timed, in_time = (after.counters[each] - before.counters[each] for each in (names.timed, names.in_time))
    return (timed, min(in_time, timed)) if timed >= 0 and in_time >= 0 else (0.0, 0.0)
