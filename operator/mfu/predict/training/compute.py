"""Time that the GPU computes for one micro-batch over all layers: products, attention, memory-bound operators.

Formulas, with tokens m = micro_batch · S / context of one GPU:

- product of m×k by k×n: 2mnk / (peak · ceiling) · (1 + depth / k) · (1 + tail · SMs · tile / (m·n)), never under
  the time that its operands take to cross memory; three per weight (forward, input and weight gradients);
- attention: counted FLOPs / (16-bit peak · attention rate) · (1 + half_sequence / S) · (1 + half_head / head width),
  at FlashAttention-2's own rate where the engine has no kernels written for Hopper and Blackwell;
  where scores are written to memory, the full square through the matrix units and its traffic;
- memory-bound operators: bytes of their operands / (bandwidth · share), fewer where the engine fuses them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mfu.predict.training.arrays import Array, Machine, TrainingCase
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.optimizer import expert_cut
from mfu.predict.training.unfused import PRODUCT_BYTES

TILE = 128.0 * 128.0
"""Values of the output tile that one SM works on (cuBLAS default shapes; larger tiles only help larger products)."""


@dataclass(frozen=True, slots=True)
class Split:
    """Seconds of some matrix products: at peak, at the measured ceiling, with their shapes, and with waiting for the
    busiest expert."""

    ideal: Array
    ceiled: Array
    shaped: Array
    waited: Array

    def __add__(self, other: Split) -> Split:
        return Split(
            self.ideal + other.ideal,
            self.ceiled + other.ceiled,
            self.shaped + other.shaped,
            self.waited + other.waited,
        )

    def times(self, factor: Array | float) -> Split:
        return Split(self.ideal * factor, self.ceiled * factor, self.shaped * factor, self.waited * factor)


@dataclass(frozen=True, slots=True)
class Pass:
    """One direction (forward or backward) of all layers for one micro-batch."""

    linear: Split
    attention_ideal: Array
    attention: Array
    elementwise: Array

    @property
    def seconds(self) -> Array:
        return self.linear.waited + self.attention + self.elementwise


@dataclass(frozen=True, slots=True)
class Compute:
    forward: Pass
    backward: Pass
    head: Split
    """Head, forward and backward."""
    loss: Array
    """Softmax and cross-entropy over the vocabulary, and autocast's copies of weights: memory-bound."""


def tokens(case: TrainingCase) -> Array:
    """Tokens of one micro-batch on one GPU, before tensor parallelism."""
    return case.layout.micro_batch * case.model.sequence / case.layout.context


def product(
    machine: Machine, c: TrainingConstants, shape: tuple[Array, Array, Array], count: Array | float = 1.0
) -> Split:
    """`count` products of m×k by k×n at the compute precision."""
    m, n, k = shape
    ideal = 2.0 * count * m * n * k / machine.peak
    return _shaped(machine, c, (m, n, k), count, (ideal, ideal / machine.ceiling, machine.value_bytes))


def head_product(machine: Machine, c: TrainingConstants, shape: tuple[Array, Array, Array]) -> Split:
    """A product that stays 16 bit (the head) while MFU divides by the declared peak."""
    m, n, k = shape
    flops = 2.0 * m * n * k
    slow = np.minimum(machine.peak16 * machine.ceiling16, machine.peak * machine.ceiling)
    return _shaped(machine, c, shape, 1.0, (flops / machine.peak, flops / slow, machine.activation_bytes))


def _shaped(
    machine: Machine,
    c: TrainingConstants,
    shape: tuple[Array, Array, Array],
    count: Array | float,
    base: tuple[Array, Array, Array],
) -> Split:
    m, n, k = shape
    ideal, ceiled, value_bytes = base
    tail = 1.0 + c["tail"] * machine.sms * TILE / np.maximum(count * m * n, 1.0)
    compute = ceiled * (1.0 + c["depth"] / np.maximum(k, 1.0)) * tail
    moved = count * (value_bytes * (m * k + k * n) + machine.activation_bytes * m * n)
    shaped = np.maximum(compute, moved / (machine.bandwidth * c["bandwidth_share"]))
    return Split(ideal, ceiled, shaped, shaped)


