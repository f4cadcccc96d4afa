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
    layers: int | None = None
    """How many layers hold experts, where `dense_layers` and `every` do not say it; None where they do."""
    expert_hidden: int = 0
    """Width that the routed experts read and write behind a shared projection (latent experts); 0 means hidden."""
    router_bias: bool = False
    shared_gate: bool = False
    """A scalar gate on the shared experts' output (Qwen1.5-MoE, Qwen2-MoE)."""

    @property
    def shared_width(self) -> int:
        """Width of all shared experts together, 0 where there are none."""
        return self.shared_ffn or self.shared_experts * self.expert_ffn


@dataclass(frozen=True, slots=True)
class Block:
    """What `layers` layers hold beside the declared attention and feed-forward, or instead of them.

    A state-space mixer, linear attention, an indexer, attention of another width. Counts are those of one layer.
    """

    name: str
    layers: int
    weights: int = 0
    """Values in matrices that every token meets: 2 FLOPs each."""
    vectors: int = 0
    """All other values: norms, biases, convolution, decay."""
    flops_per_token: int = 0
    """Forward FLOPs per token beside the weights: the recurrence."""
    flops_per_key: int = 0
    """Forward FLOPs for each key that a token attends to."""
    window: int = 0
    """Tokens that it looks back; 0 is all of them."""
    stride: int = 1
    """Tokens that one key stands for (compressed attention)."""
    cache_values: int = 0
    """Values kept for each key of a sequence."""
    state_values: int = 0
    """Values kept for each sequence, however long."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Dimensions of one model.

    `window`: sliding-window length in tokens (0 = full attention); `window_every`: of each group of so many layers
    one is full and the others slide (1 = every layer slides, 0 with window 0 = none). Where layers follow no such
    rule, `full_layers` counts those that attend fully, `attention_layers` those that hold the declared attention at
    all, `ffn_layers` those that hold a feed-forward block; None means by the rule, or every layer.
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
    lm_head: bool = True
    """An output projection over the vocabulary; embedding models and classifiers have none."""
    written_activation: bool = False
    """The activation is written in Python, one kernel an operation, where no compiler joins them (`gelu_new`)."""
    output_gate: bool = False
    """Queries come with a gate of the same width on the attention's output (Qwen3-Next)."""
    sparse_attention: bool = False
    """`window` counts keys that each token picks from the whole context, and all of them stay cached (DSA)."""
    attention_layers: int | None = None
    full_layers: int | None = None
    ffn_layers: int | None = None
    blocks: tuple[Block, ...] = ()

    @property
    def attention_layer_count(self) -> int:
        """Layers with the declared attention. Nemotron-H-56B (118 layers, most of them Mamba-2 or feed-forward): 10."""
        return self.layers if self.attention_layers is None else self.attention_layers

    @property
    def ffn_layer_count(self) -> int:
        """Layers with a feed-forward block, dense or of experts."""
        return self.layers if self.ffn_layers is None else self.ffn_layers

    @property
    def moe_layer_count(self) -> int:
        """Layers with experts: every `every`-th one after the leading dense layers, unless they are counted.

        DeepSeek-V3 (61 layers, 3 dense): 58. Llama-4-Maverick (48 layers, every second one): 24.
        """
        if self.moe is None:
            return 0
        by_rule = (self.ffn_layer_count - self.moe.dense_layers) // self.moe.every
        return by_rule if self.moe.layers is None else self.moe.layers

    @property
    def dense_layer_count(self) -> int:
        return self.ffn_layer_count - self.moe_layer_count

    @property
    def full_attention_layers(self) -> int:
        """Layers that see the whole context. Gemma-3-27B (62 layers, one in six): 10."""
        if self.window == 0:
            return self.attention_layer_count
        if self.full_layers is not None:
            return self.full_layers
        return 0 if self.window_every <= 1 else self.attention_layer_count // self.window_every

    @property
    def sliding_layers(self) -> int:
        return self.attention_layer_count - self.full_attention_layers

    @property
    def uniform(self) -> bool:
        """Whether every layer holds the declared attention and a feed-forward block, and nothing else."""
        return not self.blocks and self.attention_layer_count == self.layers == self.ffn_layer_count

    @property
    def causal(self) -> bool:
        return self.family is Family.DECODER
