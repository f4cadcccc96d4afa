"""How much work arrives at a serving workload and how much of it is answered in time, as its engines report."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final

from mfu.account.tokens import TokenRates
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import LatencyObjective
from mfu.decide.types import Load
from mfu.engine.views import PodView
from mfu.observe.assessment import Window
from mfu.observe.attainment import Attained, attained
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Gauge, ProgressReading, WorkloadSeries
from mfu.predict.types import Inference, Setup

RECENT_SECONDS: Final = 120.0
"""Rates are over so long: what arrived ten minutes ago decides nothing."""


def load_of(series: WorkloadSeries | None, setup: Setup) -> Load:
    """Of the two minutes before the newest reading.

    Pods are added up; where each of them reports the whole workload, one is enough. A restart is no loss of demand.
    """
    if series is None or not series.progress or not isinstance(setup, Inference):
        return Load()
    since = series.progress[-1].observed_at - RECENT_SECONDS
    recent = [reading for reading in series.progress if reading.observed_at >= since]
    latest = list({(reading.namespace, reading.pod): reading for reading in recent}.values())
    whole = any(reading.scope_total for reading in latest)
    return Load(
        output_tokens_per_s=_rate(recent, Counter.DECODE_TOKENS),
        input_tokens_per_s=_rate(recent, Counter.PREFILL_TOKENS),
        running_requests=_total(latest, Gauge.RUNNING_REQUESTS),
        waiting_requests=_total(latest, Gauge.WAITING_REQUESTS),
        cache_use=_mean(latest, Gauge.KV_CACHE_USAGE),
        serving=None if whole else len(latest),
    )


def token_rates(series: WorkloadSeries | None, setup: Setup, now: float) -> TokenRates:
    """Of the last ten minutes, as what is observed is: prices need not follow each wave of requests."""
    if series is None or not isinstance(setup, Inference):
        return TokenRates()
    since = now - Window.TEN_MINUTES.seconds
    read, written = (
        None if found is None else found.per_second
        for counter in (Counter.PREFILL_TOKENS, Counter.DECODE_TOKENS)
        for found in [rate(series.progress, counter, since=since, now=now)]
    )
    return TokenRates(read, written)


def attained_by(series: WorkloadSeries | None, setup: Setup, now: float) -> tuple[Attained, ...]:
    """One for each declared limit; none of a training."""
    if not isinstance(setup, Inference):
        return ()
    limits = (
        (LatencyObjective.TTFT, setup.ttft_limit_seconds),
        (LatencyObjective.TPOT, setup.tpot_limit_seconds),
    )
    readings = series.progress if series is not None else ()
    return tuple(attained(readings, each, limit, now=now) for each, limit in limits if limit is not None)


def _rate(recent: Sequence[ProgressReading], counter: Counter) -> float | None:
    known = rate(recent, counter, since=-inf, now=inf)
    return None if known is None else float(known.per_second)


def _total(latest: Sequence[ProgressReading], gauge: Gauge) -> float | None:
    """Over pods, or the largest where each reports the whole."""
    values = _values(latest, gauge)
    if not values:
        return None
    return max(values) if any(reading.scope_total for reading in latest) else sum(values)


def _mean(latest: Sequence[ProgressReading], gauge: Gauge) -> float | None:
    values = _values(latest, gauge)
    return sum(values) / len(values) if values else None


def _values(latest: Sequence[ProgressReading], gauge: Gauge) -> list[float]:
    return [reading.gauges[gauge] for reading in latest if gauge in reading.gauges]


def replicas_of(spec: WorkloadSpec | None, pods: Sequence[PodView]) -> int:
    """Whole copies among these pods: a replica of 16 GPUs on pods of 8 is two of them."""
    each = max((sum(pod.gpus.values()) for pod in pods), default=0)
    span = max(1, spec.accelerators.count // each) if spec is not None and each else 1
    return len(pods) // span
