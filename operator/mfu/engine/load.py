"""How much work arrives at a serving workload, from what its engines report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from mfu.decide.types import Load
from mfu.observe.readings import Counter, Gauge, ProgressReading, WorkloadSeries
from mfu.predict.types import Inference, Phase, Setup


def load_of(series: WorkloadSeries | None, setup: Setup) -> Load:
    """Tokens in the unit of the setup's rate: prompt tokens for phase Prefill, output tokens else.

    Rates lie between the first and last reading of each pod; a counter that fell back (restart) is left out.
    """
    if series is None or not series.progress or not isinstance(setup, Inference):
        return Load()
    by_pod: dict[str, list[ProgressReading]] = defaultdict(list)
    for reading in series.progress:
        by_pod[f"{reading.namespace}/{reading.pod}"].append(reading)
    counter = Counter.PREFILL_TOKENS if setup.phase is Phase.PREFILL else Counter.DECODE_TOKENS
    rates = [rate for readings in by_pod.values() if (rate := _rate(readings, counter)) is not None]
    latest = [readings[-1] for readings in by_pod.values()]
    return Load(
        tokens_per_s=sum(rates) if rates else None,
        running_requests=_total(latest, Gauge.RUNNING_REQUESTS),
        waiting_requests=_total(latest, Gauge.WAITING_REQUESTS),
    )


def _rate(readings: list[ProgressReading], counter: Counter) -> float | None:
    first, last = readings[0], readings[-1]
    if counter not in first.counters or counter not in last.counters or last.observed_at <= first.observed_at:
        return None
    done = last.counters[counter] - first.counters[counter]
    return None if done < 0 else done / (last.observed_at - first.observed_at)


def _total(latest: Iterable[ProgressReading], gauge: Gauge) -> float | None:
    values = [reading.gauges[gauge] for reading in latest if gauge in reading.gauges]
    return sum(values) if values else None
