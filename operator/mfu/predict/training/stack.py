"""Habits of an engine and what was declared of its formats and kernels, as the numbers that the arrays need.

Bytes by count of what autograd saves and kernels move (Llama layers of transformers 5, `LlamaRMSNorm`,
`apply_rotary_pos_emb`; checked on fresh/hf_trainer.jsonl):

- pure 16 bit, RMSNorm one kernel an operation: cast up (2 + 4), square (4 + 4), mean (4), scale (4 + 4), cast down
  (4 + 2), weight (2 + 2) = 36 bytes a value, and the residual 6: 42 a norm; autocast keeps the stream in FP32: 28,
  the residual 10, and 15 for the copies that the products read: 53;
- rotation of queries and keys: 20 bytes a value in 16 bit, 30 under autocast;
- of what one kernel reads right after another wrote it, about half is still in the L2 cache, so that 42, 53, 20 and 30
  bytes move as 33, 41, 16 and 24 (compiling saves 23 of 367 ms and 52 of 334 ms: h100_trainer.jsonl);
- kept: 8 hidden-wide bytes a norm in 16 bit (FP32 input, normed, output), under autocast 8 a norm and 2 for each of
  the products that read it; four feed-forward tensors where a fused activation keeps three.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.predict.training.arrays import TrainingStack
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.engines import UNKNOWN, TrainingEngine, engine
from mfu.predict.training.looped import LOOP_OPERATIONS, loops_over_experts, wide_experts
from mfu.predict.training.unfused import (
    frozen_bytes,
    has_ragged_head,
    predates_fused_attention,
    score_bytes,
    unfused_bytes,
)
from mfu.predict.types import AttentionKernel, Compilation, FusedKernels, Method, Sharding, Training

_FP32: Final = 4.0
_COMPILED_SHARE: Final = 1.0 / 3.0
"""torch.compile leaves about a third of the launches of a transformer block: fused pointwise chains."""
_WIDE: Final = 4.0


def stack_of(setup: Training, c: TrainingConstants) -> TrainingStack:
    """The stack as declared; what is not declared is the engine's habit."""
    habits = engine(setup.engine)
    values = {
        "efficiency": c.of("engine", habits.name),
        "native_attention": _native_attention(setup, habits),
        "names_flash2": setup.attention is AttentionKernel.FLASH and (habits.framework or habits.compiles),
        "sequence_parallel": habits.sequence_parallel,
        "tensor_overlap": habits.tensor_overlap,
        "data_overlap": habits.data_overlap,
        "weight_gathers": habits.weight_gathers,
        "keeps_inputs": habits.keeps_inputs,
        "keeps_gathered": habits.keeps_gathered,
        "keeps_products_inputs": habits.dtensor,
        "gathers_once": habits.dtensor,
        "casts_by_fsdp": habits.casts_by_fsdp,
        "rings_whole": habits.rings_whole,
        "output_bytes": max(width(setup.precisions.compute), 2.0) if habits.joins_outputs else 0.0,
        "balances_head": habits.balances_head,
        "seconds_per_layer": _operations(setup, habits) * c["host_operation"] * habits.host_slowness,
        "shard_seconds": _shards(setup, habits) * c["host_operation"] * habits.host_slowness,
        "exchange_seconds": 0.0 if _plain(habits) else UNKNOWN.host_operations * c["host_operation"],
        "plain_exchange_seconds": _exchanges(habits) * c["host_operation"] * habits.host_slowness,
        "loop_seconds": _looped(setup) * c["host_operation"] * habits.host_slowness,
        "dispatch_seconds": _dispatched(setup, habits) * c["host_operation"] * habits.host_slowness,
        "tensor_operations": habits.tensor_operations,
        "synchronises": habits.synchronises,
        "captures": habits.captures,
        "two_way_pipeline": habits.two_way_pipeline,
        "blocking_pipeline": habits.blocking_pipeline,
        "loose_experts": habits.framework and habits.fused < 1.0,
        "wide_experts": wide_experts(setup),
        "folds_experts": habits.folds_experts,
        "dispatches_once": setup.dispatched_once is not False,
        "step_seconds": habits.step_seconds,
        **_kernels(setup, habits, c),
        **_formats(setup, habits),
    }
    return TrainingStack(**{key: np.asarray(value, dtype=float) for key, value in values.items()})