def _trio(
    case: TrainingCase, c: TrainingConstants, shape: tuple[Array, Array, Array], count: Array | float
) -> tuple[Split, Split]:
    m, n, k = shape
    forward = product(case.machine, c, (m, n, k), count)
    inputs = product(case.machine, c, (m, k, n), count)
    weights = product(case.machine, c, (k, n, m), count)
    return forward, inputs + weights.times(case.model.backward - 1.0)


def linear(case: TrainingCase, c: TrainingConstants) -> tuple[Split, Split]:
    """Forward and backward products of all layers: projections, dense feed-forward, routed and shared experts."""
    model, tensor = case.model, case.layout.tensor
    m = tokens(case)
    dense = model.layers - model.moe_layers
    pairs = [
        _times(_trio(case, c, (m, model.qkv / tensor, model.hidden), 1.0), model.layers),
        _times(_trio(case, c, (m, model.hidden, model.attention_out / tensor), 1.0), model.layers),
        _times(_trio(case, c, (m, model.ffn_up / tensor, model.hidden), 1.0), dense),
        _times(_trio(case, c, (m, model.hidden, model.ffn_down / tensor), 1.0), dense),
    ]
    if np.any(model.moe_layers > 0):
        pairs += _expert_products(case, c, m)
    forward, backward = pairs[0]
    for one, two in pairs[1:]:
        forward, backward = forward + one, backward + two
    return forward, backward


def _expert_products(case: TrainingCase, c: TrainingConstants, m: Array) -> list[tuple[Split, Split]]:
    model, layout = case.model, case.layout
    local = np.maximum(model.experts / layout.expert, 1.0)
    cut = expert_cut(case)
    rows = m / layout.tensor * cut * model.top_k * layout.expert / np.maximum(model.experts, 1.0)
    imbalance = np.where(layout.expert > 1.0, c["expert_imbalance"], 1.0)
    up, down = model.expert_up / cut, model.expert_down / cut
    shared_up, shared_down = model.shared_up / layout.tensor, model.shared_down / layout.tensor
    routed = _in_format_of_experts(case)
    return [
        _slowed(_times(_trio(routed, c, (rows, up, model.hidden), local), model.moe_layers), imbalance),
        _slowed(_times(_trio(routed, c, (rows, model.hidden, down), local), model.moe_layers), imbalance),
        _times(_trio(case, c, (m, shared_up, model.hidden), 1.0), model.moe_layers),
        _times(_trio(case, c, (m, model.hidden, shared_down), 1.0), model.moe_layers),
    ]


def _in_format_of_experts(case: TrainingCase) -> TrainingCase:
    """The case whose products run as those of routed experts do.

    H200: 989 TFLOP/s · 0.63 in BF16, 67 · 0.77 in FP32, 12 times as long.
    """
    machine, wide = case.machine, case.stack.wide_experts > 0.5
    slower = replace(
        machine,
        ceiling=np.where(wide, machine.peak_wide / machine.peak, machine.ceiling),
        value_bytes=np.where(wide, 4.0, machine.value_bytes),
        activation_bytes=np.where(wide, 4.0, machine.activation_bytes),
    )
    return replace(case, machine=slower)


def _times(pair: tuple[Split, Split], factor: Array) -> tuple[Split, Split]:
    return pair[0].times(factor), pair[1].times(factor)


def _slowed(pair: tuple[Split, Split], factor: Array) -> tuple[Split, Split]:
    """Waiting for the busiest expert lengthens the time at shape, not the ideal."""
    first, second = pair
    return replace(first, waited=first.shaped * factor), replace(second, waited=second.shaped * factor)


def attention(case: TrainingCase, c: TrainingConstants) -> tuple[Array, Array, Array]:
    """(ideal at declared peak, forward seconds, backward seconds) of scores and values over all layers."""
    model, machine = case.model, case.machine
    flops = model.attention_flops * tokens(case) / case.layout.tensor
    fused = flops / (machine.peak16 * attention_rate(case))
    shape = (1.0 + c["half_sequence"] / model.sequence) * (1.0 + c["half_head"] / model.head_dim)
    fused_forward = fused * shape
    written_forward, written_backward = _written_attention(case, c, flops)
    flag = case.stack.fused_attention
    forward = flag * fused_forward + (1.0 - flag) * written_forward
    slower = np.where(case.stack.native_attention >= 1.0, c["attention_backward"], c["flash2_backward"])
    backward = flag * fused_forward * slower + (1.0 - flag) * written_backward
    return flops / machine.peak, forward, backward


