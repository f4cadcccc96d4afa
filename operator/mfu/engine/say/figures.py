"""Predictions, readings and losses in the types of the API. Fractions are decimal strings; unknown stays absent."""

from __future__ import annotations

from mfu.account.factors import Factors
from mfu.api import workload_status as api
from mfu.engine.text import MOST_WORDS, moment
from mfu.hardware.types import Device
from mfu.observe.assessment import Assessment, EvidenceItem, Finding, Observation
from mfu.predict import model_flops_per_token
from mfu.predict.types import Attainable, Change, Memory, Prediction, Setup
from mfu.units import decimal, gibibytes
from mfu.workload.parameters import count

MOST_CHANGES, MOST_PARTS, MOST_READINGS = 16, 32, 16


def intent(setup: Setup | None) -> api.Intent | None:
    if setup is None:
        return None
    parameters = count(setup.architecture)
    return api.Intent(
        parameters=int(parameters.total),
        active_parameters=int(parameters.active),
        flops_per_token=f"{model_flops_per_token(setup):.4e}",
    )


def expected(device: Device, basis: api.Basis, prediction: Prediction | None) -> api.Expected:
    """Without a number where the model does not fit."""
    if prediction is None:
        return api.Expected(product=device.label, basis=basis)
    return api.Expected(
        product=device.label,
        basis=basis,
        mfu=decimal(prediction.mfu),
        reference_mfu=decimal(prediction.reference_mfu),
        mbu=decimal(prediction.mbu),
        tokens_per_second_per_gpu=decimal(prediction.tokens_per_s_per_gpu, 1),
        low=decimal(prediction.low),
        high=decimal(prediction.high),
        step_seconds=decimal(prediction.step_seconds) if prediction.ttft_seconds is None else None,
        ttft_milliseconds=_milliseconds(prediction.ttft_seconds),
        tpot_milliseconds=_milliseconds(prediction.tpot_seconds),
    )


def factors(found: Factors) -> api.WorkloadFactors | None:
    """None where not even what it asks for is known."""
    if found.scheduling is None:
        return None
    return api.WorkloadFactors(
        scheduling=decimal(found.scheduling),
        runtime=decimal(found.runtime),
        program=decimal(found.program),
        mfu=decimal(found.mfu),
    )


def attainable(best: Attainable) -> api.Attainable:
    return api.Attainable(
        mfu=decimal(best.prediction.mfu),
        reference_mfu=decimal(best.prediction.reference_mfu),
        mbu=decimal(best.prediction.mbu),
        tokens_per_second_per_gpu=decimal(best.prediction.tokens_per_s_per_gpu, 1),
        changes=tuple(map(_change, best.changes[:MOST_CHANGES])),
    )


def _change(change: Change) -> api.Change:
    return api.Change(
        field=change.field,
        from_=change.before,
        to=change.after,
        gain=decimal(change.gain_points),
        throughput_gain=decimal(change.gain),
    )


def memory(needed: Memory) -> api.Memory:
    return api.Memory(
        per_gpu=gibibytes(needed.total_bytes),
        capacity=gibibytes(needed.capacity_bytes),
        largest_term=needed.largest_term,
    )


def observed(each: Observation) -> api.Observed:
    return api.Observed(
        window=str(each.window),
        meter=each.meter,
        mfu=decimal(each.mfu),
        reference_mfu=decimal(each.reference_mfu),
        mbu=decimal(each.mbu),
        tensor_utilization=decimal(each.tensor_utilisation),
        tokens_per_second_per_gpu=decimal(each.tokens_per_s_per_gpu, 1),
        low=decimal(each.low),
        high=decimal(each.high),
        coverage=decimal(each.coverage, 2),
        confidence=decimal(each.confidence, 2),
        estimated=each.estimated,
        source=each.source[:256],
        observed_at=None if each.observed_at is None else moment(each.observed_at),
    )


def loss(finding: Finding) -> api.Loss:
    evidence = ", ".join(f"{item.name} {worded(item)}" for item in finding.evidence)
    return api.Loss(
        cause=finding.cause,
        explains=finding.explains,
        share=decimal(finding.share),
        counterfactual_mfu=decimal(finding.counterfactual_mfu),
        action=finding.action[:MOST_WORDS],
        actor=finding.actor,
        confidence=decimal(finding.confidence, 2),
        wasted=finding.wasted,
        evidence=evidence[:MOST_WORDS],
    )


def waterfall(prediction: Prediction) -> tuple[api.Part, ...]:
    return tuple(
        api.Part(name=each.name, share=f"{each.fraction:.4f}", seconds=f"{each.seconds:.4g}")
        for each in prediction.waterfall[:MOST_PARTS]
    )


def readings(assessment: Assessment) -> tuple[api.Reading, ...]:
    """Only numbers; words are evidence and stand with their finding."""
    shown = [each for each in assessment.readings if not isinstance(each.value, str)]
    return tuple(
        api.Reading(name=each.name, value=f"{each.value:.6g}", unit=each.unit) for each in shown[:MOST_READINGS]
    )


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else decimal(seconds * 1000, 1)


def worded(item: EvidenceItem) -> str:
    if isinstance(item.value, str):
        return f"{item.value} {item.unit}".rstrip()
    return f"{100 * item.value:.3g} %" if item.unit == "fraction" else f"{item.value:.4g} {item.unit}".rstrip()
