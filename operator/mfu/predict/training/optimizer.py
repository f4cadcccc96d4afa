"""The optimizer's own time: its states cross memory once a step."""

from __future__ import annotations

import numpy as np

from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.constants import TrainingConstants


def local_parameters(case: TrainingCase) -> tuple[Array, Array]:
    """Parameters of one GPU on the busiest stage before any sharding over data: (dense, routed experts)."""
    model, layout = case.model, case.layout
    stages = layout.pipeline
    share = np.ceil(model.layers / stages) / model.layers
    dense_layers = (model.layer_params - model.expert_params) * share
    end = np.where(
        stages > 1.0, np.maximum(model.embedding_params, model.head_params), model.embedding_params + model.head_params
    )
    dense = (dense_layers + end) / layout.tensor
    return dense, model.expert_params * share / expert_cut(case) / layout.expert


def expert_cut(case: TrainingCase) -> Array:
    """Into how many pieces each expert is cut: by tensor ranks, unless the engine folds those into expert ranks.

    An expert is never in more pieces than there are ranks for it: 256 experts over all 32 ranks of tensor 16 by data 2
    lie 8 to a rank, each in one piece.
    """
    layout = case.layout
    ranks = layout.data * layout.context * layout.tensor / layout.expert
    return np.where(case.stack.folds_experts > 0.5, 1.0, np.clip(ranks, 1.0, layout.tensor))


def shard_sizes(case: TrainingCase) -> tuple[Array, Array]:
    """GPUs over which (dense, expert) parameters are replicated or sharded, context-parallel ranks included."""
    layout = case.layout
    replicas = layout.data * layout.context
    spread = np.where(case.stack.folds_experts > 0.5, layout.tensor, 1.0)
    return replicas, np.maximum(replicas * spread / layout.expert, 1.0)


def optimizer_seconds(case: TrainingCase, c: TrainingConstants) -> Array:
    """States and weights read and written, gradients read, their norm and clipping, over the memory's real rate.

    AdamW on 1e9 local parameters: (2·12 + 4 + 2) bytes · 1e9 / (3.35e12 · 0.85) = 10.5 ms on an H100 for one pass.
    FP32 weights that are their own master, sharded over four H200, with their norm and clipping: (2·8 + 2·4 + 4 + 3·4)
    bytes · 2.0e9 / (4.8e12 · 0.85) = 20 ms; measured 24 (e2e/recordings/h200_exposure.jsonl, 8b-4k).
    """
    dense, experts = local_parameters(case)
    replicas, expert_replicas = shard_sizes(case)
    sharded = case.layout.zero >= 1.0
    shard = np.where(case.layout.zero == 3.0, case.layout.shard, replicas)
    held = dense / np.where(sharded, shard, 1.0) + experts / np.where(sharded, expert_replicas, 1.0)
    stack = case.stack
    clipped = np.where(stack.keeps_gradients > 0.5, 0.0, 3.0 * stack.kept_gradient_bytes) + 2.0 * stack.bucket_bytes
    per_parameter = 2.0 * case.layout.optimizer_bytes + stack.gradient_bytes + clipped + stack.updated_bytes
    per_parameter = per_parameter + stack.unfused_bytes
    moved = held * case.model.trained_fraction * per_parameter
    return c["optimizer_passes"] * moved / (case.machine.bandwidth * c["bandwidth_share"]) + c["optimizer_fixed"]
