"""Both meters over one window of time: MFU, MBU, bands, coverage. Pure: `now` is an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import hypot, sqrt

import numpy as np

from mfu.api.workload_status import Meter
from mfu.hardware.catalog import device_bandwidth, device_peak
from mfu.hardware.types import Device, Precision
from mfu.observe.assessment import Observation, Window
from mfu.observe.counters import CountersMFU, counters_mfu
from mfu.observe.evidence import mean_or_nan
from mfu.observe.executed import Executed
from mfu.observe.progress import Rate, rate
from mfu.observe.readings import Counter, Metric, WorkloadSeries
from mfu.predict import bytes_moved_per_token, decode_flops_per_token, model_flops_per_token, prefill_flops_per_token
from mfu.predict.types import Inference, Phase, Placement, Setup, Training

BAND = 2.0
"""Standard deviations on each side."""
MINIMUM_COVERAGE = 0.1
MIG_CONFIDENCE = 0.3
MIG_NOTE = "MIG: how activity is normalised on a slice is not verified"
NO_INTENT = 0.5
PROGRESS_SD = 0.01
"""Doubt of model FLOPs per token themselves."""


@dataclass(frozen=True, slots=True)
class MeteredRun:
    """What a window is computed from, besides the series."""

    device: Device
    gpus: int
    setup: Setup | None = None
    placement: Placement | None = None
    intent: Executed | None = None
    precision: Precision = Precision.BF16
    tensor_cores: bool = True


@dataclass(frozen=True, slots=True)
class _Meaning:
    """Model FLOPs and bytes per second that progress stands for."""

    flops_per_s: float
    bytes_per_s: float | None
    tokens_per_s: float
    basis: Rate


def counters_observations(series: WorkloadSeries, run: MeteredRun, now: float) -> tuple[Observation, ...]:
    """The counters meter over every window; those that hold the whole series share one answer."""
    measured = counters_mfu(series.values, run.device, run.precision, intent=run.intent, tensor_cores=run.tensor_cores)
    found: list[Observation] = []
    whole: Observation | None = None
    for window in Window:
        if whole is not None:
            found.append(replace(whole, window=window))
            continue
        found.append(_counters(series, run, measured, window, now))
        if _rows(series, window, now).start == 0 and window.seconds >= now - _first(series):
            whole = found[-1]
    return tuple(found)


def counters_observation(series: WorkloadSeries, run: MeteredRun, window: Window, now: float) -> Observation:
    """The counters meter: estimated, since what is executed is corrected by the declared intent."""
    measured = counters_mfu(series.values, run.device, run.precision, intent=run.intent, tensor_cores=run.tensor_cores)
    return _counters(series, run, measured, window, now)


def _counters(
    series: WorkloadSeries, run: MeteredRun, measured: CountersMFU, window: Window, now: float
) -> Observation:
    inside = _rows(series, window, now)
    known = np.isfinite(measured.mfu[inside])
    samples = int(known.sum())
    coverage = _coverage(samples, series, run, window, now)
    if coverage < MINIMUM_COVERAGE:
        return _unknown(window, Meter.COUNTERS, series, "too little of the window was measured")
    values = measured.mfu[inside][known]
    mfu, tensor = float(values.mean()), float(measured.tensor[inside][known].mean())
    doubt = BAND * hypot(mfu * measured.relative_sd, float(values.std()) / sqrt(samples))
    mbu = mean_or_nan(series.values[inside][..., Metric.DRAM_ACTIVE])
    return Observation(
        window=window,
        meter=Meter.COUNTERS,
        mfu=mfu,
        reference_mfu=_reference(mfu, run),
        mbu=None if np.isnan(mbu) else mbu,
        low=max(0.0, mfu - doubt),
        high=mfu + doubt,
        coverage=coverage,
        source=", ".join(series.sources) or "counters",
        observed_at=float(series.times[inside][known.any(axis=1)][-1]),
        confidence=_confidence(run, coverage),
        estimated=True,
        tensor_utilisation=tensor,
        note=MIG_NOTE if run.device.mig else "",
    )


def progress_observation(
    series: WorkloadSeries, run: MeteredRun, window: Window, now: float, *, alone: bool = False
) -> Observation | None:
    """The progress meter; None where the workload reports nothing or its FLOPs per token are not known.

    `alone`: no counters speak. A count that stands still may then as well be a frozen page: unknown.
    """
    since = max(now - window.seconds, _first(series))
    meaning = None if run.setup is None else _meaning(series, run.setup, run, since=since, now=now)
    peak = device_peak(run.device, run.precision)
    if meaning is None or not peak or run.gpus < 1 or (alone and meaning.basis.standing):
        return None
    mfu = meaning.flops_per_s / (run.gpus * peak)
    mbu = None if meaning.bytes_per_s is None else meaning.bytes_per_s / (run.gpus * device_bandwidth(run.device))
    doubt = BAND * mfu * hypot(PROGRESS_SD, meaning.basis.relative_sd)
    covered = min(1.0, meaning.basis.span_seconds / max(1e-9, min(window.seconds, now - since)))
    return Observation(
        window=window,
        meter=Meter.PROGRESS,
        mfu=mfu,
        reference_mfu=_reference(mfu, run),
        mbu=mbu,
        low=max(0.0, mfu - doubt),
        high=mfu + doubt,
        coverage=covered,
        source=meaning.basis.source,
        observed_at=meaning.basis.observed_at,
        confidence=0.95 * sqrt(covered) * (1 - meaning.basis.relative_sd),
        tokens_per_s_per_gpu=meaning.tokens_per_s / run.gpus,
    )


def _meaning(series: WorkloadSeries, setup: Setup, run: MeteredRun, *, since: float, now: float) -> _Meaning | None:
    if isinstance(setup, Training):
        return _training_meaning(series, setup, since=since, now=now)
    return _serving_meaning(series, setup, run, since=since, now=now)


def _training_meaning(series: WorkloadSeries, setup: Training, *, since: float, now: float) -> _Meaning | None:
    for counter, tokens in (
        (Counter.TRAINED_TOKENS, 1.0),
        (Counter.TRAINED_SAMPLES, float(setup.sequence_length)),
        (Counter.STEPS, float(setup.sequence_length * setup.global_batch_size)),
    ):
        found = rate(series.progress, counter, since=since, now=now)
        if found is not None:
            per_second = found.per_second * tokens
            return _Meaning(per_second * model_flops_per_token(setup), None, per_second, found)
    return None


def _serving_meaning(
    series: WorkloadSeries, setup: Inference, run: MeteredRun, *, since: float, now: float
) -> _Meaning | None:
    read = rate(series.progress, Counter.PREFILL_TOKENS, since=since, now=now)
    written = rate(series.progress, Counter.DECODE_TOKENS, since=since, now=now)
    basis = written or read
    if basis is None:
        return None
    flops = 0.0 if read is None else read.per_second * prefill_flops_per_token(setup)
    moved = None
    if written is not None:
        flops += written.per_second * _flops_per_written(setup, prompts_reported=read is not None)
        per_token = None if run.placement is None else bytes_moved_per_token(setup, run.placement)
        moved = None if per_token is None else written.per_second * per_token
    tokens = basis if setup.phase is not Phase.PREFILL or read is None else read
    return _Meaning(flops, moved, tokens.per_second, tokens)


def _flops_per_written(setup: Inference, *, prompts_reported: bool) -> float:
    """An engine that reports output alone did the prompts' work too: their share comes with each output token."""
    if setup.phase is Phase.MIXED and not prompts_reported:
        return model_flops_per_token(setup)
    return decode_flops_per_token(setup, setup.input_tokens + setup.output_tokens / 2)


