"""The judged workload as the JSON of its status. Fractions as decimal strings; what is unknown is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mfu.account.cost import Cost
from mfu.api.causes import Cause
from mfu.api.conditions import Condition, merge
from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.holdings.workload import Candidate, Held
from mfu.engine.say.text import moment, pruned
from mfu.observe.assessment import Assessment, EvidenceItem, Finding, Observation
from mfu.predict.types import Attainable, Memory, Prediction, Scale
from mfu.units import decimal, gibibytes, money, percent, points

JSON = dict[str, Any]
UNKNOWN = "Unknown"
MOST_LOSSES = 32
MOST_POSSIBLE = 1.05
"""Of a peak, with the error of clocks and counters."""
MOST_CHANGES = 16


def expected(candidate: Candidate, prediction: Prediction) -> JSON:
    return pruned(
        {
            "product": candidate.placement.device.label,
            "basis": str(candidate.basis),
            "mfu": decimal(prediction.mfu),
            "referenceMFU": decimal(prediction.reference_mfu),
            "mbu": decimal(prediction.mbu),
            "tokensPerSecondPerGPU": decimal(prediction.tokens_per_s_per_gpu, 1),
            "low": decimal(prediction.low),
            "high": decimal(prediction.high),
            "stepSeconds": decimal(prediction.step_seconds) if prediction.ttft_seconds is None else None,
            "ttftMilliseconds": _milliseconds(prediction.ttft_seconds),
            "tpotMilliseconds": _milliseconds(prediction.tpot_seconds),
        }
    )


def attainable(best: Attainable) -> JSON:
    changes = [
        {
            "field": each.field,
            "from": each.before,
            "to": each.after,
            "gain": decimal(each.gain_points),
            "throughputGain": decimal(each.gain),
        }
        for each in best.changes[:MOST_CHANGES]
    ]
    return pruned(
        {
            "mfu": decimal(best.prediction.mfu),
            "referenceMFU": decimal(best.prediction.reference_mfu),
            "mbu": decimal(best.prediction.mbu),
            "tokensPerSecondPerGPU": decimal(best.prediction.tokens_per_s_per_gpu, 1),
            "changes": changes or None,
        }
    )


def observed(each: Observation) -> JSON:
    return pruned(
        {
            "window": str(each.window),
            "meter": str(each.meter),
            "mfu": decimal(each.mfu),
            "referenceMFU": decimal(each.reference_mfu),
            "mbu": decimal(each.mbu),
            "tensorUtilization": decimal(each.tensor_utilisation),
            "tokensPerSecondPerGPU": decimal(each.tokens_per_s_per_gpu, 1),
            "low": decimal(each.low),
            "high": decimal(each.high),
            "coverage": decimal(each.coverage, 2),
            "confidence": decimal(each.confidence, 2),
            "estimated": each.estimated,
            "source": each.source,
            "observedAt": None if each.observed_at is None else moment(each.observed_at),
        }
    )


def loss(finding: Finding) -> JSON:
    evidence = ", ".join(f"{item.name} {_reading(item)}" for item in finding.evidence)
    return pruned(
        {
            "cause": str(finding.cause),
            "explains": str(finding.explains),
            "share": decimal(finding.share),
            "counterfactualMFU": decimal(finding.counterfactual_mfu),
            "action": finding.action,
            "actor": str(finding.actor),
            "confidence": decimal(finding.confidence, 2),
            "wasted": finding.wasted,
            "evidence": evidence,
        }
    )


def waterfall(prediction: Prediction) -> list[JSON] | None:
    parts = [
        {"name": each.name, "share": f"{each.fraction:.4f}", "seconds": f"{each.seconds:.4g}"}
        for each in prediction.waterfall
    ]
    return parts[:32] or None


def readings(assessment: Assessment) -> list[JSON] | None:
    """Only numbers; words are evidence and stand with their finding."""
    shown = [each for each in assessment.readings if not isinstance(each.value, str)]
    return [{"name": each.name, "value": f"{each.value:.6g}", "unit": each.unit} for each in shown][:16] or None


def decisions(made: Iterable[Decision], before: Sequence[Mapping[str, Any]], now: float) -> list[JSON]:
    """`evaluatedAt` stays while outcome and reason stay."""
    known = {each.get("type"): each for each in before}
    answers = []
    for each in made:
        last = known.get(str(each.type), {})
        same = (last.get("outcome"), last.get("reason"), last.get("mode")) == (each.outcome, each.reason, each.mode)
        answers.append(
            {
                "type": str(each.type),
                "outcome": str(each.outcome),
                "mode": str(each.mode),
                "reason": each.reason,
                "message": each.message,
                "evaluatedAt": last["evaluatedAt"] if same and "evaluatedAt" in last else moment(now),
            }
        )
    return answers


def conditions(made: Sequence[Condition], before: Sequence[Mapping[str, Any]]) -> list[JSON]:
    known = [condition for each in before if (condition := _read(each)) is not None]
    return [each.to_api() for each in merge(known, made)]


def _read(before: Any) -> Condition | None:
    """None for what an older or a foreign writer left: it is written anew."""
    try:
        return Condition.model_validate(before)
    except ValidationError:
        return None


def memory(needed: Memory) -> JSON:
    return {
        "perGPU": gibibytes(needed.total_bytes),
        "capacity": gibibytes(needed.capacity_bytes),
        "largestTerm": needed.largest_term,
    }


def allocation(holding: Held) -> JSON:
    product = ",".join([*(device.label for device in holding.devices), *holding.unknown_products])
    return {"pods": holding.pods, "nodes": len(holding.nodes), "gpus": holding.gpus, "product": product[:64]}


def cost(spent: Cost, policy: EffectivePolicy) -> JSON | None:
    if spent.per_hour is None:
        return None
    return pruned(
        {
            "currency": policy.currency,
            "perHour": decimal(spent.per_hour, 2),
            "lostPerHour": decimal(spent.lost_per_hour, 2),
            "perMillionTokens": decimal(spent.per_million_tokens, 4),
            "perStep": decimal(spent.per_step, 6),
        }
    )


def observed_on_scale(assessment: Assessment | None, scale: Scale | None) -> float | None:
    best = assessment.best() if assessment else None
    if best is None:
        return None
    reached = best.mbu if scale is Scale.MBU else best.mfu
    # More than the hardware can do means that the declaration is wrong, not that it does more.
    return reached if reached is not None and 0.0 <= reached <= MOST_POSSIBLE else None


def summary(
    *,
    model: str,
    gpus: int,
    prediction: Prediction | None,
    best: Attainable | None,
    assessment: Assessment | None,
    cause: Cause,
    spent: Cost,
    policy: EffectivePolicy,
) -> JSON:
    """Strings for the columns of `kubectl get`."""
    scale = prediction.scale if prediction else None
    reached, promised = observed_on_scale(assessment, scale), on_scale(prediction)
    gap = None if reached is None or promised is None else promised - reached
    return {
        "model": model,
        "gpus": str(gpus),
        "expected": percent(promised),
        "observed": percent(reached),
        "attainable": percent(attainable_on_scale(prediction, best)),
        "gap": points(gap),
        "scale": str(scale) if scale else UNKNOWN,
        "cause": str(cause),
        "costPerHour": money(spent.per_hour, policy.currency),
        "lostPerHour": money(spent.lost_per_hour, policy.currency),
    }


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else decimal(seconds * 1000, 1)


def _reading(item: EvidenceItem) -> str:
    value = item.value if isinstance(item.value, str) else f"{item.value:.4g}"
    return f"{value} {item.unit}".rstrip()
