"""What the objective is worth on each product, by how many GPUs are together: predicted, not assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mfu.api.modelworkload import Objective, WorkloadSpec
from mfu.decide.fleet.standing import Need, Worth
from mfu.decide.types import EffectivePolicy
from mfu.engine.holdings.workload import Candidate
from mfu.predict import predict
from mfu.predict.types import Corrections, Prediction, Setup

_Value = Callable[[Candidate, Prediction], float]


def valued(
    ask: Need,
    spec: WorkloadSpec,
    setup: Setup,
    *,
    predictions: Sequence[tuple[Candidate, Prediction]],
    policy: EffectivePolicy,
    corrections: Corrections,
) -> Need:
    """The ask with its worths. Every product is predicted as packed as it usually is, and in single tensor groups."""
    unit, value = _objective(spec, predictions, policy)
    found: dict[str, Worth] = {}
    for candidate, prediction in predictions:
        usual, bridged = candidate.placement.gpus_per_node, _bridged(candidate)
        points = {usual: value(candidate, prediction)}
        for together in {ask.group, ask.piece, usual} if bridged else {ask.group, ask.piece} - {usual}:
            nvlink = False if bridged else candidate.placement.nvlink
            placement = replace(candidate.placement, gpus_per_node=together, nvlink=nvlink)
            answer = predict(setup, placement, corrections) if together <= usual else None
            if isinstance(answer, Prediction):
                points[together] = value(candidate, answer)
        found.setdefault(_key(candidate), Worth(_key(candidate), tuple(sorted(points.items()))))
    return replace(ask, worths=tuple(found[key] for key in sorted(found)), unit=unit)


def _bridged(candidate: Candidate) -> bool:
    """Cards that a bridge joins in pairs: a place names nodes, and which two cards a pod gets is not its choice."""
    return candidate.placement.device.gpu.nvlink_domain_gpus == 2 and candidate.placement.gpus > 1


def _key(candidate: Candidate) -> str:
    return candidate.placement.device.gpu.key


def _objective(
    spec: WorkloadSpec, predictions: Sequence[tuple[Candidate, Prediction]], policy: EffectivePolicy
) -> tuple[str, _Value]:
    """Without a price for every product, or without an SLO, the objective falls back to throughput, and says so."""
    if spec.objective is Objective.COST:
        priced = all(_price(candidate, policy) for candidate, _ in predictions)
        if priced:
            return f"tokens per {policy.currency}", lambda candidate, each: _rate(each) / _price(candidate, policy)
        return "tokens/s (not every product has a price)", lambda _, each: _rate(each)
    slo = spec.inference.slo if spec.inference else None
    if spec.objective is Objective.LATENCY and slo is not None:
        limits = (slo.ttft_milliseconds, slo.tpot_milliseconds)
        return "SLO margin", lambda _, each: _margin(each, limits)
    return "tokens/s", lambda _, each: _rate(each)


def _rate(prediction: Prediction) -> float:
    return prediction.tokens_per_s_per_gpu


def _price(candidate: Candidate, policy: EffectivePolicy) -> float:
    """Per GPU-second; 0 where it is not known."""
    return policy.prices.get(candidate.placement.device.gpu.api_name, 0.0) / 3600.0


def _margin(prediction: Prediction, limits: tuple[float | None, float | None]) -> float:
    """The tightest of limit ÷ predicted: 2.0 is twice as fast as promised. Rates decide where nothing is promised."""
    predicted = (prediction.ttft_seconds, prediction.tpot_seconds)
    margins = [
        limit / (1000.0 * seconds) for limit, seconds in zip(limits, predicted, strict=True) if limit and seconds
    ]
    return min(margins, default=_rate(prediction))