def autocast(setup: Training) -> bool:
    """Weights kept wider than the products read them, by an engine without a copy of its own for that."""
    wider = width(setup.precisions.weights) > max(width(setup.precisions.compute), 2.0)
    return wider and engine(setup.engine).framework


def width(precision: Precision) -> float:
    """Bytes of one value."""
    return float(BYTES_PER_VALUE[precision])


def fused_share(setup: Training) -> float:
    """Share of the small operators in fused kernels, as declared or by habit."""
    if setup.compilation is not None and setup.compilation is not Compilation.NONE:
        return 1.0
    if setup.fused_kernels is not None:
        return {FusedKernels.NONE: 0.0, FusedKernels.SOME: 0.5, FusedKernels.FULL: 1.0}[setup.fused_kernels]
    habits = engine(setup.engine)
    if setup.compiled is not None:
        return float(setup.compiled)
    loose = habits.framework or habits.compiles
    return 0.0 if setup.compilation is Compilation.NONE and loose else habits.fused


def is_compiled(setup: Training) -> bool:
    """Declared as compiled."""
    if setup.compilation is None:
        return bool(setup.compiled)
    return setup.compilation is not Compilation.NONE


def fused_attention(setup: Training) -> bool:
    """Whether scores stay inside the kernel. PyTorch's own kernels need 16 bits where keys are shared by queries."""
    habits, arch = engine(setup.engine), setup.architecture
    if setup.attention is AttentionKernel.EAGER:
        return False
    shared = arch.kv_heads not in (0, arch.heads)
    unable = setup.precisions.compute in (Precision.FP32, Precision.TF32) and shared and habits.framework
    unable = unable or (setup.attention is None and predates_fused_attention(setup))
    return setup.attention is not None or habits.fused_attention if not unable else False


def _native_attention(setup: Training, habits: TrainingEngine) -> float:
    """Programs of PyTorch run the kernel that is declared; others have their own behind any name."""
    if setup.attention is None or not (habits.framework or habits.compiles):
        return habits.native_attention
    return _FLASH_2 if setup.attention is AttentionKernel.FLASH else 1.0


_FLASH_2: Final = 0.5


def _operations(setup: Training, habits: TrainingEngine) -> float:
    casts = _CAST_OPERATIONS if autocast(setup) and not is_compiled(setup) else 0.0
    adapters = _ADAPTER_OPERATIONS if setup.method is Method.LORA and habits.framework else 0.0
    norms = _HEAD_NORM_OPERATIONS * setup.architecture.qk_norm if habits.framework else 0.0
    widened = _WIDENING_OPERATIONS if frozen_bytes(setup) > 0.0 else 0.0
    operations = habits.host_operations + casts + norms + adapters
    return operations * (_COMPILED_SHARE if is_compiled(setup) else 1.0) + widened


def _plain(habits: TrainingEngine) -> bool:
    """A program of PyTorch whose experts are grouped products of PyTorch, as torchtitan's are, and no kernels of
    TransformerEngine."""
    return habits.compiles or (habits.framework and habits.fused < 1.0)


def _exchanges(habits: TrainingEngine) -> float:
    return _EXCHANGE_OPERATIONS if _plain(habits) else 0.0


_EXCHANGE_OPERATIONS: Final = 630.0
"""Router, counts that the host waits for, sorting, four exchanges and grouped products of a layer in programs of
PyTorch, forward and backward: chosen on Qwen3-30B-A3B over 8 to 128 B200 (NousResearch/torchtitan pull 19), which the
1,800 operations of engines that quantise each local expert made 30 % too slow. Predicted so, four runs on two H200 that
nobody fitted (e2e/recordings/h200_layouts.jsonl, ep2) are 15 % off instead of 30."""