def _rows(series: WorkloadSeries, window: Window, now: float) -> slice:
    start = int(np.searchsorted(series.times, now - window.seconds, side="left"))
    return slice(start, int(np.searchsorted(series.times, now, side="right")))


def _coverage(samples: int, series: WorkloadSeries, run: MeteredRun, window: Window, now: float) -> float:
    """Measured device-intervals over those that the window (or the life of the workload, if shorter) holds."""
    span = min(window.seconds, now - _first(series) + series.interval_seconds)
    expected = max(1.0, span / series.interval_seconds) * max(run.gpus, len(series.devices))
    return min(1.0, samples / expected)


def _confidence(run: MeteredRun, coverage: float) -> float:
    known = NO_INTENT if run.intent is None else 0.85
    if run.device.mig is not None:
        known = min(known, MIG_CONFIDENCE)
    return known * sqrt(coverage)


def _unknown(window: Window, meter: Meter, series: WorkloadSeries, note: str) -> Observation:
    return Observation(
        window=window,
        meter=meter,
        mfu=None,
        reference_mfu=None,
        mbu=None,
        low=None,
        high=None,
        coverage=0.0,
        source=", ".join(series.sources) or "counters",
        observed_at=float(series.times[-1]) if series.times.size else None,
        confidence=0.0,
        estimated=True,
        note=note,
    )


def _reference(mfu: float, run: MeteredRun) -> float | None:
    """The same FLOPs over the dense 16-bit peak: FP32 at 0.71 of its own peak is 0.048 of the GPU's."""
    own, reference = run.device.gpu.peak_flops_per_s(run.precision), run.device.gpu.reference_peak_flops_per_s
    return None if not own or not reference else mfu * own / reference


def _first(series: WorkloadSeries) -> float:
    known = [each.observed_at for each in series.progress[:1]]
    if series.times.size:
        known.append(float(series.times[0]))
    return min(known, default=0.0)
