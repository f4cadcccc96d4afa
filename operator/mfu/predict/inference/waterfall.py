"""Where the time of a step goes, as named shares of peak that add up to 1 with MFU."""

from __future__ import annotations

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.serving import Served
from mfu.predict.names import Bound, StepTerm
from mfu.predict.types import Loss

WEIGHT_READS = "weight reads"
"""Matrix products that wait for weights because the step holds too few tokens."""
CACHE_READS = "KV-cache reads"
"""Decode attention, less its own arithmetic where that is more than the matrix products leave unexplained."""


def losses(
    case: ServingCase, served: Served, constants: ServingConstants, *, mfu: float, peak: float, seconds: float
) -> tuple[Loss, ...]:
    """Every loss of one step of `seconds`; `mfu` + Σ fractions = 1. `peak` is the FLOP/s of MFU's denominator."""
    step = served.step
    attention_rate = float(case.chip.peak_16bit * constants.prefill_attention * case.chip.ceiling)
    spent = {
        StepTerm.ATTENTION: float(step.prefill_attention) * (1 - min(1.0, attention_rate / peak)),
        WEIGHT_READS: float(step.weight_reads),
        CACHE_READS: float(step.decode_attention),
        StepTerm.MEMORY_BOUND: float(step.activations),
        StepTerm.TENSOR_COMMUNICATION: float(step.tensor_communication),
        StepTerm.EXPERT_COMMUNICATION: float(step.expert_communication),
        StepTerm.PIPELINE_COMMUNICATION: float(step.pipeline_communication),
        StepTerm.PIPELINE_BUBBLE: float(step.bubble),
        StepTerm.HOST: float(step.launch + step.host),
        StepTerm.SOFTWARE_STACK: float(served.step_seconds) - float(step.total),
        StepTerm.LEARNED: seconds - float(served.step_seconds),
    }
    working = float(case.stages_at_once / case.layout.pipeline)
    spent = {name: value * working for name, value in spent.items()}
    spent[StepTerm.PIPELINE_BUBBLE] += (1.0 - working) * seconds
    rest = (1.0 - mfu) * seconds - sum(spent.values())
    spent[CACHE_READS] += min(rest, 0.0)
    named = [Loss(str(name), value / seconds, value) for name, value in spent.items() if value]
    ceiling = 1.0 - mfu - sum(each.fraction for each in named)
    return (Loss(str(StepTerm.KERNEL_CEILING), ceiling, ceiling * seconds), *named)


def bound_of(served: Served) -> Bound:
    """What takes most of the step."""
    step = served.step
    parts = {
        Bound.COMPUTE: float(step.matrix_compute + step.prefill_attention),
        Bound.MEMORY: float(step.weight_reads + step.decode_attention + step.activations),
        Bound.COMMUNICATION: float(step.communication + step.bubble),
        Bound.HOST: float(step.launch + step.host),
    }
    return max(parts, key=lambda name: parts[name])
