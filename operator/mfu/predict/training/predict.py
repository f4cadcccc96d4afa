"""Prediction of one declared training job."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from mfu.memo import memo
from mfu.predict.learnkeys import correction_of
from mfu.predict.names import COMMUNICATION_TERMS, Bound, StepTerm
from mfu.predict.spread import band
from mfu.predict.training.advice import memory_advice
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.checks import refuse
from mfu.predict.training.constants import TrainingConstants, shipped
from mfu.predict.training.doubt import run_doubt, stack_doubt
from mfu.predict.training.engines import engine
from mfu.predict.training.looped import has_both_ways, loops_over_experts
from mfu.predict.training.network_doubt import network_tail
from mfu.predict.training.peak_memory import training_memory
from mfu.predict.training.power import power_said
from mfu.predict.training.risk import STALL_NOTE, low_tail
from mfu.predict.training.stack import autocast, fused_attention, fused_share
from mfu.predict.training.step import HOST_NOTE, TrainingStep, recomputed_share, step
from mfu.predict.training.uncast import UNCAST_NOTE, is_uncast
from mfu.predict.types import (
    Correction,
    Corrections,
    Doubt,
    Loss,
    Memory,
    Placement,
    Prediction,
    Problem,
    Scale,
    Training,
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One case and what the arrays say of it."""

    case: TrainingCase
    step: TrainingStep
    memory: Memory


def predict_training(
    setup: Training, placement: Placement, corrections: Corrections | None = None
) -> Prediction | Problem:
    """What the job should reach, or why no number can be given. A job that does not fit still gets its number."""
    found = _predicted(what_matters(setup), placement)
    if isinstance(found, Problem):
        return found
    return corrected(found, correction_of(setup, placement, corrections))


def what_matters(setup: Training) -> Training:
    """The setup without what its speed does not depend on, so that like jobs share one cached answer."""
    return setup if setup.total_tokens is None else replace(setup, total_tokens=None)


@memo(most=16384)
def _predicted(setup: Training, placement: Placement) -> Prediction | Problem:
    wrong = refuse(setup, placement)
    if wrong is not None:
        return wrong
    evaluated = evaluate(setup, placement, shipped())
    return _prediction(setup, placement, evaluated)


def evaluate(setup: Training, placement: Placement, c: TrainingConstants) -> Evaluated:
    """Arrays of one case; the setup has passed the checks."""
    case = case_of(setup, placement, c)
    if case is None:
        raise ValueError(f"{placement.device.label} has no peak at {setup.precisions.compute}")
    found = training_memory(case, c)
    terms = MappingProxyType({name.value: float(value) for name, value in found.terms.items()})
    total, capacity = float(found.total), float(case.machine.memory)
    usable = c["headroom"]
    advice = memory_advice(case, c) if total > capacity * usable else None
    return Evaluated(case, step(case, c), Memory(terms, total, capacity, advice, usable))


def _prediction(setup: Training, placement: Placement, evaluated: Evaluated) -> Prediction:
    case, result = evaluated.case, evaluated.step
    seconds = float(result.seconds)
    mfu = float(result.ideal) / seconds
    tokens = setup.global_batch_size * setup.sequence_length / placement.gpus / seconds
    doubt = _doubt(setup, placement, evaluated)
    low, high = band(mfu, doubt.total)
    return Prediction(
        mfu=mfu,
        reference_mfu=mfu * float(case.machine.peak / case.machine.peak16_reference),
        hfu=mfu * executed_ratio(case),
        mbu=None,
        scale=Scale.MFU,
        low=low * doubt.tail,
        high=min(high, 1.0),
        step_seconds=seconds,
        tokens_per_s_per_gpu=tokens,
        input_tokens_per_s_per_gpu=None,
        flops_per_token=float(case.model.model_flops * (1.0 + case.model.backward)),
        waterfall=waterfall(result),
        memory=evaluated.memory,
        bound=bound(result).value,
        notes=(
            *notes(result, evaluated.memory),
            *((UNCAST_NOTE,) if bool(is_uncast(case)) else ()),
            *power_said(placement, float(case.machine.held)),
            *((STALL_NOTE,) if low_tail(case, result, shipped(), doubt.total) < 1.0 else ()),
            *habits_said(setup),
        ),
        doubt=doubt,
    )


def _doubt(setup: Training, placement: Placement, evaluated: Evaluated) -> Doubt:
    c, case, result = shipped(), evaluated.case, evaluated.step
    found = Doubt(stack_doubt(c, setup, placement), run_doubt(c, setup, placement, (case, result)))
    stalls = low_tail(case, result, c, found.total)
    return replace(found, tail=stalls * network_tail(setup, placement, (case, result), c, found.total))


def executed_ratio(case: TrainingCase) -> float:
    """HFU over MFU: forward work done again over all model FLOPs. Full recomputation of a dense model: nearly 4/3."""
    return 1.0 + float(recomputed_share(case) / (1.0 + case.model.backward))


def waterfall(result: TrainingStep) -> tuple[Loss, ...]:
    """Losses in picture order, zero ones left out; with MFU they sum to 1, rounding put on the largest."""
    seconds = float(result.seconds)
    values = [(name, float(np.asarray(result.losses[name]))) for name in StepTerm if name in result.losses]
    kept = [(name, value) for name, value in values if value != 0.0]
    losses = [Loss(name.value, value / seconds, value) for name, value in kept]
    return exact(losses, float(result.ideal) / seconds)