def attention_rate(case: TrainingCase) -> Array:
    """Forward rate over the 16-bit peak: the architecture's own kernels, FlashAttention-2, or a slower one between."""
    machine, level = case.machine, case.stack.native_attention
    asked = np.where(case.stack.names_flash2 > 0.5, machine.flash2_named, machine.flash2)
    older = asked * np.minimum(_TRITON + 2.0 * (1.0 - _TRITON) * level, 1.0)
    return np.where(level >= 1.0, machine.attention, np.minimum(older, machine.attention))


_TRITON = 0.8
"""Rate of Triton's first FlashAttention over FlashAttention-2's (arXiv 2307.08691, figure 4)."""


def _written_attention(case: TrainingCase, c: TrainingConstants, flops: Array) -> tuple[Array, Array]:
    model, machine = case.model, case.machine
    products = flops / model.causal / (machine.peak16 * machine.ceiling16) * (1.0 + c["depth"] / model.head_dim)
    scores = tokens(case) * model.sequence * model.heads / case.layout.tensor * model.layers
    traffic = machine.activation_bytes / 2.0 * scores / (machine.bandwidth * c["bandwidth_share"])
    forward, backward = case.stack.score_forward_bytes, case.stack.score_backward_bytes
    one, two = PRODUCT_BYTES
    counted = (
        np.maximum(products, one * traffic) + forward * traffic,
        np.maximum(2.0 * products, two * traffic) + backward * traffic,
    )
    usual = products + c["score_bytes"] * traffic, 2.0 * products + 1.5 * c["score_bytes"] * traffic
    return np.where(forward > 0.0, counted[0], usual[0]), np.where(forward > 0.0, counted[1], usual[1])


def elementwise(case: TrainingCase, c: TrainingConstants) -> Array:
    """Forward seconds of norms, residuals, rotary embedding, activation, casts and expert permutation, all layers."""
    model, machine, layout, engine = case.model, case.machine, case.layout, case.stack
    split = 1.0 + (layout.tensor - 1.0) * engine.sequence_parallel
    feed_forward = model.layers - model.moe_layers
    ffn = feed_forward * (model.ffn_up + model.ffn_down)
    experts = model.moe_layers * (
        model.top_k * (model.expert_up + model.expert_down) + model.shared_up + model.shared_down
    )
    passed = c["permute_traffic"] + c["loose_traffic"] * engine.loose_experts
    permuted = passed * model.top_k * model.hidden * model.moe_layers / layout.tensor
    wide, produced = model.hidden * model.layers / split, ffn + experts
    narrow = (2.0 * model.qkv * model.layers + produced) / layout.tensor + permuted
    values = c["hidden_traffic"] * wide + c["narrow_traffic"] * narrow
    by_count = engine.norm_bytes > 0.0
    usual = (
        machine.activation_bytes * values * (1.0 - np.where(by_count, 1.0, engine.fused) * (1.0 - c["fused_traffic"]))
    )
    eager = c["eager_traffic"] * _eager_bytes(case, wide, produced) + machine.activation_bytes * permuted
    unfused = 1.0 - engine.fused
    moved = np.where(by_count, unfused * eager + engine.fused * usual, usual)
    cast_values = (2.0 * model.hidden / split + (model.attention_out + model.ffn_down) / layout.tensor) * model.layers
    cast = c["cast_traffic"] * engine.quantised_passes * cast_values * machine.low_precision
    adapters = c["adapter_traffic"] * engine.adapter_bytes / layout.tensor
    total = tokens(case) * (moved + machine.activation_bytes * cast + adapters)
    return total / (machine.bandwidth * c["bandwidth_share"])


