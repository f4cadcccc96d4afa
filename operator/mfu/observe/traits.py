"""What counters give away about a run that its declaration does not say: recomputation, attention that is not fused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfu.hardware.types import Precision
from mfu.observe.evidence import Evidence
from mfu.observe.executed import from_trainer
from mfu.observe.readings import Metric
from mfu.predict.types import AttentionKernel, Method, Recompute, Setup, Sharding, Training
from mfu.workload.parameters import count

DRAM_BUSY = 0.40
"""Memory activity while active from which kernels wait for memory; healthy fused training shows 25 to 30 %."""
DRAM_OVER_TENSOR = 2.0
"""Memory activity over tensor activity: 0.3 to 0.4 in healthy training, 5 with unfused attention."""
FMA_BUSY = 0.25
"""FP32-pipe activity above which products run there: element-wise work of 16-bit training shows 2 to 5 %."""
FULL_SM, FULLY_ACTIVE = 0.85, 0.90
PRODUCT_OCCUPANCY, COPY_OCCUPANCY = 0.15, 0.78
"""Warps resident in pure matrix products and in pure copies (H200 `matmul-8192-bf16` and `elementwise-copy` runs)."""
ELEMENT_WISE = 0.55
"""Share of time in element-wise kernels from which they are the loss: 0.16 healthy, 0.48 in a well fed 125M model."""
ACTIVATION_BYTES = 34
"""16-bit activations per token, layer and hidden unit, attention fused (Korthikanti et al., arXiv 2205.05198)."""
LOGIT_BYTES = 12.0
"""16-bit logits, their 32-bit copy and the gradients of both: what plain cross-entropy in PyTorch holds. With it the
H200 recordings that keep their activations come to 0.80 … 1.17 of ACTIVATION_BYTES, the recomputing one to 0.15."""
LEAST_LOGITS = 0.5
"""Of LOGIT_BYTES, what a cross-entropy that stays in 16 bit holds: a small model with a large vocabulary (124M, 32,768
tokens, H200) came to 0.38 of its activations by the full figure, and recomputed nothing."""
HOT, IDLE_TENSOR, IDLE_DRAM = 0.80, 0.08, 0.20
"""Power over the limit, tensor and memory activity: with nothing else busy only the FP32 pipe can draw that."""
KEPT = 0.50
"""Share of the expected activations below which some of them cannot have been kept."""
TELLING = 0.15
"""Least share of memory in use that the activations must make up for their absence to be seen."""


@dataclass(frozen=True, slots=True)
class RunTraits:
    """`recompute` is None where the declaration stands; `fused_attention` False where scores go through memory."""

    recompute: Recompute | None = None
    fused_attention: bool = True
    tensor_cores: bool = True
    """False where the products run on the FP32 pipe, whatever precision is declared."""


def infer(evidence: Evidence, setup: Setup | None) -> RunTraits:
    """Recomputation by memory in use, unfused attention by memory traffic; nothing without a training intent."""
    if not isinstance(setup, Training):
        return RunTraits()
    kept = kept_activations(evidence, setup)
    again = setup.recompute is Recompute.NONE and kept is not None and kept + _logits_doubt(setup) < KEPT
    return RunTraits(Recompute.FULL if again else None, _fused_attention(evidence, setup))


def _fused_attention(evidence: Evidence, training: Training) -> bool:
    """As declared, or as the engine does it; seen from memory activity only where neither says."""
    if training.attention is not None:
        return training.attention is not AttentionKernel.EAGER
    return from_trainer(training) or not starved_for_memory(evidence)


def off_tensor_cores(evidence: Evidence, power_limit_watts: float | None) -> bool:
    """The FP32 pipe does more than element-wise work, and more than the tensor cores.

    Where the pipe is not read (dcgm-exporter's default set): full power with tensor cores and memory both quiet.
    """
    fma, tensor = evidence.busy(Metric.FP32_ACTIVE), evidence.busy(Metric.TENSOR_ACTIVE)
    if np.isfinite(fma):
        return bool(fma > FMA_BUSY and not tensor > fma)
    busy, dram = evidence.working, evidence.busy(Metric.DRAM_ACTIVE)
    hot = np.fmax(evidence.of(Metric.POWER), 0.0).mean() > HOT * (power_limit_watts or np.inf)
    return bool(busy > FULLY_ACTIVE and hot and tensor < IDLE_TENSOR and dram < IDLE_DRAM)


def starved_for_memory(evidence: Evidence) -> bool:
    """SMs full, memory busy, tensor cores quiet or SMs full of element-wise warps: operators that are not fused."""
    dram, tensor = evidence.busy(Metric.DRAM_ACTIVE), evidence.busy(Metric.TENSOR_ACTIVE)
    full = evidence.busy(Metric.SM_ACTIVE)
    if not (np.isfinite(dram) and np.isfinite(tensor)) or (np.isfinite(full) and full < FULL_SM):
        return False
    if evidence.working < FULLY_ACTIVE:
        return False
    return dram >= DRAM_BUSY and (dram >= DRAM_OVER_TENSOR * tensor or element_wise_share(evidence) >= ELEMENT_WISE)


def element_wise_share(evidence: Evidence) -> float:
    """Share of active time in element-wise kernels, by warps resident: products hold few, copies most. 0 unknown."""
    resident = evidence.busy(Metric.SM_OCCUPANCY)
    share = (resident - PRODUCT_OCCUPANCY) / (COPY_OCCUPANCY - PRODUCT_OCCUPANCY)
    return float(np.clip(share, 0.0, 1.0)) if np.isfinite(share) else 0.0


def kept_activations(evidence: Evidence, training: Training) -> float | None:
    """Share of the activations that memory in use leaves room for; None where they are too small a part to tell."""
    fullest = float(np.fmax.reduce(evidence.of(Metric.FB_USED)))
    if not np.isfinite(fullest) or training.architecture.moe is not None:
        return None
    activations, static, logits = memory_terms(training)
    if activations < TELLING * fullest:
        return None
    return (fullest - static - logits) / activations


def _logits_doubt(training: Training) -> float:
    """Share of the activations that may hide in memory ascribed to logits; transformers widens them, beyond doubt."""
    if from_trainer(training):
        return 0.0
    activations, _, logits = memory_terms(training)
    return (1 - LEAST_LOGITS) * logits / activations


def memory_terms(training: Training) -> tuple[float, float, float]:
    """Activations, least static state and logits of the fullest GPU, bytes.

    The first of p stages keeps p micro-batches of layers/p layers: as much as one of all layers.
    """
    arch, parallel = training.architecture, training.parallelism
    narrow = training.precisions.compute not in (Precision.FP32, Precision.TF32)
    tokens = training.micro_batch_size * training.sequence_length / parallel.context
    width = 1.0 if narrow else 2.0
    activations = ACTIVATION_BYTES * width * tokens * arch.layers * arch.hidden / parallel.tensor
    parameters = count(arch).total / (parallel.tensor * parallel.pipeline)
    logits = tokens * arch.vocab * LOGIT_BYTES / parallel.tensor
    return activations, parameters * _least_static_bytes(training, narrow=narrow), logits


def _least_static_bytes(training: Training, *, narrow: bool) -> float:
    """Per parameter of a rank: weights, gradients and two moments, each as narrow as can be and split as declared."""
    value, ranks = (2.0 if narrow else 4.0), training.parallelism.data
    if training.method is Method.LORA:
        return value
    weights, gradients, moments = _SPLIT[training.sharding]
    return value * (1 / (ranks if weights else 1) + 1 / (ranks if gradients else 1) + 2 / (ranks if moments else 1))


_SPLIT: Mapping[Sharding, tuple[bool, bool, bool]] = {
    Sharding.DDP: (False, False, False),
    Sharding.ZERO1: (False, False, True),
    Sharding.ZERO2: (False, True, True),
    Sharding.ZERO3: (True, True, True),
    Sharding.HSDP: (True, True, True),
}
"""Whether weights, gradients and moments are divided among data-parallel ranks."""
