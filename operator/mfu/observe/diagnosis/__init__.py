"""Why a workload is slow: an ordered tuple of small rules over evidence, one file a family. First listed wins a tie."""

from __future__ import annotations

from mfu.api.causes import Cause, Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.batch import small_batch
from mfu.observe.diagnosis.communication import communication
from mfu.observe.diagnosis.health import degraded_hardware, power_or_thermal
from mfu.observe.diagnosis.kernels import memory_bound, precision
from mfu.observe.diagnosis.layout import pipeline_bubble, wrong_layout
from mfu.observe.diagnosis.ranks import straggler
from mfu.observe.diagnosis.recompute import recompute
from mfu.observe.diagnosis.serving import bandwidth_bound, kv_cache_pressure, low_concurrency, request_variability
from mfu.observe.diagnosis.shares import apportioned
from mfu.observe.diagnosis.situation import CauseRule, Predict, Situation
from mfu.observe.diagnosis.waiting import data_starvation, host_overhead, idle_allocation

RULES: tuple[CauseRule, ...] = (
    idle_allocation,
    degraded_hardware,
    power_or_thermal,
    straggler,
    communication,
    data_starvation,
    precision,
    memory_bound,
    small_batch,
    host_overhead,
    recompute,
    pipeline_bubble,
    wrong_layout,
    kv_cache_pressure,
    low_concurrency,
    request_variability,
    bandwidth_bound,
)

EXPLAINED_BY: dict[Cause, frozenset[Cause]] = {
    Cause.IDLE_ALLOCATION: frozenset(Cause) - {Cause.IDLE_ALLOCATION, Cause.DEGRADED_HARDWARE},
    Cause.STRAGGLER: frozenset(
        {Cause.DATA_STARVATION, Cause.HOST_OVERHEAD, Cause.POWER_OR_THERMAL, Cause.COMMUNICATION}
    ),
    Cause.COMMUNICATION: frozenset({Cause.SMALL_BATCH, Cause.HOST_OVERHEAD}),
    Cause.DATA_STARVATION: frozenset({Cause.HOST_OVERHEAD}),
    Cause.PRECISION: frozenset({Cause.MEMORY_BOUND}),
    Cause.RECOMPUTE: frozenset({Cause.MEMORY_BOUND}),
    Cause.SMALL_BATCH: frozenset({Cause.HOST_OVERHEAD, Cause.MEMORY_BOUND}),
    Cause.PIPELINE_BUBBLE: frozenset({Cause.COMMUNICATION}),
    Cause.WRONG_LAYOUT: frozenset({Cause.COMMUNICATION, Cause.PIPELINE_BUBBLE, Cause.SMALL_BATCH}),
    Cause.LOW_CONCURRENCY: frozenset({Cause.MEMORY_BOUND, Cause.HOST_OVERHEAD}),
}
"""Symptoms of a cause that would otherwise be named beside it, unless they cost clearly more than it."""
CLEARLY_MORE = 1.5


def diagnose(situation: Situation, rules: tuple[CauseRule, ...] = RULES) -> tuple[Finding, ...]:
    """Findings, the one that costs most first; what another finding already explains is left out."""
    found = [each for each in (rule(situation) for rule in rules) if each is not None]
    kept = [each for each in found if not any(_explains(other, each) for other in found)]
    ranked = sorted(kept, key=lambda each: (not each.wasted, -(each.speedup - 1) * each.confidence))
    return apportioned(tuple(ranked), situation)


def _explains(cause: Finding, symptom: Finding) -> bool:
    if symptom.cause not in EXPLAINED_BY.get(cause.cause, frozenset()) or symptom.wasted > cause.wasted:
        return False
    if symptom.cause is Cause.MEMORY_BOUND and symptom.explains is Explains.CONFIGURATION:
        # Scores that are declared to be written are no symptom of another setting.
        return cause.cause is Cause.IDLE_ALLOCATION
    return cause.cause is Cause.IDLE_ALLOCATION or symptom.speedup < CLEARLY_MORE * cause.speedup


__all__ = ["EXPLAINED_BY", "RULES", "Predict", "Rule", "Situation", "diagnose"]
