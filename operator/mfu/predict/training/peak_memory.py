"""Peak memory of one training GPU by term, for the worst pipeline stage, for arrays of cases.

Activations follow Korthikanti et al. 2022 (arXiv 2205.05198), section 4, counted operator by operator instead of in
units of s·b·h so that any feed-forward width and key/value head count holds. 1F1B keeps `pipeline` micro-batches of
the first stage alive, one of the last; interleaving adds (p-1)/(p·v) of them (the same paper, section 4.2.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mfu.predict.names import MemoryTerm
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.communication import keeps_whole
from mfu.predict.training.compute import tokens
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.gathered import gathered_bytes
from mfu.predict.training.optimizer import expert_cut, shard_sizes
from mfu.predict.training.stages import head_as_layers, stage_layers
from mfu.predict.training.step import micro_batches
from mfu.predict.training.uncast import as_computed


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes per GPU of the worst stage; `terms` add up to `total`."""

    terms: Mapping[MemoryTerm, Array]
    total: Array


@dataclass(frozen=True, slots=True)
class StageLoad:
    """What one stage holds: layers, micro-batches in flight, parameters beside layers, and whether it has the head."""

    layers: Array
    in_flight: Array
    beside: Array
    head: Array


def training_memory(case: TrainingCase, c: TrainingConstants) -> TrainingMemory:
    """The largest of the first stage (most micro-batches in flight), the second (which may hold a layer more) and the
    last (head, logits)."""
    case = as_computed(case)
    terms, total = None, None
    for load in stage_loads(case):
        found = _stage(case, c, load)
        size = _total(found)
        if terms is None or total is None:
            terms, total = found, size
            continue
        worse = size > total
        terms = {name: np.where(worse, found[name], terms[name]) for name in terms}
        total = np.maximum(total, size)
    if terms is None or total is None:
        raise ValueError("a pipeline has stages")
    return TrainingMemory(terms, total)


def stage_loads(case: TrainingCase) -> tuple[StageLoad, ...]:
    """First, second and last stage; all the same where there is only one."""
    model, layout = case.model, case.layout
    stages, batches = layout.pipeline, micro_batches(case)
    cut = stage_layers(case, head_as_layers(case))
    one = stages == 1.0
    extra = np.where(layout.virtual > 1.0, 1.0 + (stages - 1.0) / (stages * layout.virtual), 1.0)
    head = np.where(model.head_params > 0, model.head_params, model.embedding_params)
    both = model.embedding_params + model.head_params
    first = StageLoad(
        cut.first,
        np.minimum(batches, stages * extra),
        np.where(one, both, model.embedding_params),
        np.where(one, 1.0, 0.0),
    )
    second = np.where(one, 0.0, np.minimum(batches, np.maximum(stages * extra - cut.inner_index, 1.0)))
    inner = StageLoad(np.where(stages > 2.0, cut.inner, 0.0), second, np.zeros_like(second), np.zeros_like(second))
    last = StageLoad(cut.last, np.ones_like(second), np.where(one, both, head), np.ones_like(second))
    return first, inner, last


def _total(terms: Mapping[MemoryTerm, Array]) -> Array:
    return np.asarray(sum(terms.values()), dtype=float)


def _stage(case: TrainingCase, c: TrainingConstants, load: StageLoad) -> dict[MemoryTerm, Array]:
    """The larger of two moments: before backward, with every activation and the logits, and after it, with every
    gradient. Engines that keep gradients in flat buffers, and steps of several micro-batches, have both at once."""
    terms = _states(case, c, load)
    stack = case.stack
    terms[MemoryTerm.ACTIVATIONS], terms[MemoryTerm.LOGITS] = _forward_bytes(case, c, load)
    gradients, live = terms[MemoryTerm.GRADIENTS], terms[MemoryTerm.ACTIVATIONS] + terms[MemoryTerm.LOGITS]
    fresh = (stack.keeps_gradients < 0.5) & (micro_batches(case) <= 1.0)
    before = fresh & (live >= gradients)
    terms[MemoryTerm.GRADIENTS] = np.where(before, 0.0, gradients)
    for name in (MemoryTerm.ACTIVATIONS, MemoryTerm.LOGITS):
        terms[name] = np.where(fresh & ~before, 0.0, terms[name])
    terms[MemoryTerm.COMMUNICATION] = _buffers(case, c) + _buckets(case, load)
    terms[MemoryTerm.FRAGMENTATION] = c["fragmentation"] * _total(terms)
    terms[MemoryTerm.FRAMEWORK] = np.broadcast_to(c["framework_bytes"], np.shape(terms[MemoryTerm.ACTIVATIONS]))
    return terms