def _looped(setup: Training) -> float:
    return LOOP_OPERATIONS if loops_over_experts(setup) else 0.0


def _dispatched(setup: Training, habits: TrainingEngine) -> float:
    """Operations' worth of host time in which DTensor finds out, for each operation of a layer, what every rank does.

    A compiled block finds it out once.
    """
    compiled = fused_share(setup) >= 1.0 if habits.compiles else is_compiled(setup)
    return _DTENSOR_OPERATIONS if habits.dtensor and not compiled else 0.0


_DTENSOR_OPERATIONS: Final = 900.0
"""A layer of Llama that torchtitan's plan cuts, beyond the 100 of the same layer whole: 9.4 to 10.1 times its time on a
processor, 8.0 to 9.8 where both are sharded by FSDP2 (e2e/recordings/dispatch.py). On four H200 a layer's pass and its
parameters took 20 to 23 ms, on a host that needs 1.5 to 2.2 times as long for an operation as the one counted on
(e2e/recordings/h200_layouts.jsonl)."""
_ADAPTER_OPERATIONS: Final = 91.0
"""Seven adapted products a layer: dropout, two products, scaling and sum forward, eight kernels backward (peft's
`LoraLayer.forward`)."""
_WIDENING_OPERATIONS: Final = 28.0
"""Seven weights a layer, an allocation and a kernel each, forward and backward."""
_ADAPTER_BYTES: Final = 6.5
"""Bytes a value in or out of an adapted product, forward: backward moves as much again. By count in 16 bit, forward
and backward: 22 on what goes in (dropout 10, its mask 2, products 6, sum of gradients 4), 20 on what comes out (scaling
8, sum 6, products 6), over the 3.2 passes that a forward byte stands for."""
_COMPILED_ADAPTER: Final = 0.5
"""Left of them where dropout, scaling and sums are fused: 10 of 22 going in (products 6, sum of gradients 4), 12 of 20
coming out (products 6, sum 6)."""


def _adapter_bytes(setup: Training) -> float:
    """Low-rank adapters beside all seven products of a layer (experts have none), one kernel an operation unless
    compiled.

    Llama 3.1 8B: 38,912 values in and 43,008 out, 6.5 bytes each over 32 layers: 17.0 MB a token.
    """
    if setup.method is not Method.LORA:
        return 0.0
    arch = setup.architecture
    matrices = 2 if arch.gated_ffn else 1
    attention = arch.heads * arch.head_dim
    into = 3 * arch.hidden + attention
    out = attention + 2 * arch.kv_heads * arch.head_dim + arch.hidden
    if arch.moe is None:
        into, out = into + matrices * arch.hidden + arch.ffn, out + matrices * arch.ffn + arch.hidden
    fused = _COMPILED_ADAPTER if is_compiled(setup) else 1.0
    return _ADAPTER_BYTES * fused * (into + out) * arch.layers


def _shards(setup: Training, habits: TrainingEngine) -> float:
    """Operations with which PyTorch's FSDP keeps one layer's parameters sharded, in a micro-batch.

    A layer of Llama 3.1 8B has nine parameters: 9 · 38 = 342 operations a micro-batch, 9 · 15 more a step.
    """
    if not (habits.framework or habits.compiles) or setup.sharding not in (Sharding.ZERO3, Sharding.HSDP):
        return 0.0
    arch = setup.architecture
    biases = 3 * arch.qkv_bias + arch.output_bias + 2 * arch.ffn_bias + arch.norms_per_layer * arch.norm_bias
    parameters = 4 + (3 if arch.gated_ffn else 2) + arch.norms_per_layer + 2 * arch.qk_norm + biases
    slowness = _EACH_SHARDED if habits.compiles else 1.0
    return slowness * parameters * (_SHARD_OPERATIONS + _SHARD_STEP_OPERATIONS / micro_batches(setup))


