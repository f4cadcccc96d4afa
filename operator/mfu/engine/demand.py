"""How much work arrives at a serving workload, from what its engines report."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from mfu.decide.types import Load
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, Gauge, ProgressReading, WorkloadSeries
from mfu.predict.types import Inference, Phase, Setup


def load_of(series: WorkloadSeries | None, setup: Setup) -> Load:
    """Tokens in the unit of the setup's rate: prompt tokens for phase Prefill, output tokens else.

    Pods are added up; where each of them reports the whole workload, one is enough. A restart is no loss of demand.
    """
    if series is None or not series.progress or not isinstance(setup, Inference):
        return Load()
    counter = Counter.PREFILL_TOKENS if setup.phase is Phase.PREFILL else Counter.DECODE_TOKENS
    known = rate(series.progress, counter, since=-inf, now=inf)
    latest = list({(reading.namespace, reading.pod): reading for reading in series.progress}.values())
    return Load(
        tokens_per_s=None if known is None else float(known.per_second),
        running_requests=_total(latest, Gauge.RUNNING_REQUESTS),
        waiting_requests=_total(latest, Gauge.WAITING_REQUESTS),
    )


def _total(latest: Sequence[ProgressReading], gauge: Gauge) -> float | None:
    """Over pods, or the largest where each reports the whole."""
    known = [reading for reading in latest if gauge in reading.gauges]
    if not known:
        return None
    values = [reading.gauges[gauge] for reading in known]
    return max(values) if any(reading.scope_total for reading in known) else sum(values)
