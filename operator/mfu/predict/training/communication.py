"""Communication of a training step and the part of it that compute does not hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.collectives import (
    dispatch_seconds,
    group,
    half_ring_seconds,
    send_seconds,
)
from mfu.predict.training.compute import Compute, tokens
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.optimizer import local_parameters, shard_sizes


@dataclass(frozen=True, slots=True)
class Exposed:
    """Seconds per micro-batch, all layers, that the GPU waits."""

    tensor: Array
    context: Array
    expert: Array
    recompute: Array


def layer_communication(case: TrainingCase, c: TrainingConstants, work: Compute) -> Exposed:
    """Per layer: four half rings forward and four backward for tensor parallelism (an all-reduce is two of them:
    Korthikanti et al. 2022, section 4.2.2), keys and values once around the context ring, experts out and back."""
    layout = case.layout
    one_way = _tensor_one_way(case, c)
    hidden = 1.0 - case.stack.tensor_overlap * c["tensor_hidden"]
    tensor = 2.0 * one_way * hidden
    full = layout.recompute == 2.0
    sent = _expert_one_way(case, c)
    experts = sent * (1.0 - case.stack.tensor_overlap * c["expert_hidden"])
    ring = _context_exposed(case, c, work)
    again = np.where(full, one_way * hidden + experts + ring / 3.0, 0.0)
    return Exposed(tensor, ring, np.where(hides_experts(case), _beside(sent, work), 2.0 * experts), again)


def hides_experts(case: TrainingCase) -> NDArray[np.bool_]:
    """Whether one micro-batch computes while another exchanges its tokens."""
    hides: NDArray[np.bool_] = (case.stack.two_way_pipeline > 0.5) & (case.layout.pipeline > 1.0)
    return hides


def _beside(sent: Array, work: Compute) -> Array:
    """What exchanges cost that run beside computation: the units that they occupy, or what outlasts it.

    20 of 132 (arXiv 2412.19437, section 3.2.2): 1 s of computation and 0.8 s of exchange take 1 / (1 - 0.152) = 1.18 s,
    0.18 s more than without any exchange.
    """
    busy = work.forward.seconds + work.backward.seconds
    slowed = np.where(sent > 0.0, busy / (1.0 - _EXCHANGE_UNITS), busy)
    return np.maximum(slowed, 2.0 * sent) - busy


_EXCHANGE_UNITS = 20.0 / 132.0


def _tensor_one_way(case: TrainingCase, c: TrainingConstants) -> Array:
    model, layout, machine = case.model, case.layout, case.machine
    members = group(machine, layout.tensor, np.ones_like(layout.tensor))
    size = tokens(case) * model.hidden * machine.activation_bytes
    return 4.0 * model.layers * half_ring_seconds(machine, c, members, size)


def _context_exposed(case: TrainingCase, c: TrainingConstants, work: Compute) -> Array:
    """Keys and values forward and backward, and their gradients; PyTorch's ring gathers those of all heads, repeated
    before, and hides none of it.

    Llama 3.1 8B, 4,096 of 16,384 tokens: 32 · 3 · 67 MB at 300 GB/s are 21 ms each time, four times with recomputation
    86 ms; on four H200 exchanges ran alone for 181 ms, FSDP's ends among them, and for 20 without context
    (e2e/recordings/h200_layouts.jsonl, cp4-8b-16k-full and fsdp4-8b-4k).
    """
    model, layout, machine = case.model, case.layout, case.machine
    members = group(machine, layout.context, layout.tensor)
    whole = case.stack.rings_whole > 0.5
    width = 2.0 * np.where(whole, model.heads, model.kv_heads) * model.head_dim / layout.tensor
    size = tokens(case) * layout.context * width * machine.activation_bytes
    once = model.layers * half_ring_seconds(machine, c, members, size)
    hidden = c["context_hidden"] * (work.forward.attention + work.backward.attention)
    return np.where(whole, 3.0 * once, np.maximum(3.0 * once - hidden, c["context_floor"] * once))


def _expert_one_way(case: TrainingCase, c: TrainingConstants) -> Array:
    model, layout, machine = case.model, case.layout, case.machine
    stride = np.where(case.stack.folds_experts > 0.5, 1.0, layout.tensor * layout.context)
    members = group(machine, layout.expert, stride)
    size = tokens(case) / layout.tensor * model.hidden * machine.activation_bytes
    routed = model.top_k, case.stack.dispatches_once
    return 2.0 * model.moe_layers * dispatch_seconds(machine, c, members, size, routed)


def pipeline_seconds(case: TrainingCase, c: TrainingConstants, batches: Array) -> Array:
    """Activations to the next stage and gradients back, once a chunk, the part that is not hidden."""
    model, layout, machine = case.model, case.layout, case.machine
    size = tokens(case) * model.hidden * machine.activation_bytes / layout.tensor
    crosses = layout.tensor * layout.context * layout.data >= machine.node
    once = send_seconds(machine, crosses, size)
    passes = 2.0 * layout.virtual * batches * c["pipeline_exposed"]
    stall = stalled_share(case, c) * stall_seconds(case, c) * batches
    return np.where(layout.pipeline > 1.0, passes * once + stall, 0.0)


def stall_seconds(case: TrainingCase, c: TrainingConstants) -> Array:
    """What stalled exchanges cost a micro-batch: a stage between two others waits four times, one of two twice.

    layout_sweep.csv, median excess a micro-batch of stalled jobs: 0.56 s of 2 stages, 1.07 of 4, 1.25 of 8.
    """
    seconds: Array = c["stall_seconds"] * np.where(case.layout.pipeline == 2.0, 0.5, 1.0)
    return seconds


def stalled_share(case: TrainingCase, c: TrainingConstants) -> Array:
    """Share of micro-batches whose blocking exchange stalls: next to none on few nodes, all from `stall_nodes` on, and
    all where tensor parallelism spans more than two nodes.

    Seen in layout_sweep.csv: with pipelining 9 of 10 steps of 64 nodes lost 1.1 s a micro-batch, 1 of 10 of 2 nodes;
    of tensor 32 nearly every one, on 8 nodes too.
    """
    nodes = case.machine.gpus / case.machine.node
    grown = np.minimum(nodes / c["stall_nodes"], 1.0) ** c["stall_power"]
    grown = np.where(spans_nodes(case), 1.0, np.where(nodes > 1.0, grown, 0.0))
    return case.stack.blocking_pipeline * grown * (case.layout.pipeline > 1.0)


def spans_nodes(case: TrainingCase) -> NDArray[np.bool_]:
    """Whether tensor parallelism spans more than two nodes."""
    spans: NDArray[np.bool_] = case.layout.tensor > 2.0 * case.machine.node
    return spans


def flat_stalled_share(case: TrainingCase, c: TrainingConstants) -> Array:
    """Share of jobs without a pipeline that stall: 4 % up to 16 nodes, half of them on 64."""
    nodes = case.machine.gpus / case.machine.node
    grown = c["stall_single"] * np.minimum(nodes / c["stall_nodes"], 1.0) ** c["stall_single_power"]
    return case.stack.blocking_pipeline * np.where(nodes > 1.0, grown, 0.0)


def data_seconds(case: TrainingCase, c: TrainingConstants, micro_batch_seconds: Array, batches: Array) -> Array:
    """Gradient reduction and weight gathering that the step waits for.

    ZeRO-1/2 and plain data parallelism: once a step, hidden behind the last backward and the first forward pass, but
    for weights that `ZeroRedundancyOptimizer` hands out.
    ZeRO-3: weights gathered twice and gradients reduced once a micro-batch, hidden behind its compute; once a step on
    the stages of a pipeline, which keep both whole from the first micro-batch to the last. Links work on while kernels
    wait for the host, so `micro_batch_seconds` holds that too. Sharded traffic that is hidden still takes units and
    bandwidth from the kernels beside it, `contended` of its time. FSDP that keeps what the forward pass gathered
    (`reshard_after_forward=False`) saves the second gathering, of which little was exposed: 24 of 484 ms of 8B on four
    H200 (e2e/recordings/h200_layouts.jsonl).
    """
    layout, stack = case.layout, case.stack
    weights, gradients = _data_rings(case, c)
    single = stack.weight_gathers * case.model.layers / layout.pipeline * c["gather_latency"]
    gathered = weights + np.where(layout.data * layout.context > 1.0, single, 0.0)
    after = replicates_states(case)
    once_a_step = gradients + np.where((layout.zero == 0.0) | after, gradients, gathered)
    window = micro_batch_seconds * stack.data_overlap * c["data_hidden"]
    exposed = np.maximum(once_a_step - window, once_a_step * c["data_floor"])
    exposed = exposed + np.where(after, weights * stack.weight_bytes / case.machine.activation_bytes, 0.0)
    sharded = (_sharded_waits(case, c, (weights, gradients), window) + _copies(case, c)) * batches
    each = ((layout.zero == 3.0) & ~keeps_whole(case)) | gathers_once(case)
    return np.where(each, sharded, exposed)


def _sharded_waits(case: TrainingCase, c: TrainingConstants, rings: tuple[Array, Array], window: Array) -> Array:
    """Seconds of a micro-batch that gathering twice and reducing once cost: what outlasts the window or has nothing
    beside it, and what the rest takes from the kernels beside it."""
    weights, gradients = rings
    traffic = np.where(gathers_once(case), 1.0, 2.0) * weights + gradients
    exposed = np.maximum(traffic - window, (weights + gradients) * end_share(case))
    waits: Array = exposed + c["contended"] * (traffic - exposed)
    return waits


def end_share(case: TrainingCase) -> Array:
    """Share of sharded parameters whose first gathering nothing can hide, and whose reduction nothing follows: the
    embedding and the head, which the whole model holds outside of its layers, and the first layer.

    Llama 3.1 8B: (2 · 0.525 + 6.98 / 32) of 8.03e9 parameters, 16 %. Runs of it on four H200 let exchanges run alone
    for 19 to 23 ms a step, which is what those take: (2.5 GB gathered and 5.1 GB reduced) · 3/4 at 300 GB/s
    (e2e/recordings/h200_exposure.jsonl).
    """
    model = case.model
    outside = model.embedding_params + model.head_params
    share: Array = (outside + model.layer_params / model.layers) / (outside + model.layer_params)
    return share


def keeps_whole(case: TrainingCase) -> NDArray[np.bool_]:
    """Stages that gather sharded parameters once a step: every micro-batch comes back to them.

    pytorch/torchtitan parallelize_llama.py, `reshard_after_forward_policy`: "For PP, do not reshard after forward";
    NVIDIA-NeMo/Automodel deepseek_v3_te_deepep.yaml: `reshard_after_forward: false`.
    """
    kept: NDArray[np.bool_] = (case.layout.zero == 3.0) & (case.layout.pipeline > 1.0)
    return kept


def replicates_states(case: TrainingCase) -> NDArray[np.bool_]:
    """ZeRO-1 over DistributedDataParallel: gradients are reduced whole, and then each rank hands out the weights
    that it updated, with nothing beside it: exchanges ran alone for 11 to 23 ms (e2e/recordings/h200_layouts.jsonl)."""
    replicates: NDArray[np.bool_] = (case.layout.zero == 1.0) & (case.stack.bucket_bytes > 0.0)
    return replicates


def gathers_once(case: TrainingCase) -> NDArray[np.bool_]:
    """FSDP that keeps what each forward pass gathered for its backward pass."""
    layout = case.layout
    kept: NDArray[np.bool_] = (case.stack.gathers_once > 0.5) & (layout.zero == 2.0) & (layout.pipeline == 1.0)
    return kept


def _copies(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds in which sharded parameters move between flat buffers and their own shapes, per micro-batch."""
    dense, experts = local_parameters(case)
    many = case.layout.data * case.layout.context > 1.0
    share = np.where(gathers_once(case), 1.0 - _GATHERED_COPY, 1.0)
    moved = (dense + experts) * c["shard_copies"] * share * many
    return moved / (case.machine.bandwidth * c["bandwidth_share"])