def _forward_bytes(case: TrainingCase, c: TrainingConstants, load: StageLoad) -> tuple[Array, Array]:
    """(activations, logits) as the backward pass begins, or when a pipeline joins the logits of all micro-batches after
    the last one, where that is more.

    Llama-3.1-8B, 16 micro-batches of 4,096 tokens: 2 · 16 · 4096 · 128256 · 2 bytes = 33.6 GB; measured on four stages
    of H200 48.8 GiB, states 17 of them (e2e/recordings/h200_layouts.jsonl).
    """
    logits = load.head * tokens(case) * case.model.vocab / case.layout.tensor
    outputs = logits * micro_batches(case) * case.stack.output_bytes * (case.layout.pipeline > 1.0)
    activations = _activations(case, c, load) + gathered_bytes(case, c)
    beginning = logits * case.stack.logit_bytes + outputs
    joined = 2.0 * outputs > activations + beginning
    return np.where(joined, 0.0, activations), np.where(joined, 2.0 * outputs, beginning)


def _buckets(case: TrainingCase, load: StageLoad) -> Array:
    """The second copy of each gradient in the buckets of DistributedDataParallel."""
    model = case.model
    held = (model.layer_params * load.layers / model.layers + load.beside) / case.layout.tensor
    return held * model.trained_fraction * case.stack.bucket_bytes


def _states(case: TrainingCase, c: TrainingConstants, load: StageLoad) -> dict[MemoryTerm, Array]:
    """Weights, gradients and optimizer states, each divided over the group that its ZeRO stage shards it over.

    Stages of a pipeline that shard their weights hold both whole beside the shards from one end of a step to the
    other.
    """
    model, layout, stack = case.model, case.layout, case.stack
    share = load.layers / model.layers
    dense = ((model.layer_params - model.expert_params) * share + load.beside) / layout.tensor
    experts = model.expert_params * share / expert_cut(case) / layout.expert
    replicas, expert_replicas = shard_sizes(case)
    size = np.where(layout.zero == 3.0, layout.shard, replicas)

    def held(stage: float, beside: Array | float = 0.0) -> Array:
        sharded = layout.zero >= stage
        return (dense - beside) / np.where(sharded, size, 1.0) + experts / np.where(sharded, expert_replicas, 1.0)

    narrower = np.where(stack.frozen_bytes > 0.0, stack.weight_bytes - stack.frozen_bytes, 0.0)

    whole = np.where(keeps_whole(case), dense + experts, 0.0)
    gradients = (held(2.0) + whole) * stack.kept_gradient_bytes
    return {
        MemoryTerm.WEIGHTS: held(3.0) * stack.weight_bytes
        - held(3.0, load.beside / layout.tensor) * narrower
        + held(3.0) * np.where(layout.zero == 3.0, 0.0, stack.cast_bytes)
        + whole * case.machine.activation_bytes,
        MemoryTerm.GRADIENTS: gradients * model.trained_fraction,
        MemoryTerm.OPTIMIZER: held(1.0) * layout.optimizer_bytes * model.trained_fraction,
    }


