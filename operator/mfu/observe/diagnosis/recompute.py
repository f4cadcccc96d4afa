"""Layers run twice though their activations would fit: declared so, or given away by progress or by memory in use."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.causes import Actor, Cause, Explains
from mfu.hardware.catalog import device_memory
from mfu.observe.assessment import Finding
from mfu.observe.diagnosis.build import Accusation, count, finding, fraction, graded
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.executed import executed
from mfu.observe.readings import Metric
from mfu.observe.traits import KEPT, kept_activations, memory_terms
from mfu.predict.types import Recompute, Training
from mfu.units import GIB

USABLE = 0.92
"""Share of memory that a training job can fill before fragmentation stops it."""


def recompute(situation: Situation) -> Finding | None:
    """Named only where the activations fit, at this micro-batch or a smaller one."""
    training = situation.training
    if training is None:
        return None
    kept = kept_activations(situation.evidence, training)
    hidden = situation.traits.recompute is Recompute.FULL
    declared = training.recompute is Recompute.FULL
    if not hidden and not (declared and situation.allows("recompute")):
        return None
    size, needed = _fits_without_recompute(situation, training, USABLE * device_memory(situation.device))
    if needed is None:
        return None
    speedup = executed(training, recompute=Recompute.FULL).recompute
    accusation = Accusation(
        cause=Cause.RECOMPUTE,
        explains=Explains.RUNTIME if hidden else Explains.CONFIGURATION,
        actor=Actor.TENANT,
        confidence=0.85 if declared or kept is None else graded(KEPT - kept, 0.0, 0.3),
        speedup=speedup,
        action=_action(situation, training, size, needed, speedup),
    )
    shown = () if kept is None else (fraction("activations kept, given away by memory in use", kept),)
    return finding(
        situation,
        accusation,
        count("memory in use", situation.evidence.average(Metric.FB_USED) / GIB, "GiB"),
        count("memory without recomputation", needed / GIB, "GiB"),
        *shown,
    )


def _action(situation: Situation, training: Training, size: int, needed: float, speedup: float) -> str:
    smaller = "" if size == training.micro_batch_size else f" at micro-batch {size}"
    memory = f"{needed / GIB:.0f} of {device_memory(situation.device) / GIB:.0f} GiB, fits"
    return f"switch recomputation off{smaller}: {100 * (speedup - 1):+.0f} % speed, {memory}"


def _fits_without_recompute(situation: Situation, training: Training, capacity: float) -> tuple[int, float | None]:
    """The declared micro-batch, or the nearest half of it, that leaves room for all activations; None if none does."""
    size = training.micro_batch_size
    while size >= 1:
        needed = _without_recompute_bytes(situation, replace(training, micro_batch_size=size))
        if needed <= capacity:
            return size, needed
        size //= 2
    return 0, None


def _without_recompute_bytes(situation: Situation, training: Training) -> float:
    predicted = situation.predicted(replace(training, recompute=Recompute.NONE))
    if predicted is not None:
        return predicted.memory.total_bytes
    activations, static, logits = memory_terms(training)
    return 1.1 * (activations + static + logits)
