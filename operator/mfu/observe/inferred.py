"""What counters give away about a run that its declaration does not say: recomputation, attention that is not fused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.observe.evidence import Evidence
from mfu.observe.readings import Metric
from mfu.predict.types import Recompute, Setup, Training
from mfu.workload.parameters import count

DRAM_BUSY = 0.40
"""Memory activity while active from which kernels wait for memory; healthy fused training shows 25 to 30 %."""
DRAM_OVER_TENSOR = 2.0
"""Memory activity over tensor activity: 0.3 to 0.4 in healthy training, 5 with unfused attention."""
FULL_SM = 0.85
ACTIVATION_BYTES = 34
"""16-bit activations per token, layer and hidden unit, attention fused (Korthikanti et al., arXiv 2205.05198)."""
LEAST_STATIC_BYTES = {True: 8.0, False: 16.0}
"""Bytes per parameter of weights, gradients and two moments: all in 16 bit (True), all in 32 bit."""
LOGIT_BYTES = 6.0
"""16-bit logits and a 32-bit working copy."""
KEPT = 0.60
"""Share of the expected activations below which some of them cannot have been kept."""
TELLING = 0.15
"""Least share of memory in use that the activations must make up for their absence to be seen."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """`recompute` is None where the declaration stands; `fused_attention` False where scores go through memory."""

    recompute: Recompute | None = None
    fused_attention: bool = True


def infer(evidence: Evidence, setup: Setup | None) -> Inferred:
    """Recomputation by memory in use, unfused attention by memory traffic; nothing without a training intent."""
    if not isinstance(setup, Training):
        return Inferred()
    kept = kept_activations(evidence, setup)
    again = setup.recompute is Recompute.NONE and kept is not None and kept < KEPT
    return Inferred(Recompute.FULL if again else None, not starved_for_memory(evidence))


def starved_for_memory(evidence: Evidence) -> bool:
    """SMs full, memory busy, tensor cores idle: the signature of operators that are not fused."""
    dram, tensor = evidence.busy(Metric.DRAM_ACTIVE), evidence.busy(Metric.TENSOR_ACTIVE)
    full = evidence.busy(Metric.SM_ACTIVE)
    if not (np.isfinite(dram) and np.isfinite(tensor)) or (np.isfinite(full) and full < FULL_SM):
        return False
    return dram >= DRAM_BUSY and dram >= DRAM_OVER_TENSOR * tensor


def kept_activations(evidence: Evidence, training: Training) -> float | None:
    """Share of the activations that memory in use leaves room for; None where they are too small a part to tell."""
    used = evidence.of(Metric.FB_USED)
    if not np.isfinite(used).any():
        return None
    fullest = float(np.nanmax(used))
    activations, static, logits = memory_terms(training)
    if activations < TELLING * fullest:
        return None
    return (fullest - static - logits) / activations


def memory_terms(training: Training) -> tuple[float, float, float]:
    """Activations, least static state and logits of the fullest GPU, bytes.

    The first of p stages keeps p micro-batches of layers/p layers: as much as one of all layers.
    """
    arch, parallel = training.architecture, training.parallelism
    narrow = training.precisions.compute not in (Precision.FP32, Precision.TF32)
    width = BYTES_PER_VALUE[training.precisions.compute] / 2 if not narrow else 1.0
    tokens = training.micro_batch_size * training.sequence_length / parallel.context
    activations = ACTIVATION_BYTES * width * tokens * arch.layers * arch.hidden / parallel.tensor
    parameters = count(arch).total / (parallel.tensor * parallel.pipeline)
    logits = tokens * arch.vocab * LOGIT_BYTES / parallel.tensor
    return activations, parameters * LEAST_STATIC_BYTES[narrow], logits