def layer_activation_bytes(case: TrainingCase, c: TrainingConstants) -> Array:
    """Bytes that one layer keeps for backward, per micro-batch and GPU, without recomputation.

    Llama-3.1-8B, 8192 tokens, no parallelism: 4 hidden-wide tensors, q k v, attention output, gate, up and product,
    all bf16: 8192 · 2 · (4·4096 + 6144 + 4096 + 3·14336) = 1.14 GB. Inputs of 8-bit products are kept in 8 bit.
    """
    model, layout, stack = case.model, case.layout, case.stack
    split = 1.0 + (layout.tensor - 1.0) * stack.sequence_parallel
    dense_share = 1.0 - model.moe_layers / model.layers
    wide = (stack.kept_wide + stack.keeps_products_inputs * _READ_BY_PRODUCTS * (split - 1.0)) * model.hidden / split
    narrow_input = 1.0 - 0.5 * case.machine.low_precision
    ffn = dense_share * (model.ffn_up + (narrow_input + stack.extra_narrow) * model.ffn_down)
    routed = model.top_k * (model.expert_up + narrow_input * (model.expert_down + model.hidden) + model.hidden)
    experts = (1.0 - dense_share) * (routed + model.shared_up + narrow_input * model.shared_down)
    rotated = stack.kept_rotated * (model.heads + model.kv_heads) * model.head_dim
    narrow = (model.qkv + model.attention_out + ffn + experts + rotated) / layout.tensor
    scores = _scores(case)
    loose = 1.0 + stack.keeps_inputs * c["activation_unfused"]
    values: Array = loose * (wide + c["activation_narrow"] * narrow) + scores
    return tokens(case) * case.machine.activation_bytes * values


_READ_BY_PRODUCTS = 2.0
"""Hidden-wide values that products cut by columns read: the inputs of attention and feed-forward. Four H200 that cut a
Llama of 3B by DTensor, 8 rows of 2,048, took 34.3 GiB where 26.6 were counted without: these are 4.2 GB of the rest
(e2e/recordings/h200_layouts.jsonl)."""


def _scores(case: TrainingCase) -> Array:
    """Values of the compute format that attention keeps per token where no fused kernel spares them."""
    return case.stack.kept_scores * case.model.heads * case.model.sequence / case.layout.tensor


def _kept(case: TrainingCase, c: TrainingConstants) -> Array:
    """Bytes that one layer keeps under its recomputation mode."""
    model, layout, stack = case.model, case.layout, case.stack
    none = layer_activation_bytes(case, c)
    width = case.machine.activation_bytes
    scores = _scores(case)
    split = 1.0 + (layout.tensor - 1.0) * stack.sequence_parallel
    cheap = 0.5 * model.ffn_up / layout.tensor
    usual = none - tokens(case) * width * (scores + cheap)
    selective = np.where(stack.selective_products > 0.0, tokens(case) * width * _chosen(case, split), usual)
    full = tokens(case) * width * model.hidden / split
    return np.where(layout.recompute == 2.0, full, np.where(layout.recompute == 1.0, selective, none))


def _chosen(case: TrainingCase, split: Array) -> Array:
    """Values that one layer keeps per token where each operation is chosen: input, attention, a share of all products.

    Llama-3.1-8B, every second product: 4096 + 4096 + 0.5 · (6144 + 4096 + 28672 + 4096) = 29,696 of 69,632.
    """
    model, layout = case.model, case.layout
    dense = 1.0 - model.moe_layers / model.layers
    produced = model.qkv + dense * model.ffn_up + (1.0 - dense) * (model.top_k * model.expert_up + model.shared_up)
    products = produced / layout.tensor + 2.0 * model.hidden / split
    chosen: Array = (
        model.hidden / split + model.attention_out / layout.tensor + case.stack.selective_products * products
    )
    return chosen


def _activations(case: TrainingCase, c: TrainingConstants, load: StageLoad) -> Array:
    layout = case.layout
    working = np.where(layout.recompute == 2.0, layer_activation_bytes(case, c), 0.0)
    return load.in_flight * load.layers * _kept(case, c) + working


def _buffers(case: TrainingCase, c: TrainingConstants) -> Array:
    """Gathered weights of two layers under ZeRO-3, and one bucket of collectives elsewhere."""
    model, layout = case.model, case.layout
    layer = model.layer_params / model.layers / layout.tensor
    gathered = 2.0 * layer * (case.machine.activation_bytes + case.stack.gradient_bytes)
    many = np.where(case.machine.gpus > 1.0, c["buffer_bytes"], 0.0)
    return np.where(layout.zero == 3.0, gathered, 0.0) + many
