"""Exact parameter counts: matrices, biases, norms, embeddings, experts. Integers, no rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mfu.workload.architecture import MLA, Architecture, AttentionKind, Family, MoE

TIMESTEP_FEATURES = 256
"""Width of the sinusoidal timestep embedding in DiT (facebookresearch/DiT models.py, frequency_embedding_size)."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of one model, per layer where the name says so, else of the whole model."""

    embedding: int
    """Input embedding with learned positions, token types and its norm; patch and condition embedding for images."""
    head: int
    """Output projection; 0 where it is tied to the embedding."""
    attention_per_layer: int
    norms_per_layer: int
    modulation_per_layer: int
    ffn_dense: int
    """Feed-forward block of one dense layer."""
    expert: int
    """One routed expert."""
    experts: int
    top_k: int
    shared_experts_per_layer: int
    router_per_layer: int
    """Router of one MoE layer, with the projections around experts of a narrower width."""
    layers: int
    attention_layers: int
    dense_layers: int
    moe_layers: int
    blocks: int
    """All blocks of all layers together."""
    final: int
    """Final norm, pooler and final modulation."""
    mtp: int
    """Multi-token-prediction layers: trained, not part of the published total and not served."""

    @property
    def total(self) -> int:
        """Everything that is served. `count(preset("llama-3.1-8b")).total == 8_030_261_248`."""
        return self._total_with(self.experts)

    @property
    def active(self) -> int:
        """What one token touches: `total` less the experts it is not routed to (Mixtral-8x7B: 12.88 billion)."""
        return self._total_with(self.top_k)

    @property
    def trained(self) -> int:
        """`total` and the multi-token-prediction layers."""
        return self.total + self.mtp

    @property
    def by_group(self) -> Mapping[str, int]:
        """The same total by group; the values sum to `total`."""
        return {
            "embedding": self.embedding,
            "attention": self.attention_layers * self.attention_per_layer,
            "norms": self.layers * self.norms_per_layer,
            "modulation": self.layers * self.modulation_per_layer,
            "ffn": self.dense_layers * self.ffn_dense,
            "experts": self.moe_layers * self.experts * self.expert,
            "sharedExperts": self.moe_layers * self.shared_experts_per_layer,
            "router": self.moe_layers * self.router_per_layer,
            "blocks": self.blocks,
            "final": self.final,
            "head": self.head,
        }

    def _total_with(self, experts: int) -> int:
        mixture = experts * self.expert + self.shared_experts_per_layer + self.router_per_layer
        layers = self.layers * (self.norms_per_layer + self.modulation_per_layer)
        layers += self.attention_layers * self.attention_per_layer + self.blocks
        layers += self.dense_layers * self.ffn_dense + self.moe_layers * mixture
        return self.embedding + layers + self.final + self.head


@lru_cache(maxsize=4096)
def count(arch: Architecture) -> Parameters:
    """Count the parameters of a model.

    `count(preset("mixtral-8x7b")).total == 46_702_792_704` (the checkpoint's own count).
    """
    moe = arch.moe
    return Parameters(
        embedding=_embedding(arch),
        head=_head(arch),
        attention_per_layer=_attention(arch),
        norms_per_layer=arch.norms_per_layer * _norm(arch),
        modulation_per_layer=_linear(arch.hidden, 6 * arch.hidden, True) if arch.family is Family.DIFFUSION else 0,
        ffn_dense=_ffn(arch, arch.ffn),
        expert=_expert(arch, moe) if moe else 0,
        experts=moe.experts if moe else 0,
        top_k=moe.top_k if moe else 0,
        shared_experts_per_layer=_shared(arch, moe) if moe else 0,
        router_per_layer=_router(arch, moe) if moe else 0,
        layers=arch.layers,
        attention_layers=arch.attention_layer_count,
        dense_layers=arch.dense_layer_count,
        moe_layers=arch.moe_layer_count,
        blocks=sum(block.layers * (block.weights + block.vectors) for block in arch.blocks),
        final=_final(arch),
        mtp=_mtp(arch),
    )


def _linear(inputs: int, outputs: int, bias: bool) -> int:
    return inputs * outputs + (outputs if bias else 0)


def _norm(arch: Architecture) -> int:
    return arch.hidden * (2 if arch.norm_bias else 1)


