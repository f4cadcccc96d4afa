"""Online calibration: lessons from workloads that run as they should, kept in the FleetReport across restarts."""

from __future__ import annotations

from collections.abc import Sequence

from mfu.api.causes import Explains
from mfu.api.fleetreport import Calibration
from mfu.api.workload_status import Meter
from mfu.observe.assessment import Assessment, Finding, TelemetryState
from mfu.predict import correction_of, key_of
from mfu.predict.learn import Lesson, from_document
from mfu.predict.types import Corrections, Placement, Prediction, Setup

LESSON_SECONDS = 600.0
"""One lesson a window: overlapping windows would count the same evidence again."""
MOST_KEYS = 128


def lesson_of(
    setup: Setup,
    placement: Placement,
    expected: Prediction,
    assessment: Assessment,
    findings: Sequence[Finding],
    corrections: Corrections,
) -> Lesson | None:
    """Observed against what shipped constants alone would say. Only progress teaches: counters rest on the intent."""
    best = assessment.best()
    if best is None or best.meter is not Meter.PROGRESS or best.tokens_per_s_per_gpu is None:
        return None
    suspect = (
        assessment.state is not TelemetryState.OK
        or assessment.intent_consistent is False
        or any(each.explains is Explains.RUNTIME and each.wasted for each in findings)
    )
    shipped = expected.tokens_per_s_per_gpu / correction_of(setup, placement, corrections).factor
    return Lesson(key_of(setup, placement), shipped, best.tokens_per_s_per_gpu, best.confidence, best.coverage, suspect)


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