def micro_batches(setup: Training) -> float:
    """Micro-batches of a step on one GPU."""
    return max(setup.global_batch_size / (setup.parallelism.data * setup.micro_batch_size), 1.0)


_SHARD_OPERATIONS: Final = 38.0
_SHARD_STEP_OPERATIONS: Final = 15.0
"""Of one parameter: views made and undone for each pass, and norms, clipping and the optimizer's turn once a step.
Three runs that wait for the host, with 9 to 12 parameters a layer (e2e/recordings/h200_trainer.jsonl)."""
_EACH_SHARDED: Final = 1.45
"""The same where each parameter is sharded for itself (`fully_shard`) and not all of a layer in one buffer: two hosts
took 9.4 and 6 ms for a layer of nine parameters (e2e/recordings/h200_exposure.jsonl, small-4k)."""
_HEAD_NORM_OPERATIONS: Final = 36.0
"""Two more norms of six kernels forward and twelve backward."""
_CAST_OPERATIONS: Final = 36.0
"""Casts of seven weights and their gradients and of the products' inputs, forward and backward."""


def _kernels(setup: Training, habits: TrainingEngine, c: TrainingConstants) -> dict[str, float]:
    fused, gated = fused_share(setup), setup.architecture.gated_ffn
    cast = autocast(setup) and setup.sharding not in (Sharding.ZERO3, Sharding.HSDP)
    in_kernel = fused_attention(setup)
    forward, backward = score_bytes(setup, cast=autocast(setup), compiled=is_compiled(setup))
    eager = 1.0 - fused
    norms = (_CAST_NORM if cast else _ROOT_NORM) if gated else (_CAST_LAYER_NORM if cast else _LAYER_NORM)
    wide = (_KEPT_CAST if cast else _KEPT_ROOT) if gated else (_KEPT_CAST_LAYER if cast else _WIDE)
    framework, written = habits.framework, setup.architecture.written_activation
    return {
        "fused_attention": in_kernel,
        "fused": fused,
        "norm_bytes": norms if framework else 0.0,
        "adapter_bytes": _adapter_bytes(setup) if framework else 0.0,
        "rotary_bytes": _rotary(setup, cast) if framework else 0.0,
        "kept_rotated": eager * _KEPT_HEAD_NORM * setup.architecture.qk_norm if framework else 0.0,
        "kept_wide": (_WIDE + (wide - _WIDE) * eager) if framework else c["activation_hidden"],
        "extra_narrow": eager * (1.0 if gated else _WRITTEN_KEPT * written) if framework else 0.0,
        "activation_bytes": _ungated(setup, cast=cast) if framework and not gated else _ACTIVATION,
        "score_forward_bytes": forward,
        "score_backward_bytes": backward,
        "ragged_head": has_ragged_head(setup, compiled=is_compiled(setup)),
        "kept_scores": 0.0 if in_kernel else _kept_scores(setup, habits),
        "selective_products": habits.selective_products,
        "logit_bytes": _logit_bytes(setup, habits, c),
        "logit_passes": _logit_passes(setup, habits),
    }


def _logit_passes(setup: Training, habits: TrainingEngine) -> float:
    if habits.fused_loss or (habits.framework and setup.fused_kernels is FusedKernels.FULL):
        return _FUSED_PASSES
    return _EAGER_PASSES if habits.framework and fused_share(setup) < 1.0 else 0.0


def _ungated(setup: Training, *, cast: bool) -> float:
    if not setup.architecture.written_activation:
        return _PLAIN_ACTIVATION
    return _CAST_WRITTEN if cast else _WRITTEN


def _rotary(setup: Training, cast: bool) -> float:
    """Rotation, and the norms of queries and keys where the model has them."""
    arch = setup.architecture
    return (_CAST_ROTARY if cast else _ROTARY) * arch.gated_ffn + _HEAD_NORM * arch.qk_norm


_HEAD_NORM: Final = 38.0
_KEPT_HEAD_NORM: Final = 3.0
"""An FP32 copy and the normed value: 6 bytes, in units of 2."""