def _attention(arch: Architecture) -> int:
    if arch.attention is AttentionKind.MLA and arch.mla is not None:
        return _latent_attention(arch, arch.mla)
    queries, keys = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    gates = queries if arch.output_gate else 0
    projections = _linear(arch.hidden, queries + gates + 2 * keys, arch.qkv_bias)
    head_norms = 2 * arch.head_dim if arch.qk_norm else 0
    sinks = arch.heads if arch.attention_sinks else 0
    return projections + _linear(queries, arch.hidden, arch.output_bias) + head_norms + sinks


def _latent_attention(arch: Architecture, mla: MLA) -> int:
    """DeepSeek-V2 (arXiv 2405.04434, section 2.1): both compressions carry a norm of their rank."""
    queries = arch.heads * (mla.nope_head_dim + mla.rope_head_dim)
    query = arch.hidden * queries
    if mla.query_rank:
        query = arch.hidden * mla.query_rank + mla.query_rank + mla.query_rank * queries
    down = arch.hidden * (mla.kv_rank + mla.rope_head_dim) + mla.kv_rank
    up = mla.kv_rank * arch.heads * (mla.nope_head_dim + mla.value_head_dim)
    return query + down + up + arch.heads * mla.value_head_dim * arch.hidden


def _ffn(arch: Architecture, width: int, *, hidden: int = 0) -> int:
    outer = hidden or arch.hidden
    up = _linear(outer, width, arch.ffn_bias)
    return (2 if arch.gated_ffn else 1) * up + _linear(width, outer, arch.ffn_bias)


def _expert(arch: Architecture, moe: MoE) -> int:
    return _ffn(arch, moe.expert_ffn, hidden=moe.expert_hidden)


def _router(arch: Architecture, moe: MoE) -> int:
    return _linear(arch.hidden, moe.experts, moe.router_bias) + 2 * arch.hidden * moe.expert_hidden


def _shared(arch: Architecture, moe: MoE) -> int:
    if not moe.shared_width:
        return 0
    return _ffn(arch, moe.shared_width) + (arch.hidden if moe.shared_gate else 0)


def _embedding(arch: Architecture) -> int:
    positions = arch.learned_positions * arch.hidden
    if arch.family is Family.VISION:
        return _linear(arch.input_features, arch.hidden, True) + arch.hidden + positions
    if arch.family is Family.DIFFUSION:
        timestep = _linear(TIMESTEP_FEATURES, arch.hidden, True) + _linear(arch.hidden, arch.hidden, True)
        labels = (arch.vocab + 1) * arch.hidden
        return _linear(arch.input_features, arch.hidden, True) + timestep + labels + positions
    norm = _norm(arch) if arch.embedding_norm else 0
    return (arch.vocab + arch.token_types) * arch.hidden + positions + norm


def _head(arch: Architecture) -> int:
    if arch.family is Family.VISION:
        return _linear(arch.hidden, arch.vocab, True)
    if arch.family is Family.DIFFUSION:
        return _linear(arch.hidden, 2 * arch.input_features, True)
    return 0 if arch.tied_embeddings or not arch.lm_head else arch.vocab * arch.hidden


def _final(arch: Architecture) -> int:
    norm = _norm(arch) if arch.final_norm else 0
    pooler = _linear(arch.hidden, arch.hidden, True) if arch.pooler else 0
    modulation = _linear(arch.hidden, 2 * arch.hidden, True) if arch.family is Family.DIFFUSION else 0
    return norm + pooler + modulation


def _mtp(arch: Architecture) -> int:
    """DeepSeek-V3 (arXiv 2412.19437, section 2.2): per depth two norms, a 2h → h projection, one layer and its norm;

    embedding and head are shared with the model.
    """
    if not arch.mtp_layers:
        return 0
    moe = arch.moe
    ffn = _ffn(arch, arch.ffn)
    if moe is not None:
        ffn = moe.experts * _expert(arch, moe) + _shared(arch, moe) + _router(arch, moe)
    layer = _attention(arch) + arch.norms_per_layer * _norm(arch) + ffn
    return arch.mtp_layers * (layer + 3 * _norm(arch) + 2 * arch.hidden * arch.hidden)
