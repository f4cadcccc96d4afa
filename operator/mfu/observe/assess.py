"""One workload: both meters over all windows, do they agree, and where the rest went."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.workload_status import Meter
from mfu.observe.assessment import Assessment, EvidenceItem, Finding, Observation, TelemetryState, Window
from mfu.observe.crosscheck import MeterAgreement, cross_check, disbelieved, impossible, twice
from mfu.observe.diagnosis import Predict, Situation, diagnose
from mfu.observe.diagnosis.build import Accusation, finding
from mfu.observe.diagnosis.traffic import explains_traffic
from mfu.observe.evidence import Evidence, gather
from mfu.observe.executed import executed
from mfu.observe.progress import left_out, not_counting
from mfu.observe.progressing import progressing
from mfu.observe.readings import STALE_INTERVALS, Metric, WorkloadSeries
from mfu.observe.traits import DRAM_BUSY, RunTraits, infer, off_tensor_cores
from mfu.observe.windows import MeteredRun, counters_observation, counters_observations, progress_observation
from mfu.predict import predict
from mfu.predict.types import Attainable, Placement, Prediction, Recompute, Setup, Training

MINIMUM_SAMPLES = 3
UNEXPLAINED = 0.7
"""Observed below this share of the band's lower end, with no rule speaking up, is a loss of unknown cause."""
RUNS_ONCE = 0.93
"""Progress over counters above which layers cannot have run twice: that would be 0.82 at most."""
DOUBTED = 0.5
"""Confidence left to findings that lean on an intent which the meters contradict."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the caller knows besides. `gpus`: allocated devices."""

    gpus: int | None = None
    window: Window = Window.TEN_MINUTES
    """The window that the diagnosis looks at."""
    model: Predict = predict


def assess(
    setup: Setup | None,
    placement: Placement | None,
    *,
    expected: Prediction | None = None,
    attainable: Attainable | None = None,
    series: WorkloadSeries | None = None,
    now: float = 0.0,
    hints: Hints | None = None,
) -> Assessment:
    """Observe and diagnose one workload at `now`. What is missing makes results unknown, never zero, never an error."""
    hints = hints or Hints()
    state = _state(series, placement, now)
    if placement is not None and placement.device.shared:
        # Of a slice neither the peak nor the reading is its own.
        return Assessment(state=state)
    if series is None or placement is None or state in _BLIND:
        return _without_counters(setup, placement, series=series, now=now, state=state)
    evidence = _evidence(series, placement, hints, now)
    declared = _declared(setup, placement, evidence, hints, series)
    agreement, seen = _recognise(declared, evidence, hints.window, series, now)
    observations = _observations(series, _corrected(declared, seen), now)
    about = Situation(
        evidence=evidence,
        device=placement.device,
        series=series,
        setup=setup,
        placement=placement,
        expected=expected,
        attainable=attainable,
        traits=seen,
        since=now - hints.window.seconds,
        now=now,
        model=hints.model,
    )
    situation = _measured(about, observations, hints.window)
    return Assessment(
        observations=observations,
        findings=_findings(situation, trusted=agreement.consistent is not False),
        intent_consistent=agreement.consistent,
        message=agreement.message or left_out(series.progress, now=now),
        unread=series.unread,
        state=state,
        readings=_readings(evidence),
        progressing=progressing(series, since=now - hints.window.seconds, now=now),
    )


IMPOSSIBLE_REASONS = "spec.progress unit and scope, the model, and whether the counter was restored"
_BLIND = frozenset({TelemetryState.MISSING, TelemetryState.STALE, TelemetryState.SHARED})


def _state(series: WorkloadSeries | None, placement: Placement | None, now: float) -> TelemetryState:
    if placement is None:
        return TelemetryState.UNKNOWN_PRODUCT
    if series is None or not series.times.size or not series.devices:
        return TelemetryState.MISSING
    if placement.device.shared or any(each.shared for each in series.devices):
        return TelemetryState.SHARED
    fresh = series.values[series.times >= now - STALE_INTERVALS * series.interval_seconds]
    if not np.isfinite(fresh).any():
        return TelemetryState.STALE
    if not np.isfinite(fresh[..., Metric.TENSOR_ACTIVE]).any():
        return TelemetryState.NO_PROFILING
    return TelemetryState.OK