def _eager_bytes(case: TrainingCase, wide: Array, produced: Array) -> Array:
    """Bytes a token moves where every small operation is a kernel: norms, rotation, activation and its product.

    A gated feed-forward moves 10 bytes for each of its width in 16 bit (silu 4, product 6), of the 3 values that it
    produces; FP32 doubles all.
    """
    model, layout, engine = case.model, case.layout, case.stack
    rotated = (model.heads + model.kv_heads) * model.head_dim * model.layers / layout.tensor
    per_layer = (
        2.0 * engine.norm_bytes * wide
        + engine.rotary_bytes * rotated
        + engine.activation_bytes * produced / layout.tensor
    )
    return per_layer * case.machine.activation_bytes / 2.0


def weight_casts(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds in which autocast copies weights for the products and gradients back, per micro-batch and all layers."""
    model, layout, stack = case.model, case.layout, case.stack
    held = (model.layer_params + model.head_params + model.embedding_params) / layout.tensor
    moved = 2.0 * (stack.cast_bytes + stack.weight_bytes) * np.where(stack.cast_bytes > 0.0, held, 0.0)
    return moved / (case.machine.bandwidth * c["bandwidth_share"])


def weight_quantisation(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds in which the weights of all layers are quantised, forward and backward, per micro-batch.

    7e9 weights at 14 bytes on an H200: 98e9 / (4.8e12 · 0.85) = 24 ms.
    """
    model, machine = case.model, case.machine
    held = (model.layer_params - model.expert_params + model.expert_params / case.layout.expert) / case.layout.tensor
    moved = case.stack.quantised_bytes * machine.low_precision * held
    return moved / (machine.bandwidth * c["bandwidth_share"])


def weight_widening(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds in which frozen weights of 4 or 8 bits are widened for the products of one pass, all layers.

    8.0e9 less 1.05e9 weights outside of layers, 0.5625 read and 2 written: 17.9 GB, 6.3 ms on an H100.
    """
    model, machine, frozen = case.model, case.machine, case.stack.frozen_bytes
    held = (model.layer_params - model.expert_params + model.expert_params / case.layout.expert) / case.layout.tensor
    moved = np.where(frozen > 0.0, frozen + machine.activation_bytes, 0.0) * held
    return moved / (machine.bandwidth * c["bandwidth_share"])


_QUANTISED_FORWARD = 5.0 / 14.0
"""Of the bytes that quantising a weight moves: its transpose for the backward pass takes the others."""


def _ragged(case: TrainingCase, head: Split) -> Split:
    """Matrix units are fed in pieces of 16 bytes: rows that begin between those fall back on kernels of an older
    generation. An odd vocabulary runs Turing's on an A100 (pegainfer-project/pegainfer pull 1046), rows of 588 values
    Ampere's on Hopper, 3.5 times as long as 592 (m87-labs/kestrel pull 143). Twice is counted: of the head's three
    products one only writes such rows. GPT-2 on an A100 saved 9 of 73 ms by padding, as long as its head takes
    (rasbt/LLMs-from-scratch@28c65cd).
    """
    slower = np.where(case.stack.ragged_head > 0.5, _RAGGED, 1.0)
    return replace(head, shaped=head.shaped * slower, waited=head.waited * slower)


_RAGGED = 2.0


def compute(case: TrainingCase, c: TrainingConstants) -> Compute:
    """All GPU arithmetic of one micro-batch as if one stage held every layer."""
    model, machine = case.model, case.machine
    forward_linear, backward_linear = linear(case, c)
    ideal, forward_attention, backward_attention = attention(case, c)
    memory_bound, weights = elementwise(case, c), weight_quantisation(case, c)
    widened = weight_widening(case, c)
    m, vocab = tokens(case), model.vocab / case.layout.tensor
    head = _ragged(case, head_product(machine, c, (m, vocab, model.hidden)).times(1.0 + model.backward))
    passes = np.where(case.stack.logit_passes > 0.0, case.stack.logit_passes, c["logit_traffic"])
    loss = passes * 4.0 * m * vocab / (machine.bandwidth * c["bandwidth_share"])
    return Compute(
        Pass(forward_linear, ideal, forward_attention, memory_bound + _QUANTISED_FORWARD * weights + widened),
        Pass(
            backward_linear,
            2.0 * ideal,
            backward_attention,
            c["elementwise_backward"] * memory_bound + (1.0 - _QUANTISED_FORWARD) * weights + widened,
        ),
        head,
        loss + weight_casts(case, c),
    )
