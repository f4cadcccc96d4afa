"""Online calibration: lessons from workloads that run as they should, kept in the FleetReport across restarts."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, log, sqrt

from mfu.api.causes import Explains
from mfu.api.fleetreport import Calibration
from mfu.api.workload_status import Meter
from mfu.engine.history.remembered import Current
from mfu.observe.assessment import Assessment, Finding, TelemetryState
from mfu.predict import key_of
from mfu.predict.learn import Lesson, from_document
from mfu.predict.types import Correction, Corrections

LESSON_SECONDS = 600.0
"""One lesson a window: overlapping windows would count the same evidence again."""
MOST_KEYS = 128
LEAST_TEACHERS = 2
"""Namespaces that must agree before anybody else is told."""
MOST_DISAGREEMENT = log(1.15)
"""Between two of them: twice the noise of one stack's published repeats, with the doubt about intents."""


def lesson_of(namespace: str, current: Current, assessment: Assessment, findings: Sequence[Finding]) -> Lesson | None:
    """Observed against what shipped constants say. Only progress teaches: counters rest on the intent.

    It is kept under the namespace that taught it, so that no tenant alone moves what others are told.
    """
    best = assessment.best()
    if best is None or best.meter is not Meter.PROGRESS or best.tokens_per_s_per_gpu is None:
        return None
    suspect = (
        assessment.state is not TelemetryState.OK
        or assessment.intent_consistent is False
        or any(each.explains is Explains.RUNTIME and each.wasted for each in findings)
    )
    key = f"{namespace}/{key_of(current.setup, current.placement)}"
    shipped, seen = current.expected.tokens_per_s_per_gpu, best.tokens_per_s_per_gpu
    return Lesson(key, shipped, seen, best.confidence, best.coverage, suspect)


def learned_elsewhere(known: Corrections, key: str, namespace: str) -> Correction | None:
    """What other namespaces agree on for this stack, each weighing once; None where too few speak, or they disagree."""
    found = {
        teacher: each
        for name, each in known.by_key.items()
        if (teacher := name.partition("/")[0]) != namespace and name.partition("/")[2] == key
    }
    logs = [log(each.factor) for each in found.values()]
    if len(logs) < LEAST_TEACHERS or max(logs) - min(logs) > MOST_DISAGREEMENT:
        return None
    doubt = sqrt(fsum(each.relative_sd**2 for each in found.values())) / len(found)
    observations = sum(each.observations for each in found.values())
    return Correction(exp(fsum(logs) / len(logs)), max(doubt, (max(logs) - min(logs)) / 2), observations)


def calibration_rows(corrections: Corrections) -> tuple[Calibration, ...]:
    """`status.calibration` of the FleetReport."""
    return tuple(
        Calibration(
            key=key,
            factor=f"{each.factor:.4f}",
            relative_sd=f"{each.relative_sd:.4f}",
            observations=each.observations,
        )
        for key, each in sorted(corrections.by_key.items())[:MOST_KEYS]
    )


def restored(rows: Sequence[Calibration]) -> Corrections:
    """What a former operator learned; damaged or out-of-bounds entries are forgotten."""
    return from_document({row.key: _numbers(row) for row in rows if row.key})


def _numbers(row: Calibration) -> dict[str, float]:
    return {"factor": float(row.factor), "relativeSD": float(row.relative_sd), "observations": float(row.observations)}
