"""How much of the peak each finding stands for, so that together they never explain more than was lost."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.causes import Explains
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.situation import Situation
from mfu.predict.types import Prediction


def apportioned(findings: tuple[Finding, ...], situation: Situation) -> tuple[Finding, ...]:
    """Shares of the runtime findings shrunk to expected − observed, of the others to attainable − expected.

    Where a loss is not known (nothing predicted, or observed above what was expected) shares stand as the evidence has
    them. 0.20 and 0.10 for a gap of 0.15 become 0.10 and 0.05.
    """
    return _within(
        _within(findings, Explains.RUNTIME, _runtime_loss(situation)), Explains.CONFIGURATION, _room(situation)
    )


def _within(findings: tuple[Finding, ...], kind: Explains, loss: float | None) -> tuple[Finding, ...]:
    claimed = sum(each.share or 0.0 for each in findings if each.explains is kind and each.wasted)
    if loss is None or claimed <= loss:
        return findings
    factor = loss / claimed
    return tuple(
        replace(each, share=each.share * factor) if each.explains is kind and each.wasted and each.share else each
        for each in findings
    )


def _runtime_loss(situation: Situation) -> float | None:
    seen = situation.mbu if situation.decoding else situation.mfu
    aim = _on_scale(situation.expected, situation)
    return aim - seen if aim is not None and seen is not None and aim > seen else None


def _room(situation: Situation) -> float | None:
    aim = None if situation.attainable is None else _on_scale(situation.attainable.prediction, situation)
    now = _on_scale(situation.expected, situation)
    return aim - now if aim is not None and now is not None and aim > now else None


def _on_scale(prediction: Prediction | None, situation: Situation) -> float | None:
    if prediction is None:
        return None
    return prediction.mbu if situation.decoding else prediction.mfu