def _without_counters(
    setup: Setup | None,
    placement: Placement | None,
    *,
    series: WorkloadSeries | None,
    now: float,
    state: TelemetryState,
) -> Assessment:
    """Progress may still be known when counters are not."""
    if series is None or placement is None or setup is None:
        return Assessment(state=state)
    run = MeteredRun(
        placement.device, _gpus(placement, Hints(), series), setup, placement, None, setup.precisions.compute
    )
    known = [progress_observation(series, run, window, now, alone=True) for window in Window]
    told = tuple(each for each in known if each is not None)
    lie = _lie(told, series, now)
    observations = tuple(disbelieved(each) if impossible(each) else each for each in told)
    if lie:
        return Assessment(observations, intent_consistent=False, message=lie, state=state)
    message = series.unread or left_out(series.progress, now=now)
    return Assessment(observations=observations, message=message, unread=series.unread, state=state)


def _lie(progress: tuple[Observation, ...], series: WorkloadSeries, now: float) -> str:
    """What is wrong with reported progress by itself, whatever counters say; empty where nothing is."""
    if any(impossible(each) for each in progress):
        return f"reported progress is more than the GPUs can do at most: check {IMPOSSIBLE_REASONS}"
    return not_counting(series.progress, now=now)


def _evidence(series: WorkloadSeries, placement: Placement, hints: Hints, now: float) -> Evidence:
    gpu = placement.device.gpu
    inside = series.times >= now - hints.window.seconds
    recent = replace(series, times=series.times[inside], values=series.values[inside])
    return gather(recent, nvlink=gpu.nvlink_bytes_per_s, pcie=gpu.pcie_bytes_per_s)


def _declared(
    setup: Setup | None, placement: Placement, evidence: Evidence, hints: Hints, series: WorkloadSeries
) -> MeteredRun:
    """What to compute MFU with, the declaration taken at its word."""
    limit = evidence.average(Metric.POWER_LIMIT)
    off = off_tensor_cores(evidence, limit if np.isfinite(limit) else placement.device.gpu.tdp_watts)
    gpus = _gpus(placement, hints, series)
    if setup is None:
        return MeteredRun(placement.device, gpus, placement=placement, tensor_cores=not off)
    intent = executed(setup, fused_attention=infer(evidence, setup).fused_attention)
    return MeteredRun(placement.device, gpus, setup, placement, intent, setup.precisions.compute, not off)


def _recognise(
    run: MeteredRun, evidence: Evidence, window: Window, series: WorkloadSeries, now: float
) -> tuple[MeterAgreement, RunTraits]:
    """Do both meters agree with the declaration, and what runs instead? Progress outweighs what memory gives away."""
    seen = replace(infer(evidence, run.setup), tensor_cores=run.tensor_cores)
    progress = progress_observation(series, run, window, now) if series.progress else None
    if progress is None:
        lie = not_counting(series.progress, now=now)
        return MeterAgreement(False if lie else None, message=lie or series.unread), seen
    counters = counters_observation(series, run, window, now)
    agreement = cross_check(progress, counters, run.setup, intent=run.intent, gpus=run.gpus)
    if impossible(progress) and (agreement.ratio is None or not isfinite(agreement.ratio)):
        return MeterAgreement(False, message=_lie((progress,), series, now)), seen
    if agreement.ratio is None or not isinstance(run.setup, Training) or run.intent is None:
        return agreement, seen
    if twice(agreement.ratio, run.setup, run.intent):
        return agreement, replace(seen, recompute=Recompute.FULL)
    return agreement, replace(seen, recompute=None) if agreement.ratio > RUNS_ONCE else seen


