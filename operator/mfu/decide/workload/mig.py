"""Would a MIG slice do? The smallest profile in which the model fits and still reaches its latency."""

from __future__ import annotations

from dataclasses import replace

from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.hardware.catalog import load
from mfu.hardware.labels import MIG_PREFIX
from mfu.hardware.types import Device, MIGProfile
from mfu.predict import predict
from mfu.predict.inference.slo import misses
from mfu.predict.types import Inference, Placement, Prediction
from mfu.sentence import amount, sentence
from mfu.units import gibibytes


def mig(subject: Subject) -> Decision | None:
    """None where slicing is no question: training, several GPUs, a product without MIG, or time slices of one."""
    setup, device = subject.setup, subject.placement.device
    if not isinstance(setup, Inference) or subject.spec.accelerators.count != 1:
        return None
    if device.gpu.mig_max_instances == 0 or device.shared:
        return None
    needed = subject.expected.memory.total_bytes
    fitting = (each for each in load().mig_profiles(device.gpu.key) if each.memory_bytes >= needed)
    serving = [each for each in fitting if _in_time(setup, subject.placement, each)]
    smallest = min(serving, key=lambda each: (each.memory_slices, each.compute_slices, each.name), default=None)
    current = device.mig.memory_slices if device.mig else None
    size = amount(needed, gibibytes(needed))
    if smallest is None or (current is not None and smallest.memory_slices >= current):
        return _decision(
            subject,
            Outcome.KEEP,
            Why.RIGHT_SIZED,
            sentence("needs {} and holds {}", size, device.label),
            None,
        )
    if smallest.memory_slices >= smallest.memory_slices_total:
        return _decision(subject, Outcome.KEEP, Why.RIGHT_SIZED, sentence("needs {} of a whole GPU", size), None)
    has = gibibytes(smallest.memory_bytes)
    message = sentence("needs {}: {} ({}) would hold it", size, smallest.name, has)
    return _decision(subject, Outcome.RESHAPE, Why.SMALLER_PROFILE_FITS, message, smallest)


def serves(setup: Inference, placement: Placement, profile: MIGProfile) -> bool:
    """Whether that slice holds it and keeps its declared latency, as predicted there."""
    there = predict(setup, replace(placement, device=Device(placement.device.gpu, profile)))
    return isinstance(there, Prediction) and there.memory.fits and not misses(setup, there)


def _in_time(setup: Inference, placement: Placement, profile: MIGProfile) -> bool:
    """Whether it keeps the declared latency on that slice, as predicted. Where none is declared, any slice does."""
    if setup.ttft_limit_seconds is None and setup.tpot_limit_seconds is None:
        return True
    there = predict(setup, replace(placement, device=Device(placement.device.gpu, profile)))
    return isinstance(there, Prediction) and not misses(setup, there)


def _decision(subject: Subject, outcome: Outcome, reason: str, message: str, profile: MIGProfile | None) -> Decision:
    hint = {"migProfile": profile.name, "resource": f"{MIG_PREFIX}{profile.name}"} if profile else None
    return Decision(DecisionType.MIG, outcome, reason, message, subject.policy.mode_of(DecisionType.MIG), hint)
