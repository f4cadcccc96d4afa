"""Struct-of-arrays inputs of the vectorised model: one row a case (model × layout × machine × stack), all float64.

Every field is an array that broadcasts against the others: a plan keeps the model 0-d and varies the layout, a fit
varies everything. Sizes in bytes, rates per second, widths in values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_Columns = TypeVar("_Columns", bound="Columns")


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the structs below."""


def stack(parts: Sequence[_Columns]) -> _Columns:
    """Rows of 0-d structs as one struct of 1-d arrays."""
    kind = type(parts[0])
    return kind(**{f.name: np.array([getattr(part, f.name) for part in parts], dtype=float) for f in fields(kind)})


def take(columns: _Columns, index: NDArray[np.intp]) -> _Columns:
    """The rows of `index`; 0-d fields stay as they are."""
    kind = type(columns)
    picked = {f.name: np.asarray(getattr(columns, f.name)) for f in fields(kind)}
    return kind(**{name: value[index] if value.ndim else value for name, value in picked.items()})


@dataclass(frozen=True, slots=True)
class ModelWidths(Columns):
    """Widths of one layer and totals of the model, for one sequence length."""

    layers: Array
    """All transformer layers, multi-token-prediction layers included."""
    moe_layers: Array
    hidden: Array
    qkv: Array
    """Columns of all projections in front of attention, as one K = hidden product of the same FLOPs."""
    attention_out: Array
    """Rows of the output projection: heads · value width."""
    heads: Array
    kv_heads: Array
    head_dim: Array
    ffn_up: Array
    """Columns of the up (and gate) projection of a dense layer, averaged over dense layers."""
    ffn_down: Array
    expert_up: Array
    expert_down: Array
    shared_up: Array
    shared_down: Array
    experts: Array
    top_k: Array
    vocab: Array
    """Columns of the head."""
    attention_flops: Array
    """Forward FLOPs per token of scores and values over all layers, as the MFU convention counts them."""
    causal: Array
    """0.5 where half of the scores are computed, 1 where all are."""
    model_flops: Array
    """Forward model FLOPs per token, head included."""
    backward: Array
    """Backward over forward FLOPs: 2, or about 1 for LoRA."""
    layer_params: Array
    """Parameters of all layers, experts included."""
    expert_params: Array
    """Parameters of routed experts, part of layer_params."""
    embedding_params: Array
    head_params: Array
    """0 where tied to the embedding."""
    trained_fraction: Array
    sequence: Array


@dataclass(frozen=True, slots=True)
class TrainingLayout(Columns):
    """How the model is cut. `zero` 0–3; `shard` GPUs share one sharded copy (HSDP), else the data-parallel group."""

    tensor: Array
    pipeline: Array
    context: Array
    data: Array
    expert: Array
    virtual: Array
    micro_batch: Array
    global_batch: Array
    zero: Array
    shard: Array
    recompute: Array
    """0 none, 1 selective, 2 full."""
    optimizer_bytes: Array
    """Optimizer state per trained parameter, master copy included."""


