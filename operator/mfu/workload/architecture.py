"""The shape of a model. One frozen value serves presets, explicit dimensions and Hugging Face configs alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    DECODER = "Decoder"
    """Causal language model, dense or mixture of experts."""
    ENCODER = "Encoder"
    """Bidirectional transformer (BERT, embedding models)."""
    VISION = "Vision"
    """ViT: patches in, classes out."""
    DIFFUSION = "Diffusion"
    """DiT: adaLN-modulated transformer over latent patches."""


class AttentionKind(StrEnum):
    FULL = "Full"
    """MHA, MQA and GQA, told apart by kv_heads."""
    MLA = "MLA"
    """Multi-head latent attention (DeepSeek)."""


@dataclass(frozen=True, slots=True)
class MLA:
    """Ranks and head widths of multi-head latent attention; `query_rank` 0 means no query compression."""

    query_rank: int
    kv_rank: int
    rope_head_dim: int
    nope_head_dim: int
    value_head_dim: int


@dataclass(frozen=True, slots=True)
class MoE:
    """Mixture of experts. `dense_layers` leading layers stay dense with `Architecture.ffn`."""

    experts: int
    top_k: int
    expert_ffn: int
    shared_experts: int = 0
    shared_ffn: int = 0
    """Width of all shared experts together; 0 means shared_experts · expert_ffn."""
    dense_layers: int = 0
    every: int = 1
    """An MoE layer every `every` layers (after dense_layers), the others dense."""
    router_bias: bool = False
    shared_gate: bool = False
    """A scalar gate on the shared experts' output (Qwen1.5-MoE, Qwen2-MoE)."""

    @property
    def shared_width(self) -> int:
        """Width of all shared experts together, 0 where there are none."""
        return self.shared_ffn or self.shared_experts * self.expert_ffn


@dataclass(frozen=True, slots=True)
class Architecture:
    """Dimensions of one model.

    `window`: sliding-window length in tokens (0 = full attention); `window_every`: of each group of so many layers
    one is full and the others slide (1 = every layer slides, 0 with window 0 = none).
    `input_features`: for vision and diffusion, values of one patch (channels · patch²); vocabulary is then the classes.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    family: Family = Family.DECODER
    gated_ffn: bool = True
    tied_embeddings: bool = False
    attention: AttentionKind = AttentionKind.FULL
    mla: MLA | None = None
    moe: MoE | None = None
    window: int = 0
    window_every: int = 1
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    qk_norm: bool = False
    norm_bias: bool = False
    norms_per_layer: int = 2
    learned_positions: int = 0
    token_types: int = 0
    input_features: int = 0
    parallel_block: bool = False
    mtp_layers: int = 0
    """Multi-token-prediction layers trained beside the model (DeepSeek-V3)."""
    attention_sinks: bool = False
    """One learned sink logit per head and layer (gpt-oss)."""
    embedding_norm: bool = False
    """A norm on the embeddings before the first layer (BLOOM, BERT)."""
    final_norm: bool = True
    pooler: bool = False
    """A dense layer on the first token (BERT)."""

    @property
    def moe_layer_count(self) -> int:
        """Layers with experts: every `every`-th one after the leading dense layers.

        DeepSeek-V3 (61 layers, 3 dense): 58. Llama-4-Maverick (48 layers, every second one): 24.
        """
        return 0 if self.moe is None else (self.layers - self.moe.dense_layers) // self.moe.every

    @property
    def dense_layer_count(self) -> int:
        return self.layers - self.moe_layer_count

    @property
    def full_attention_layers(self) -> int:
        """Layers that see the whole context. Gemma-3-27B (62 layers, one in six): 10."""
        if self.window == 0:
            return self.layers
        return 0 if self.window_every <= 1 else self.layers // self.window_every

    @property
    def sliding_layers(self) -> int:
        return self.layers - self.full_attention_layers

    @property
    def causal(self) -> bool:
        return self.family is Family.DECODER