def _kept_scores(setup: Training, habits: TrainingEngine) -> float:
    if setup.attention is AttentionKernel.EAGER:
        return _EAGER_SCORES
    return _SCORES if habits.framework else _MEGATRON_SCORES


_MEGATRON_SCORES: Final = 2.5
"""Softmax output, its dropout's mask of one byte and output (arXiv 2205.05198, section 4.1: 5·a·s²·b bytes)."""
_ACTIVATION: Final = 10.0 / 3.0
"""Forward bytes per value that the feed-forward produces: silu 4 and product 6 for three of them."""
_WRITTEN: Final = 16.0
"""Eight kernels of 4 bytes on one of two values."""
_CAST_WRITTEN: Final = 38.0
"""The same under autocast, which takes the power and all after it in FP32: 76 bytes on one of two values."""
_PLAIN_ACTIVATION: Final = 2.0
"""One kernel of 4 bytes on one of two values."""
_WRITTEN_KEPT: Final = 4.0
"""Copies of the activation's input that its kernels keep, beside input and output."""
_ROOT_NORM: Final = 33.0
_CAST_NORM: Final = 41.0
_LAYER_NORM: Final = 10.0
_CAST_LAYER_NORM: Final = 33.0
_ROTARY: Final = 16.0
_CAST_ROTARY: Final = 24.0
_KEPT_ROOT: Final = 8.0
"""Two norms of 8 bytes a value, in units of 2."""
_KEPT_CAST: Final = 13.0
_KEPT_CAST_LAYER: Final = 9.0
_SCORES: Final = 1.0
_EAGER_SCORES: Final = 3.5
"""Scores in the compute format, softmax in FP32 and its copy in the compute format (transformers' eager attention)."""
_EAGER_PASSES: Final = 10.0
"""Cast up 6, log-softmax 12, its gradient 12 and that of the loss 4, cast down 6: 40 bytes a logit."""
_FUSED_PASSES: Final = 4.0
"""Of 16-bit logits in chunks: written 2, read 2 for the largest and the sum, read and written over with their gradient
4, read by the head's two products 4, and what is not in the cache once more: 16 bytes."""
_CHUNK_BYTES: Final = 8.0
"""Head and loss in chunks of as many tokens as make their logits no wider than the hidden states (Liger's
`fused_linear_cross_entropy`): 2 bytes of logits a hidden value, 4 of them in FP32, 2 of the states' gradient."""
_COMPILED_LOGITS: Final = 4.0
"""Logits and their gradient in 16 bit: a compiled loss raises them to FP32 in registers. A Llama of 1.4B
with its loss compiled took 17.6 GiB where FP32 logits alone are 15.7 (e2e/recordings/h200_layouts.jsonl)."""
_CUT_LOGITS: Final = 8.0
"""Softmax and its gradient in FP32: over logits that are cut by tensor parallelism, a compiled loss exchanges its sums
between kernels (`torch.distributed.tensor.parallel.loss_parallel`)."""
_EAGER_LOGITS: Final = 12.0
"""log-softmax, the loss's gradient and its own, all FP32 (torch.nn.functional.cross_entropy)."""


def _logit_bytes(setup: Training, habits: TrainingEngine, c: TrainingConstants) -> float:
    """FP32 logits of a plain program hold three FP32 tensors at the peak, 16-bit ones three of 16 bits."""
    declared, arch = setup.precisions.logits, setup.architecture
    if habits.fused_loss or (habits.framework and setup.fused_kernels is FusedKernels.FULL):
        return _CHUNK_BYTES * arch.hidden / max(arch.vocab, 1)
    compiled = fused_share(setup) >= 1.0 if habits.compiles else setup.compilation is Compilation.FULL
    if compiled and not habits.returns_logits:
        return _CUT_LOGITS if habits.dtensor and setup.parallelism.tensor > 1 else _COMPILED_LOGITS
    if habits.compiles:
        return _EAGER_LOGITS
    if not habits.framework or fused_share(setup) >= 1.0:
        return c["logit_bytes"]
    return _EAGER_LOGITS if declared is None else 3.0 * width(declared)


