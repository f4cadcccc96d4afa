"""`TrainJob.status.trainerStatus` (Kubeflow Trainer 2.2+, alpha) → ProgressReading. Values there are strings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final

from mfu.observe.readings import Counter, Gauge, ProgressReading
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.pods.progress import ScrapedPod

_MOST_METRICS: Final = 256
_COUNTERS: Final[Mapping[str, Counter]] = {
    "num_input_tokens_seen": Counter.TRAINED_TOKENS,
    "train_tokens_total": Counter.TRAINED_TOKENS,
    "tokens": Counter.TRAINED_TOKENS,
    "train_samples_total": Counter.TRAINED_SAMPLES,
    "consumed_samples": Counter.TRAINED_SAMPLES,
    "train_steps_total": Counter.STEPS,
    "global_step": Counter.STEPS,
    "step": Counter.STEPS,
    "train_data_wait_seconds_total": Counter.DATA_WAIT_SECONDS,
    "train_communication_wait_seconds_total": Counter.COMMUNICATION_WAIT_SECONDS,
}
"""Metric names of the HF callback and of `mfu.report`, in order of preference for each counter."""
_GAUGES: Final[Mapping[str, Gauge]] = {"train_last_step_seconds": Gauge.STEP_SECONDS}


def read(status: Mapping[str, Any], pod: ScrapedPod) -> ProgressReading:
    """Progress in a trainerStatus object, dated by its `lastUpdatedTime`. The whole job reports once: scope is total.

    Raises TelemetryError where the object has no usable time or no metric that counts work; odd values are left out.
    """
    source = f"{pod.namespace}/{pod.name} trainerStatus"
    at = _time(status.get("lastUpdatedTime"))
    if at is None:
        raise TelemetryError(source, "has no lastUpdatedTime", "let the trainer report its status")
    metrics = _metrics(status.get("metrics"))
    counters: dict[Counter, float] = {}
    for name, counter in _COUNTERS.items():
        if name in metrics:
            counters.setdefault(counter, metrics[name])
    if not counters:
        known = ", ".join(list(_COUNTERS)[:4])
        raise TelemetryError(source, "has no metric that counts work", f"report one of {known}, …")
    gauges = {gauge: metrics[name] for name, gauge in _GAUGES.items() if name in metrics}
    return ProgressReading(pod.namespace, pod.name, "trainerStatus", at, counters, gauges, True)


def _metrics(listed: object) -> dict[str, float]:
    found: dict[str, float] = {}
    if not isinstance(listed, list):
        return found
    for item in listed[:_MOST_METRICS]:
        if not isinstance(item, Mapping):
            continue
        value = _number(item.get("value"))
        if value is not None:
            found[str(item.get("name"))] = value
    return found


def _number(text: object) -> float | None:
    if not isinstance(text, str | int | float) or isinstance(text, bool) or "_" in str(text):
        return None
    try:
        value = float(text)
    except (ValueError, OverflowError):
        return None
    return value if isfinite(value) and value >= 0 else None


def _time(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None