def exact(losses: list[Loss], mfu: float) -> tuple[Loss, ...]:
    """The same losses with the float residue of 1 - mfu - Σ moved onto the largest one."""
    if not losses:
        return ()
    largest = max(range(len(losses)), key=lambda index: losses[index].fraction)
    rest = sum(loss.fraction for index, loss in enumerate(losses) if index != largest)
    losses[largest] = replace(losses[largest], fraction=1.0 - mfu - rest)
    return tuple(losses)


def bound(result: TrainingStep) -> Bound:
    """What sets the pace: the largest of arithmetic, memory-bound operators, communication and host."""
    losses = {name: float(np.asarray(value)) for name, value in result.losses.items()}
    compute = float(result.ideal) + sum(
        losses.get(name, 0.0)
        for name in (
            StepTerm.KERNEL_CEILING,
            StepTerm.POWER_LIMIT,
            StepTerm.KERNEL_SHAPE,
            StepTerm.ATTENTION,
            StepTerm.RECOMPUTE,
        )
    )
    parts = {
        Bound.COMPUTE: compute,
        Bound.MEMORY: losses.get(StepTerm.MEMORY_BOUND, 0.0) + losses.get(StepTerm.OPTIMIZER, 0.0),
        Bound.COMMUNICATION: sum(losses.get(name, 0.0) for name in COMMUNICATION_TERMS),
        Bound.HOST: losses.get(StepTerm.HOST, 0.0),
    }
    host_share = parts[Bound.HOST] / float(result.seconds)
    return Bound.HOST if host_share > _HOST_PACE else max(parts, key=lambda name: parts[name])


_HOST_PACE = 0.05
"""A host loss above this share means the GPU waits for launches, so the host sets the pace."""


def notes(result: TrainingStep, memory: Memory) -> tuple[str, ...]:
    """What a person has to know beside the number."""
    said = []
    if float(np.asarray(result.losses.get(StepTerm.HOST, 0.0))) > _HOST_PACE * float(result.seconds):
        said.append(HOST_NOTE)
    if not memory.fits:
        said.append(f"Does not fit: {memory.largest_term} is the largest term.")
    return tuple(said)


def habits_said(setup: Training) -> tuple[str, ...]:
    """What was taken for granted because it was not declared, and what the model cannot do."""
    said = []
    positions, length = setup.architecture.learned_positions, setup.sequence_length
    if positions and length > positions:
        said.append(f"The model has learned {positions:,} positions; sequences of {length:,} need more.")
    if setup.engine:
        taken = ", ".join(text for field, text in _habits(setup).items() if _undeclared(setup, field))
        said += [f"By {engine(setup.engine).name}'s habit: {taken}."] if taken else []
    return tuple(said)


def _habits(setup: Training) -> dict[str, str]:
    """What each field means that decides speed and memory, as the prediction takes it."""
    plain = engine(setup.engine).framework
    fused, master = fused_share(setup) >= 1.0, engine(setup.engine).master_weights and not autocast(setup)
    found = {
        "runtime.compilation": "fused small operators" if fused else "one kernel an operation",
        "runtime.attention": "fused attention" if fused_attention(setup) else "attention scores written to memory",
        "precision.masterWeights": "an FP32 copy of the weights" if master else "no copy of the weights",
    }
    if has_both_ways(setup):
        said = "experts one after the other" if loops_over_experts(setup) else "experts in grouped products"
        found["runtime.version"] = said if setup.engine_version else f"{said}, as in the latest release"
    return {**found, "precision.logits": "FP32 logits"} if plain else found


def _undeclared(setup: Training, field: str) -> bool:
    runtime = (setup.compilation, setup.compiled, setup.fused_kernels)
    given = {
        "runtime.compilation": any(each is not None for each in runtime),
        "runtime.attention": setup.attention is not None,
        "precision.masterWeights": setup.precisions.master_weights is not None,
        "precision.logits": setup.precisions.logits is not None,
        "runtime.version": setup.looped_experts is not None,
    }
    return not given[field]


def corrected(prediction: Prediction, correction: Correction) -> Prediction:
    """The prediction at the learned speed; the change is a line of its own in the waterfall. What was learned of the
    stack takes the place of what was unknown of it, so the band narrows to what each run errs by alone."""
    if correction.factor == 1.0 and correction.relative_sd == 0.0:
        return prediction
    factor = correction.factor
    mfu = prediction.mfu * factor
    seconds = prediction.step_seconds / factor
    known = correction.relative_sd if correction.observations else prediction.doubt.shared
    doubt = replace(prediction.doubt, shared=min(known, prediction.doubt.shared))
    low, high = band(mfu, doubt.total)
    losses = {loss.name: loss.seconds for loss in prediction.waterfall}
    losses[StepTerm.LEARNED.value] = seconds - prediction.step_seconds
    fractions = [Loss(name, value / seconds, value) for name, value in losses.items()]
    return replace(
        prediction,
        mfu=mfu,
        reference_mfu=prediction.reference_mfu * factor,
        hfu=prediction.hfu * factor,
        low=low * doubt.tail,
        high=min(high, 1.0),
        doubt=doubt,
        step_seconds=seconds,
        tokens_per_s_per_gpu=prediction.tokens_per_s_per_gpu * factor,
        waterfall=exact(fractions, mfu),
    )
