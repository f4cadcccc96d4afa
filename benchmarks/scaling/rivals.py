"""The scalers that people use today, as their documents describe them, each with the settings that are tuned."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from benchmarks.scaling.deployment import MOST_REPLICAS, Metrics

TOLERANCE: Final = 0.1
"""Of the HorizontalPodAutoscaler: within it the ratio of metric to target changes nothing."""


@dataclass
class Behaviour:
    """`spec.behavior` of an HPA: up at once by 100 % or 4 pods, down by the largest recommendation of a window."""

    window_seconds: float
    _said: deque[tuple[float, int]] = field(default_factory=deque)

    def limited(self, seen: Metrics, wanted: int) -> int:
        have = seen.ready + seen.pending
        self._said.append((seen.at, wanted))
        while self._said[0][0] < seen.at - self.window_seconds:
            self._said.popleft()
        if wanted > have:
            return min(wanted, max(2 * have, have + 4), MOST_REPLICAS)
        return min(have, max(number for _, number in self._said))


def average_rule(seen: Metrics, per_pod: float, target: float) -> int:
    """An HPA on a metric averaged over pods. Pods that are not ready are left out, and count as 0 on the way up.

    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
    """
    have = seen.ready + seen.pending
    ratio = per_pod / target
    if abs(ratio - 1.0) <= TOLERANCE:
        return have
    if ratio > 1.0 and seen.pending:
        ratio *= seen.ready / have
        return have if ratio <= 1.0 + TOLERANCE else ceil(ratio * have)
    return ceil(ratio * max(seen.ready, 1))


class HPAOnUtilisation:
    """DCGM_FI_DEV_GPU_UTIL, averaged over pods."""

    def __init__(self, target: float, window_seconds: float) -> None:
        self._target, self._behaviour = target, Behaviour(window_seconds)

    def replicas(self, seen: Metrics | None) -> int | None:
        if seen is None:
            return None
        return self._behaviour.limited(seen, average_rule(seen, seen.busy, self._target))


class HPAOnQueue:
    """vllm:num_requests_waiting, averaged over pods."""

    def __init__(self, target: float, window_seconds: float) -> None:
        self._target, self._behaviour = target, Behaviour(window_seconds)

    def replicas(self, seen: Metrics | None) -> int | None:
        if seen is None:
            return None
        return self._behaviour.limited(seen, average_rule(seen, seen.waiting / max(1, seen.ready), self._target))


class KEDAOnTokens:
    """A prometheus trigger on rate(tokens[1m]) of the whole deployment, `threshold` a replica (AverageValue)."""

    def __init__(self, counter: str, threshold: float, window_seconds: float) -> None:
        self._counter, self._threshold, self._behaviour = counter, threshold, Behaviour(window_seconds)

    def replicas(self, seen: Metrics | None) -> int | None:
        if seen is None:
            return None
        total = seen.output_tokens_per_s
        if self._counter == "all":
            total += seen.input_tokens_per_s
        have = seen.ready + seen.pending
        ratio = total / (self._threshold * have)
        wanted = have if abs(ratio - 1.0) <= TOLERANCE else max(1, ceil(total / self._threshold))
        return self._behaviour.limited(seen, wanted)


class WVA:
    """The published saturation rule of the Workload Variant Autoscaler: KV cache 0.80, queue 5, spare 0.1 and 3.

    A replica is saturated from 0.80 of its cache or 5 waiting; one more where the mean spare of the others falls below
    0.1 of the cache or 3 requests; one less where the rest could carry the load and keep that spare. It adds nothing
    while `most_pending` start already.
    """

    CACHE, QUEUE, SPARE_CACHE, SPARE_QUEUE = 0.80, 5.0, 0.1, 3.0

    def __init__(self, most_pending: int, period_seconds: float, window_seconds: float) -> None:
        self._most_pending, self._period = most_pending, period_seconds
        self._behaviour, self._asked_at, self._wanted = Behaviour(window_seconds), -1e9, 0

    def replicas(self, seen: Metrics | None) -> int | None:
        if seen is None:
            return None
        if seen.at - self._asked_at >= self._period:
            self._asked_at, self._wanted = seen.at, self._rule(seen)
        return self._behaviour.limited(seen, self._wanted or seen.ready + seen.pending)

    def _rule(self, seen: Metrics) -> int:
        have, queue = seen.ready + seen.pending, seen.waiting / max(1, seen.ready)
        if self._short(seen.cache_use, queue):
            return have + 1 if seen.pending < self._most_pending else have
        rest = max(1, seen.ready - 1)
        grown = seen.ready / rest
        if seen.ready > 1 and not seen.pending and not self._short(seen.cache_use * grown, queue * grown):
            return have - 1
        return have

    def _short(self, cache: float, queue: float) -> bool:
        return self.CACHE - cache < self.SPARE_CACHE or self.QUEUE - queue < self.SPARE_QUEUE
