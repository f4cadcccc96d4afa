"""Bytes that a step of the declared stack moves through memory, beside those that were seen."""

from __future__ import annotations

from mfu.hardware.catalog import device_bandwidth
from mfu.hardware.types import Precision
from mfu.observe.diagnosis.situation import Situation
from mfu.observe.executed import from_trainer
from mfu.observe.readings import Metric
from mfu.predict.types import Compilation, Recompute, Training
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

FUSED_BYTES, EAGER_BYTES = 25.0, 75.0
"""Moved per intermediate value of a layer, forward and backward, attention fused: 21 to 27 in the recordings of a plain
PyTorch model, 62 to 80 in eager transformers models (five H100 recordings)."""
WIDE = 2.0
"""Values of 32 bits instead of 16."""
AGAIN = 4 / 3
"""Layers that run twice forward."""
STATE_BYTES = 28.0
"""Of every parameter once a step: weights, gradients and both moments in 32 bits, read and written."""
CAST_BYTES = 14.0
"""Of every parameter and micro-step with weights in 32 bits: read, written in 16, gradient widened and added."""
LOGIT_BYTES = 40.0
"""Of every logit: 32-bit copy, loss, and their gradients."""
SENT = 4
"""Hidden units written for each expert that a token goes to: gathered, put out, weighed, added back."""
UNEXPLAINED = 1.5
"""Times the declared stack's traffic from which something else goes through memory, such as score matrices."""


def explains_traffic(situation: Situation) -> bool:
    """The declared stack moves about as much as was seen: memory is busy, and nothing is wrong with it."""
    seen, declared = seen_bytes(situation), stack_bytes(situation)
    return seen is not None and declared is not None and seen < UNEXPLAINED * declared


def seen_bytes(situation: Situation) -> float | None:
    """Per step and GPU, from memory activity; None without a step time."""
    dram, step = situation.evidence.average(Metric.DRAM_ACTIVE), situation.step_seconds
    return None if step is None or not dram > 0 else dram * device_bandwidth(situation.device) * step


def stack_bytes(situation: Situation) -> float | None:
    """What the declared stack should move per step and GPU: 0.8 TB for 1.2B parameters in eager transformers at 16,384
    tokens."""
    training = situation.training
    if training is None:
        return None
    arch, parallel = training.architecture, training.parallelism
    shards = parallel.tensor * parallel.pipeline
    tokens = training.global_batch_size * training.sequence_length / (parallel.data * parallel.context)
    micro_steps = max(1.0, training.global_batch_size / (parallel.data * training.micro_batch_size))
    wide = training.precisions.compute in (Precision.FP32, Precision.TF32)
    parameters = count(arch).total / shards
    autocast = training.precisions.weights is Precision.FP32 and not wide
    state = parameters * (STATE_BYTES + (CAST_BYTES * micro_steps if autocast else 0.0))
    again = AGAIN if Recompute.FULL in (training.recompute, situation.traits.recompute) else 1.0
    layers = tokens * arch.layers * _values(arch) * _value_bytes(training) * again * (WIDE if wide else 1.0) / shards
    return state + layers + tokens * arch.vocab * LOGIT_BYTES / parallel.tensor


def _values(arch: Architecture) -> float:
    """Intermediate values of one token in one layer: residuals and norms, queries, keys and values, feed-forward."""
    mixed = 4 * arch.hidden + (arch.heads + 2 * arch.kv_heads) * arch.head_dim
    dense = (3 if arch.gated_ffn else 2) * arch.ffn
    moe = arch.moe
    if moe is None:
        return mixed + dense
    routed = moe.top_k * (3 * moe.expert_ffn + SENT * arch.hidden) + 3 * moe.shared_width
    return mixed + (arch.moe_layer_count * routed + arch.dense_layer_count * dense) / arch.layers


def _value_bytes(training: Training) -> float:
    return EAGER_BYTES if runs_eager(training) else FUSED_BYTES


def runs_eager(training: Training) -> bool:
    """A transformers model that nobody compiles: its habit."""
    return from_trainer(training) and training.compilation in (None, Compilation.NONE) and not training.compiled