def _corrected(run: MeteredRun, seen: RunTraits) -> MeteredRun:
    if run.setup is None or seen.recompute is None:
        return run
    intent = executed(run.setup, recompute=seen.recompute, fused_attention=seen.fused_attention)
    return replace(run, intent=intent)


def _gpus(placement: Placement, hints: Hints, series: WorkloadSeries) -> int:
    return hints.gpus or max(placement.gpus, len(series.devices))


def _observations(series: WorkloadSeries, run: MeteredRun, now: float) -> tuple[Observation, ...]:
    told = (progress_observation(series, run, window, now) for window in Window) if series.progress else ()
    progress = (disbelieved(each) if impossible(each) else each for each in told if each is not None)
    return (*progress, *counters_observations(series, run, now))


def _measured(situation: Situation, observations: tuple[Observation, ...], window: Window) -> Situation:
    progress, counters = _pair(observations, window)
    mfu, mbu = (_first_known(progress, counters, name) for name in ("mfu", "mbu"))
    return replace(situation, mfu=mfu, mbu=mbu)


def _pair(observations: tuple[Observation, ...], window: Window) -> tuple[Observation | None, Observation | None]:
    both = {each.meter: each for each in observations if each.window is window}
    return both.get(Meter.PROGRESS), both.get(Meter.COUNTERS)


def _first_known(progress: Observation | None, counters: Observation | None, name: str) -> float | None:
    values = (getattr(each, name) for each in (progress, counters) if each is not None)
    return next((each for each in values if each is not None), None)


def _findings(situation: Situation, *, trusted: bool) -> tuple[Finding, ...]:
    if situation.evidence.samples < MINIMUM_SAMPLES:
        return ()
    findings = diagnose(situation) or _unexplained(situation)
    if trusted:
        return findings
    return tuple(each if each.cause is Cause.RECOMPUTE else _doubted(each) for each in findings)


def _doubted(finding: Finding) -> Finding:
    """Recomputation explains the disagreement itself; anything else leans on a declaration that is suspect."""
    return replace(finding, confidence=finding.confidence * DOUBTED)


def _unexplained(situation: Situation) -> tuple[Finding, ...]:
    """Far below the expected band and no rule knows why: said so, rather than guessed."""
    expected = situation.expected
    if expected is None or _busy_as_declared(situation):
        return ()
    seen, aim = situation.judged, expected.judged
    if seen is None or not aim or seen >= UNEXPLAINED * expected.low:
        return ()
    accusation = Accusation(
        cause=Cause.UNKNOWN,
        explains=Explains.RUNTIME,
        actor=Actor.TENANT,
        confidence=0.4,
        speedup=aim / max(seen, 1e-6),
        action="no reading explains the gap: profile one step, and check the declared model and batch",
        counterfactual_mfu=expected.mfu,
    )
    return (finding(situation, accusation, EvidenceItem("expected", round(aim, 4), "fraction")),)


def _busy_as_declared(situation: Situation) -> bool:
    """Memory is what limits it, and the declared stack moves no less: the expectation was too high."""
    return situation.evidence.busy(Metric.DRAM_ACTIVE) >= DRAM_BUSY and explains_traffic(situation)


def _readings(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    """The same GPUs as other dashboards show them."""
    shown = (
        ("GPU utilisation", Metric.GPU_UTIL, "fraction"),
        ("GPU active", Metric.GR_ENGINE_ACTIVE, "fraction"),
        ("SM active", Metric.SM_ACTIVE, "fraction"),
        ("tensor active", Metric.TENSOR_ACTIVE, "fraction"),
        ("memory active", Metric.DRAM_ACTIVE, "fraction"),
        ("power", Metric.POWER, "W"),
        ("SM clock", Metric.SM_CLOCK, "Hz"),
    )
    values = ((name, evidence.average(metric), unit) for name, metric, unit in shown)
    return tuple(EvidenceItem(name, round(value, 4), unit) for name, value, unit in values if np.isfinite(value))
