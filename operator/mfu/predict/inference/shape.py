"""The matrices of one decoder as the serving model sees them: weights, attention work and KV values per layer.

Every field is a float or a numpy array, so one `Shape` can describe one model or one model a row of a table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from mfu.workload.architecture import Architecture, MoE

Array = npt.NDArray[np.float64]
Number = float | Array


@dataclass(frozen=True, slots=True)
class ServingShape:
    """Weights are counted in values, attention work in FLOPs per (query token, key token) pair of one layer."""

    layers: Number
    hidden: Number
    heads: Number
    kv_heads: Number
    attention_weights: Number
    """Query, key, value and output projections of one layer."""
    dense_weights: Number
    """FFN of one dense layer; 0 where every layer is a mixture."""
    dense_layers: Number
    expert_weights: Number
    """One expert of one MoE layer."""
    experts: Number
    top_k: Number
    shared_weights: Number
    """Shared experts of one MoE layer, run for every token."""
    moe_layers: Number
    head_weights: Number
    embedding_weights: Number
    prefill_pair_flops: Number
    decode_pair_flops: Number
    """Larger than in prefill for MLA, whose decode attends in the compressed space."""
    kv_values: Number
    """Cached values of one token in one layer, all heads."""
    window: Number
    """Sliding-window length, infinite where attention is full."""
    sliding_share: Number
    """Share of layers that slide."""
    sinks: Number
    """1 where each head has a learned sink (gpt-oss)."""
    mla: Number
    """1 where the cache is one compressed vector that tensor parallelism cannot split."""

    @property
    def matrix_weights(self) -> Number:
        """All matrix weights of the transformer layers, every expert counted."""
        mixture = self.experts * self.expert_weights + self.shared_weights
        return self.layers * self.attention_weights + self.dense_layers * self.dense_weights + self.moe_layers * mixture

    @property
    def active_weights(self) -> Number:
        """Matrix weights that one token meets, output head excluded."""
        mixture = self.top_k * self.expert_weights + self.shared_weights
        return self.layers * self.attention_weights + self.dense_layers * self.dense_weights + self.moe_layers * mixture

    @property
    def total_weights(self) -> Number:
        return self.matrix_weights + self.head_weights + self.embedding_weights


def shape_of(architecture: Architecture) -> ServingShape:
    """The shape of a decoder. Llama-3.1-8B: 32 layers of 41,943,040 attention and 176,160,768 FFN weights."""
    attention, prefill_pair, decode_pair, kv_values = _attention(architecture)
    moe_layers = architecture.moe_layer_count
    moe = architecture.moe or MoE(experts=0, top_k=0, expert_ffn=0)
    factor = (3.0 if architecture.gated_ffn else 2.0) * architecture.hidden
    vocabulary = float(architecture.vocab * architecture.hidden)
    return ServingShape(
        layers=float(architecture.layers),
        hidden=float(architecture.hidden),
        heads=float(architecture.heads),
        kv_heads=float(architecture.kv_heads),
        attention_weights=attention,
        dense_weights=factor * architecture.ffn,
        dense_layers=float(architecture.dense_layer_count),
        expert_weights=factor * moe.expert_ffn,
        experts=float(moe.experts),
        top_k=float(moe.top_k),
        shared_weights=factor * moe.shared_width,
        moe_layers=float(moe_layers),
        head_weights=vocabulary,
        embedding_weights=0.0 if architecture.tied_embeddings else vocabulary,
        prefill_pair_flops=prefill_pair,
        decode_pair_flops=decode_pair,
        kv_values=kv_values,
        window=float(architecture.window) if architecture.window else float("inf"),
        sliding_share=architecture.sliding_layers / architecture.layers,
        sinks=float(architecture.attention_sinks),
        mla=float(architecture.mla is not None),
    )


def stack(shapes: list[ServingShape]) -> ServingShape:
    """One shape of arrays from many of floats, in order."""
    return ServingShape(
        *(np.array([getattr(each, field.name) for each in shapes], dtype=float) for field in fields(ServingShape))
    )


def _attention(architecture: Architecture) -> tuple[float, float, float, float]:
    """Weights of a layer, FLOPs per pair in prefill and in decode, cached values per token."""
    heads, hidden, mla = architecture.heads, architecture.hidden, architecture.mla
    if mla is None:
        width = architecture.head_dim
        weights = hidden * width * (2 * heads + 2 * architecture.kv_heads)
        return float(weights), 4.0 * heads * width, 4.0 * heads * width, 2.0 * architecture.kv_heads * width
    query_width = heads * (mla.nope_head_dim + mla.rope_head_dim)
    query = (hidden + query_width) * mla.query_rank if mla.query_rank else hidden * query_width
    latent = hidden * (mla.kv_rank + mla.rope_head_dim)
    expand = mla.kv_rank * heads * (mla.nope_head_dim + mla.value_head_dim)
    weights = query + latent + expand + heads * mla.value_head_dim * hidden
    prefill = 2.0 * heads * (mla.nope_head_dim + mla.rope_head_dim + mla.value_head_dim)
    decode = 2.0 * heads * (2 * mla.kv_rank + mla.rope_head_dim)
    return float(weights), prefill, decode, float(mla.kv_rank + mla.rope_head_dim)