def _formats(setup: Training, habits: TrainingEngine) -> dict[str, float]:
    cast, formats = autocast(setup), setup.precisions
    compute = max(width(formats.compute), 2.0)
    sharded = setup.sharding in (Sharding.ZERO3, Sharding.HSDP)
    weights = _kept_bytes(setup, habits)
    habit = max(habits.gradient_bytes, compute)
    gradient = width(formats.gradients) if formats.gradients else (weights if cast else habit)
    plain = habits.framework or habits.compiles
    state = width(formats.optimizer_state) if formats.optimizer_state else max(_master_bytes(setup, habits), weights)
    return {
        "frozen_bytes": frozen_bytes(setup),
        "unfused_bytes": unfused_bytes(setup, state),
        "gradient_bytes": compute if cast and sharded else gradient,
        "kept_gradient_bytes": gradient + habits.gradient_copy_bytes,
        "weight_bytes": weights,
        "cast_bytes": compute if cast else 0.0,
        "updated_bytes": compute if _master_bytes(setup, habits) > weights else 2.0 * weights,
        "quantised_bytes": _OPERAND_BYTES if plain else _FUSED_OPERAND_BYTES / micro_batches(setup),
        "quantised_passes": _OPERAND_PASSES if plain else 1.0,
        "keeps_gradients": not plain,
        "bucket_bytes": gradient if _has_buckets(setup, habits) else 0.0,
    }


_OPERAND_BYTES: Final = 14.0
"""Each weight for the forward pass (largest value 2, cast 2 + 1) and its transpose for the backward pass (copy 2 + 2,
5): what a compiled program of PyTorch does (e2e/recordings/shards.py)."""
_OPERAND_PASSES: Final = 2.8
"""Of the same for activations and their gradients, by count 5.3 passes over the 1.9 that `cast_traffic` has."""
_FUSED_OPERAND_BYTES: Final = 6.0
"""Once a step, both layouts in one kernel: 2 for the largest value, 2 + 1 + 1 (TransformerEngine)."""


def _has_buckets(setup: Training, habits: TrainingEngine) -> bool:
    """DistributedDataParallel, under `ZeroRedundancyOptimizer` too: on four H200 a Llama of 1.2B took 43.8 GiB without
    and 36.9 with it, three quarters of the states less and no bucket (e2e/recordings/h200_layouts.jsonl)."""
    sharded = setup.sharding is Sharding.ZERO1 and habits.name != "DeepSpeed"
    return habits.framework and (sharded or setup.sharding is Sharding.DDP) and setup.parallelism.data > 1


def optimizer_bytes(setup: Training, moments: float) -> float:
    """Optimizer state per trained parameter, master copy included. `moments`: values kept per parameter (AdamW 2).

    AdamW 12; a plain PyTorch program in bf16 keeps no master copy: 2 · 2 = 4; under autocast the kept weights are the
    master: 2 · 4 = 8.
    """
    formats, habits = setup.precisions, engine(setup.engine)
    kept, master = _kept_bytes(setup, habits), _master_bytes(setup, habits)
    state = width(formats.optimizer_state) if formats.optimizer_state else max(master, kept)
    return moments * state + (master if master > kept else 0.0)


def _kept_bytes(setup: Training, habits: TrainingEngine) -> float:
    """Of one weight as it is kept."""
    if autocast(setup):
        return width(setup.precisions.weights)
    sharded = setup.sharding in (Sharding.ZERO3, Sharding.HSDP)
    return _FP32 if habits.shards_master and sharded else max(width(setup.precisions.compute), 2.0)


def _master_bytes(setup: Training, habits: TrainingEngine) -> float:
    """Of one weight as the optimizer keeps it, itself or a copy."""
    declared = setup.precisions.master_weights
    if declared:
        return width(declared)
    return _FP32 if habits.master_weights and not autocast(setup) else _kept_bytes(setup, habits)
