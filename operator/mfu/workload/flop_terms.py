"""The matrix products of a model as terms that are linear in context, so that one table serves scalars and arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from mfu.workload.architecture import MLA, Architecture, Family
from mfu.workload.parameters import TIMESTEP_FEATURES


@dataclass(frozen=True, slots=True)
class FlopTerm:
    """Forward FLOPs per token: fixed + per_key·context + per_window_key·(windowed context) + per_sequence/length.

    `reaches` holds (window in tokens, FLOPs per token within it) of blocks with windows of their own.
    """

    name: str
    fixed: float = 0.0
    per_key: float = 0.0
    per_window_key: float = 0.0
    per_sequence: float = 0.0
    reaches: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """FLOPs per token of one layer's attention; scores and values are per attended key."""

    qkv: float
    score_per_key: float
    value_per_key: float
    output: float


def attention_shape(arch: Architecture, *, absorbed: bool = False) -> AttentionShape:
    """Projections 2·h·(H + 2K)·d, scores and values 2·H·d a key each, output 2·H·d·h."""
    if arch.mla is not None:
        return _latent_attention(arch, arch.mla, absorbed=absorbed)
    queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    projections = 2.0 * arch.hidden * ((2 if arch.output_gate else 1) * queries + 2 * keys)
    return AttentionShape(projections, 2.0 * queries, 2.0 * queries, 2.0 * queries * arch.hidden)


def ffn_flops(arch: Architecture, width: int, *, hidden: int = 0) -> float:
    """Three matrices with a gate, two without; `hidden` where the block reads another width than the model's."""
    return (6.0 if arch.gated_ffn else 4.0) * (hidden or arch.hidden) * width


def moe_terms(arch: Architecture) -> tuple[FlopTerm, ...]:
    """Router, routed and shared experts of one MoE layer."""
    moe = arch.moe
    if moe is None:
        return ()
    gate = 2.0 * arch.hidden if moe.shared_gate and moe.shared_width else 0.0
    return (
        FlopTerm("router", 2.0 * arch.hidden * (moe.experts + 2 * moe.expert_hidden)),
        FlopTerm("experts", moe.top_k * ffn_flops(arch, moe.expert_ffn, hidden=moe.expert_hidden)),
        FlopTerm("shared_experts", ffn_flops(arch, moe.shared_width) + gate),
    )


@lru_cache(maxsize=2048)
def forward_terms(arch: Architecture, *, absorbed: bool = False) -> tuple[FlopTerm, ...]:
    """Every matrix product of the served model; `absorbed` counts latent attention on its compressed cache (decode)."""
    terms = [
        *_attention_terms(arch, absorbed=absorbed),
        FlopTerm("ffn", arch.dense_layer_count * ffn_flops(arch, arch.ffn)),
    ]
    terms += (replace(term, fixed=arch.moe_layer_count * term.fixed) for term in moe_terms(arch))
    if arch.blocks:
        terms.append(_block_term(arch))
    terms += _edge_terms(arch)
    return tuple(terms)


def mtp_term(arch: Architecture) -> FlopTerm:
    """Multi-token prediction, trained only: a 2h → h projection, one layer and the head for each depth."""
    shape = attention_shape(arch)
    block = sum(term.fixed for term in moe_terms(arch)) or ffn_flops(arch, arch.ffn)
    fixed = shape.qkv + shape.output + block + 4.0 * arch.hidden**2 + 2.0 * arch.hidden * arch.vocab
    per_key = shape.score_per_key + shape.value_per_key
    return FlopTerm("mtp", fixed=arch.mtp_layers * fixed, per_key=arch.mtp_layers * per_key)


def _latent_attention(arch: Architecture, mla: MLA, *, absorbed: bool) -> AttentionShape:
    """DeepSeek-V2 (arXiv 2405.04434, section 2.1 and appendix C).

    Absorbed, the up-projection of keys is applied to the query and that of values to the result: the same weight
    products per token, but scores run over rank + rope dimensions and values over the rank.
    """
    queries = arch.heads * (mla.nope_head_dim + mla.rope_head_dim)
    query = arch.hidden * queries
    if mla.query_rank:
        query = mla.query_rank * (arch.hidden + queries)
    down = arch.hidden * (mla.kv_rank + mla.rope_head_dim)
    up = mla.kv_rank * arch.heads * (mla.nope_head_dim + mla.value_head_dim)
    score = arch.heads * (mla.kv_rank + mla.rope_head_dim) if absorbed else queries
    value = arch.heads * (mla.kv_rank if absorbed else mla.value_head_dim)
    output = arch.heads * mla.value_head_dim * arch.hidden
    return AttentionShape(2.0 * (query + down + up), 2.0 * score, 2.0 * value, 2.0 * output)


def _block_term(arch: Architecture) -> FlopTerm:
    """All blocks together: weights and recurrence are fixed, keys count within each block's own window and stride."""
    fixed = sum(block.layers * (2.0 * block.weights + block.flops_per_token) for block in arch.blocks)
    keyed = [(block.window, block.layers * block.flops_per_key / block.stride) for block in arch.blocks]
    unbounded = sum(flops for window, flops in keyed if not window)
    return FlopTerm("blocks", fixed, per_key=unbounded, reaches=tuple(each for each in keyed if each[0] and each[1]))


def _attention_terms(arch: Architecture, *, absorbed: bool) -> Iterator[FlopTerm]:
    shape = attention_shape(arch, absorbed=absorbed)
    full, sliding, layers = arch.full_attention_layers, arch.sliding_layers, arch.attention_layer_count
    yield FlopTerm("qkv", layers * shape.qkv)
    yield FlopTerm("scores", per_key=full * shape.score_per_key, per_window_key=sliding * shape.score_per_key)
    yield FlopTerm("values", per_key=full * shape.value_per_key, per_window_key=sliding * shape.value_per_key)
    yield FlopTerm("output", layers * shape.output)


def _edge_terms(arch: Architecture) -> tuple[FlopTerm, ...]:
    if arch.family is Family.VISION:
        return _vision_edges(arch)
    if arch.family is Family.DIFFUSION:
        return _diffusion_edges(arch)
    head = FlopTerm("head", 2.0 * arch.hidden * arch.vocab if arch.lm_head else 0.0)
    if not arch.pooler:
        return (head,)
    return head, FlopTerm("pooler", per_sequence=2.0 * arch.hidden**2)


def _vision_edges(arch: Architecture) -> tuple[FlopTerm, ...]:
    """Every token but the class token comes from a patch; the head reads the class token (arXiv 2010.11929)."""
    patch = 2.0 * arch.input_features * arch.hidden
    classes = 2.0 * arch.hidden * arch.vocab
    return FlopTerm("patch_embedding", fixed=patch, per_sequence=-patch), FlopTerm("head", per_sequence=classes)


def _diffusion_edges(arch: Architecture) -> tuple[FlopTerm, ...]:
    """DiT (arXiv 2212.09748): adaLN-Zero modulation per image, noise and variance out of the last layer."""
    hidden = arch.hidden
    return (
        FlopTerm("patch_embedding", 2.0 * arch.input_features * hidden),
        FlopTerm("timestep", per_sequence=2.0 * (TIMESTEP_FEATURES * hidden + hidden**2)),
        FlopTerm("modulation", per_sequence=2.0 * hidden**2 * (6 * arch.layers + 2)),
        FlopTerm("head", 2.0 * hidden * 2 * arch.input_features),
    )