_GATHERED_COPY = 4.0 / 14.0
"""Of those bytes, by count: one of two copies of gathered weights, read and written in 16 bit."""


def _data_rings(case: TrainingCase, c: TrainingConstants) -> tuple[Array, Array]:
    """Seconds to (gather weights, reduce gradients) of one GPU's parameters, experts in their own smaller groups.

    HSDP reduces each shard of the gradients once more, among the groups that hold copies of it.
    """
    layout, machine, stack = case.layout, case.machine, case.stack
    all_dense, all_experts = local_parameters(case)
    gathered = np.where(layout.zero == 3.0, 1.0, case.model.trained_fraction)
    dense, experts = all_dense * case.model.trained_fraction, all_experts * case.model.trained_fraction
    replicas, expert_replicas = shard_sizes(case)
    size = np.where(layout.zero == 3.0, layout.shard, replicas)
    inner = group(machine, size, layout.tensor)
    outer = group(machine, expert_replicas, np.where(stack.folds_experts > 0.5, 1.0, layout.tensor) * layout.expert)
    weight_bytes = np.where(stack.frozen_bytes > 0.0, stack.frozen_bytes, machine.activation_bytes)
    weights = half_ring_seconds(machine, c, inner, all_dense * gathered * weight_bytes)
    weights = weights + half_ring_seconds(machine, c, outer, all_experts * gathered * weight_bytes) * (experts > 0)
    gradients = half_ring_seconds(machine, c, inner, dense * stack.gradient_bytes)
    copies = np.where(layout.zero == 3.0, replicas / np.maximum(size, 1.0), 1.0)
    between = group(machine, copies, layout.tensor * size)
    part = dense * stack.gradient_bytes / np.maximum(size, 1.0)
    gradients = gradients + 2.0 * half_ring_seconds(machine, c, between, part)
    gradients = gradients + half_ring_seconds(machine, c, outer, experts * stack.gradient_bytes) * (experts > 0)
    return weights, gradients
