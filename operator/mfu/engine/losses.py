"""Which findings explain a loss that is there. A cause without a loss is no accusation."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.causes import Cause, Explains
from mfu.decide.scale import attainable_on_scale, observed_on_scale, on_scale
from mfu.engine.judged import Judged, Running
from mfu.observe.assessment import Assessment, Finding, main_cause
from mfu.predict.types import Attainable, Prediction

SMALLEST = 0.01
"""One point of the scale: less than this between two figures is no loss."""


def explained(
    assessment: Assessment | None, prediction: Prediction | None, best: Attainable | None
) -> tuple[Finding, ...]:
    """Findings in their order, without runtime causes where observed is within the expected band.

    A configuration cause where nothing better is attainable on the workload's scale (decode at its bandwidth limit)
    stays, as what a change would bring, and is not called wasted.
    """
    if assessment is None:
        return ()
    if prediction is None:
        return assessment.findings
    short = _short_of_expected(assessment, prediction)
    better = _better_than_expected(prediction, best)
    kept = [each for each in assessment.findings if short or each.explains is Explains.CONFIGURATION]
    return tuple(each if better or each.explains is Explains.RUNTIME else replace(each, wasted=False) for each in kept)


def cause_of(judged: Judged) -> Cause:
    """The main cause of what runs; Unknown where nothing does, or nothing is read."""
    if not isinstance(judged, Running):
        return Cause.UNKNOWN
    found, expected = main_cause(judged.assessment.state, judged.findings), judged.expected
    if found is Cause.NONE and expected is not None and _short_of_expected(judged.assessment, expected):
        return Cause.UNKNOWN
    return found


def _short_of_expected(assessment: Assessment, prediction: Prediction) -> bool:
    reached = observed_on_scale(assessment, prediction.scale)
    return reached is None or reached < prediction.low


def _better_than_expected(prediction: Prediction, best: Attainable | None) -> bool:
    declared, possible = on_scale(prediction), attainable_on_scale(prediction, best)
    return declared is None or possible is None or possible - declared >= SMALLEST