@dataclass(frozen=True, slots=True)
class Machine(Columns):
    """One GPU and how it reaches the others."""

    peak: Array
    """Dense, at the compute precision; the denominator of MFU."""
    peak16: Array
    """Rate of parts that stay 16 bit under a narrower declared precision; the declared peak where that is wider."""
    peak16_reference: Array
    """Dense 16-bit peak: the denominator of reference MFU."""
    peak_wide: Array
    """What the best FP32 product reaches."""
    peak_vector: Array
    """FP32 without tensor cores: elementwise arithmetic never gets faster than this."""
    ceiling: Array
    """Measured best matrix product over `peak`, times the clock that lasts under load."""
    ceiling16: Array
    held: Array
    """Clock under a lowered power limit over the clock that lasts; the rates here are at it already."""
    attention: Array
    """Attention kernel rate over the 16-bit peak, backward included."""
    flash2: Array
    """The same for the kernels that PyTorch takes by itself, forward alone."""
    flash2_named: Array
    """The same for FlashAttention-2, which was written for Ampere, where somebody asks for it by name."""
    bandwidth: Array
    memory: Array
    sms: Array
    value_bytes: Array
    """Bytes of one weight as the matrix product reads it."""
    low_precision: Array
    """1 where the linear layers compute in 8 or 4 bit while activations stay 16 bit."""
    activation_bytes: Array
    """2, or 4 for FP32 and TF32."""
    gpus: Array
    node: Array
    """GPUs that share NVLink, or PCIe of one host."""
    link: Array
    """Bytes/s, one direction, between GPUs of one node."""
    link_latency: Array
    network: Array
    """Bytes/s, one direction per GPU, between nodes."""
    network_latency: Array
    host: Array
    """Time that its processor takes to launch an operation over that of the processors beside other products."""
    efa: Array
    """1 where nodes talk over Elastic Fabric Adapter, whose rings do not reach every adapter's rate at once."""


