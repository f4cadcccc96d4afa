"""Peak memory of one training GPU by term, for the worst pipeline stage, for arrays of cases.

Activations follow Korthikanti et al. 2022 (arXiv 2205.05198), section 4, counted operator by operator instead of in
units of s·b·h so that any feed-forward width and key/value head count holds. 1F1B keeps `pipeline` micro-batches of
the first stage alive, one of the last; interleaving adds (p-1)/(p·v) of them (the same paper, section 4.2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfu.predict.arrays import Array, Case
from mfu.predict.constants import Constants
from mfu.predict.names import MemoryTerm
from mfu.predict.training.compute import tokens
from mfu.predict.training.optimizer import shard_sizes
from mfu.predict.training.step import micro_batches


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes per GPU of the worst stage; `terms` add up to `total`."""

    terms: Mapping[MemoryTerm, Array]
    total: Array


def training_memory(case: Case, c: Constants) -> TrainingMemory:
    """The larger of the first stage (embedding, most micro-batches in flight) and the last (head, logits)."""
    first, last = _stage(case, c, last=False), _stage(case, c, last=True)
    worse = _total(last) > _total(first)
    terms = {name: np.where(worse, last[name], first[name]) for name in first}
    return TrainingMemory(terms, _total(terms))


def _total(terms: Mapping[MemoryTerm, Array]) -> Array:
    return np.asarray(sum(terms.values()), dtype=float)


def _stage(case: Case, c: Constants, *, last: bool) -> dict[MemoryTerm, Array]:
    terms = _states(case, last=last)
    terms[MemoryTerm.ACTIVATIONS] = _activations(case, c, last=last)
    terms[MemoryTerm.LOGITS] = _logits(case, c, last=last)
    terms[MemoryTerm.COMMUNICATION] = _buffers(case, c)
    terms[MemoryTerm.FRAGMENTATION] = c["fragmentation"] * _total(terms)
    terms[MemoryTerm.FRAMEWORK] = np.broadcast_to(c["framework_bytes"], np.shape(terms[MemoryTerm.ACTIVATIONS]))
    return terms


def stage_parameters(case: Case, *, last: bool) -> tuple[Array, Array]:
    """(dense, expert) parameters of one GPU on the first or the last stage, before sharding over data."""
    model, layout = case.model, case.layout
    share = np.ceil(model.layers / layout.pipeline) / model.layers
    one_stage = layout.pipeline == 1.0
    both = model.embedding_params + model.head_params
    tied_copy = np.where(model.head_params > 0, model.head_params, model.embedding_params)
    end = np.where(one_stage, both, tied_copy if last else model.embedding_params)
    dense = (model.layer_params - model.expert_params) * share + end
    return dense / layout.tensor, model.expert_params * share / layout.tensor / layout.expert


def _states(case: Case, *, last: bool) -> dict[MemoryTerm, Array]:
    layout, stack = case.layout, case.stack
    dense, experts = stage_parameters(case, last=last)
    replicas, expert_replicas = shard_sizes(case)
    size = np.where(layout.zero == 3.0, layout.shard, replicas)
    trained = case.model.trained_fraction

    def held(stage: float) -> Array:
        sharded = layout.zero >= stage
        return dense / np.where(sharded, size, 1.0) + experts / np.where(sharded, expert_replicas, 1.0)

    return {
        MemoryTerm.WEIGHTS: held(3.0) * case.machine.activation_bytes,
        MemoryTerm.GRADIENTS: held(2.0) * stack.gradient_bytes * trained,
        MemoryTerm.OPTIMIZER: held(1.0) * layout.optimizer_bytes * trained,
    }


def layer_activation_bytes(case: Case, c: Constants) -> Array:
    """Bytes that one layer keeps for backward, per micro-batch and GPU, without recomputation.

    Llama-3.1-8B, 8192 tokens, no parallelism: 4 hidden-wide tensors, q k v, attention output, gate, up and product,
    all bf16: 8192 · 2 · (4·4096 + 6144 + 4096 + 3·14336) = 1.14 GB.
    """
    model, layout, stack = case.model, case.layout, case.stack
    split = 1.0 + (layout.tensor - 1.0) * stack.sequence_parallel
    dense_share = 1.0 - model.moe_layers / model.layers
    wide = c["activation_hidden"] * model.hidden / split
    ffn = dense_share * (model.ffn_up + model.ffn_down)
    routed = model.top_k * (model.expert_up + model.expert_down + 2.0 * model.hidden)
    experts = (1.0 - dense_share) * (routed + model.shared_up + model.shared_down)
    narrow = (model.qkv + model.attention_out + ffn + experts) / layout.tensor
    scores = (1.0 - stack.fused_attention) * 2.5 * model.heads * model.sequence / layout.tensor
    return tokens(case) * case.machine.activation_bytes * (wide + c["activation_narrow"] * narrow + scores)


def _kept(case: Case, c: Constants) -> Array:
    """Bytes that one layer keeps under its recomputation mode."""
    model, layout, stack = case.model, case.layout, case.stack
    none = layer_activation_bytes(case, c)
    width = case.machine.activation_bytes
    scores = (1.0 - stack.fused_attention) * 2.5 * model.heads * model.sequence / layout.tensor
    split = 1.0 + (layout.tensor - 1.0) * stack.sequence_parallel
    cheap = 0.5 * model.ffn_up / layout.tensor
    selective = none - tokens(case) * width * (scores + cheap)
    full = tokens(case) * width * model.hidden / split
    return np.where(layout.recompute == 2.0, full, np.where(layout.recompute == 1.0, selective, none))


def _activations(case: Case, c: Constants, *, last: bool) -> Array:
    layout, model = case.layout, case.model
    stages = layout.pipeline
    per_stage = np.ceil(model.layers / stages)
    batches = micro_batches(case)
    extra = np.where(layout.virtual > 1.0, 1.0 + (stages - 1.0) / (stages * layout.virtual), 1.0)
    in_flight = np.minimum(batches, 1.0 if last else stages * extra)
    working = np.where(layout.recompute == 2.0, layer_activation_bytes(case, c), 0.0)
    return in_flight * per_stage * _kept(case, c) + working


def _logits(case: Case, c: Constants, *, last: bool) -> Array:
    held = np.where((case.layout.pipeline == 1.0) | last, 1.0, 0.0)
    return held * tokens(case) * case.model.vocab / case.layout.tensor * c["logit_bytes"]


def _buffers(case: Case, c: Constants) -> Array:
    """Gathered weights of two layers under ZeRO-3, and one bucket of collectives elsewhere."""
    model, layout = case.model, case.layout
    layer = model.layer_params / model.layers / layout.tensor
    gathered = 2.0 * layer * (case.machine.activation_bytes + case.stack.gradient_bytes)
    many = np.where(case.machine.gpus > 1.0, c["buffer_bytes"], 0.0)
    return np.where(layout.zero == 3.0, gathered, 0.0) + many