@dataclass(frozen=True, slots=True)
class TrainingStack(Columns):
    """Habits of the training engine: facts about its code, and its one efficiency factor."""

    efficiency: Array
    fused_attention: Array
    """1 FlashAttention or cuDNN, 0 scores written to memory."""
    native_attention: Array
    """1 where attention uses the kernels written for Hopper and Blackwell (FlashAttention-3, cuDNN)."""
    names_flash2: Array
    """1 where FlashAttention-2 is asked for by name."""
    sequence_parallel: Array
    tensor_overlap: Array
    data_overlap: Array
    fused: Array
    """1 compiled or hand-fused elementwise operators, 0 one kernel each."""
    norm_bytes: Array
    """Bytes that one norm and its residual move forward per hidden value where nothing is fused."""
    adapter_bytes: Array
    """Forward bytes a token that unfused low-rank adapters move, all layers; 0 where every parameter is trained."""
    rotary_bytes: Array
    """The same per query and key value for their rotation, 0 where positions are added."""
    kept_wide: Array
    """Hidden-wide values of 2 bytes that one layer keeps for its backward pass."""
    extra_narrow: Array
    """Copies of the feed-forward's output side that are kept beside one of each tensor."""
    activation_bytes: Array
    """Bytes that activations move forward per value which the feed-forward produces, where nothing is fused."""
    kept_rotated: Array
    """Values of 2 bytes kept per query and key value beside themselves: norms of heads."""
    score_forward_bytes: Array
    """Bytes that written scores move forward in 16 bit, by count; 0 takes what fused kernels were measured at."""
    score_backward_bytes: Array
    kept_scores: Array
    """Values of the compute format kept per attention score, 0 where a fused kernel keeps none."""
    selective_products: Array
    """Share of a layer's matrix products that selective recomputation repeats."""
    logit_bytes: Array
    """Bytes that each logit holds at the peak."""
    ragged_head: Array
    """1 where rows of the head or of its logits begin at no multiple of 16 bytes."""
    logit_passes: Array
    """Passes of four bytes over the logits, forward and backward; 0 takes what fused losses were measured at."""
    weight_bytes: Array
    """Bytes of one weight as it is kept."""
    cast_bytes: Array
    """Bytes of the copy of a weight that the products read, where it is not the kept one (autocast)."""
    updated_bytes: Array
    """Bytes of a weight that the optimizer moves beside its states: read and written where no copy of them is among
    those, else written."""
    unfused_bytes: Array
    """Bytes of a parameter that its update moves beyond one pass over states, gradient and weight."""
    frozen_bytes: Array
    """Bytes of a frozen layer weight that is kept narrower than 16 bit and widened for each product, else 0."""
    quantised_bytes: Array
    """Bytes that quantising a weight of a layer moves in a micro-batch."""
    quantised_passes: Array
    """Passes over an activation that quantising it takes, over those of kernels that fuse it."""
    keeps_gradients: Array
    """1 where gradients stay in memory between steps (flat buffers), 0 where each step allocates them anew."""
    bucket_bytes: Array
    """Bytes of a second copy of each gradient in the buckets of PyTorch's DistributedDataParallel."""
    dispatches_once: Array
    """1 where a token goes once to all of its experts on one GPU, 0 where each of them gets a copy of its own."""
    loose_experts: Array
    """1 where experts are modules of a plain program: tokens gathered, multiplied and scattered kernel by kernel."""
    wide_experts: Array
    """1 where experts multiply in FP32 while the rest does in 16 bit."""
    folds_experts: Array
    """1 where experts stay whole and are spread over tensor-parallel ranks too."""
    step_seconds: Array
    """What the training loop itself does once a step."""
    gradient_bytes: Array
    """Bytes of one gradient as it is reduced."""
    kept_gradient_bytes: Array
    """Bytes of gradient that a parameter holds at the peak, a second copy in the weights' type included."""
    weight_gathers: Array
    """Collectives per layer in which sharded weights are gathered after the update; 0 where they are bucketed."""
    keeps_inputs: Array
    """1 where the inputs of every small kernel stay in memory."""
    keeps_gathered: Array
    """1 where the gathered inputs of both blocks stay in memory under sequence parallelism."""
    keeps_products_inputs: Array
    """1 where products cut by columns keep their gathered inputs for the backward pass (DTensor), 0 where these are
    gathered once more."""
    casts_by_fsdp: Array
    """1 where models that are cut compute in 16 bit only where FSDP casts what it gathers."""
    gathers_once: Array
    """1 where weights of ZeRO-2 are gathered in each forward pass and kept for its backward pass (FSDP)."""
    rings_whole: Array
    """1 where the context ring gathers keys and values of all heads, and computes nothing meanwhile."""
    output_bytes: Array
    """Bytes of a logit that the last stage of a pipeline keeps of every micro-batch, to join them after the last."""
    balances_head: Array
    """1 where the head counts as layers when stages are cut."""
    seconds_per_layer: Array
    """Host time to launch one layer forward and backward."""
    synchronises: Array
    """1 where the host reads the loss back in every micro-batch."""
    exchange_seconds: Array
    """In which the host launches one dense layer of an engine of the usual number of operations, compiled or not: the
    unit in which routers that exchange tokens are counted, whatever launches the rest of the layer."""
    plain_exchange_seconds: Array
    """Host time beyond a dense layer of one whose experts lie on several GPUs, in programs of PyTorch; else 0."""
    shard_seconds: Array
    """Host time to gather and scatter one layer's parameters in a micro-batch, where PyTorch shards them."""
    loop_seconds: Array
    """Host time of one expert, forward and backward, where experts run one after the other; 0 in grouped products."""
    dispatch_seconds: Array
    """Host time in which DTensor dispatches the operations of one layer, forward and backward, unless compiled."""
    tensor_operations: Array
    """Times that where the layer is cut by tensor parallelism."""
    captures: Array
    """1 where layers with experts are captured into CUDA graphs on rack-scale machines."""
    two_way_pipeline: Array
    """1 where micro-batches enter a pipeline from both ends and hide one another's exchanges."""
    blocking_pipeline: Array
    """1 where the host waits in every exchange between stages."""


@dataclass(frozen=True, slots=True)
class TrainingCase:
    model: ModelWidths
    layout: TrainingLayout
    machine: Machine
    stack: TrainingStack


def take_case(case: TrainingCase, index: NDArray[np.intp]) -> TrainingCase:
    """The same rows of all four structs."""
    return TrainingCase(
        take(case.model, index), take(case.layout, index), take(case.machine, index), take(case.stack, index)
    )


def stack_cases(cases: Sequence[TrainingCase]) -> TrainingCase:
    """Single-row cases as one case of many rows."""
    return TrainingCase(
        stack([case.model for case in cases]),
        stack([case.layout for case in cases]),
        stack([case.machine for case in cases]),
        stack([case.stack for case in cases]),
    )
