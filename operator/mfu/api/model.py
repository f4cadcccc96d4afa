"""`spec.model`: which model it is, by preset or by explicit dimensions, and how that becomes an Architecture."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mfu.api.architecture_rules import ARCHITECTURE_RULES
from mfu.api.base import Resource, ShortText
from mfu.api.cel import validations
from mfu.api.rules import MODEL_RULES
from mfu.workload.architecture import MLA, Architecture, AttentionKind, Block, Family, MoE

Dimension = Annotated[int, Field(ge=1, le=16_777_216)]
OptionalDimension = Annotated[int, Field(ge=0, le=16_777_216)]
Layers = Annotated[int, Field(ge=1, le=4096)]
Heads = Annotated[int, Field(ge=1, le=4096)]
Experts = Annotated[int, Field(ge=1, le=65_536)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class MLADimensions(Resource):
    """Multi-head latent attention (DeepSeek): ranks and head widths, in values."""

    query_rank: OptionalDimension = 0
    """Rank of the query compression (q_lora_rank); 0 means that queries are not compressed."""
    kv_rank: Dimension
    """Rank of the key-value compression (kv_lora_rank)."""
    rope_head_dim: Dimension
    """Width per head that carries the rotary position (qk_rope_head_dim)."""
    nope_head_dim: Dimension
    """Width per head without position (qk_nope_head_dim)."""
    value_head_dim: Dimension
    """Width per head of the values (v_head_dim)."""


class MoEDimensions(Resource):
    """Mixture of experts."""

    experts: Experts
    """Routed experts per MoE layer."""
    top_k: Experts
    """Routed experts that each token visits; at most `experts`."""
    expert_ffn: Dimension
    """Inner width of one routed expert."""
    shared_experts: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Experts that every token visits."""
    shared_ffn: OptionalDimension = 0
    """Inner width of all shared experts together; 0 means sharedExperts · expertFFN."""
    dense_layers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Leading layers that stay dense, with the width `ffn`."""
    every: Annotated[int, Field(ge=1, le=4096)] = 1
    """One MoE layer in every so many layers after the dense ones."""
    router_bias: bool = False
    """Whether the router carries a bias per expert."""
    shared_gate: bool = False
    """Whether the shared expert is gated by a learned scalar per token (Qwen2-MoE)."""
    layers: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Layers that hold experts, where denseLayers and every do not say it."""
    expert_hidden: OptionalDimension = 0
    """Width that the routed experts read behind a shared projection (latent experts); 0 means hidden."""


class BlockDimensions(Resource):
    """What some layers hold beside the declared attention and feed-forward, or instead of them. Counts of one layer."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What it is, such as Mamba-2, gated delta net or indexer."""
    layers: Layers
    """Layers that hold it."""
    weights: Count = 0
    """Values in matrices that every token meets (2 FLOPs each)."""
    vectors: Count = 0
    """All other values: norms, biases, convolution, decay."""
    flops_per_token: Count = 0
    """Forward FLOPs per token beside the weights: the recurrence."""
    flops_per_key: Count = 0
    """Forward FLOPs for each key that a token attends to."""
    window: OptionalDimension = 0
    """Tokens that it looks back; 0 is all of them."""
    stride: Annotated[int, Field(ge=1, le=16_777_216)] = 1
    """Tokens that one key stands for (compressed attention)."""
    cache_values: Count = 0
    """Values kept for each key of a sequence."""
    state_values: Count = 0
    """Values kept for each sequence, however long."""


class ArchitectureDimensions(Resource):
    """Explicit dimensions of a transformer; `mfu init` expands a Hugging Face config.json into them."""

    model_config = validations(*ARCHITECTURE_RULES)

    family: Family = Family.DECODER
    """Decoder (causal language model), Encoder (BERT, embeddings), Vision (ViT) or Diffusion (DiT)."""
    layers: Layers
    """Transformer layers."""
    hidden: Dimension
    """Width of the residual stream, in values."""
    heads: Heads
    """Attention (query) heads per layer."""
    kv_heads: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Key-value heads per layer: as `heads` for MHA, fewer for GQA, 1 for MQA. Absent means as `heads`."""
    head_dim: Dimension | None = None
    """Width of one head, in values. Absent means hidden / heads."""
    ffn: OptionalDimension
    """Inner width of the feed-forward block, in values; 0 only where every layer is MoE."""
    vocab: OptionalDimension
    """Vocabulary entries; for Vision and Diffusion the number of classes."""
    gated_ffn: bool = True
    """Gated feed-forward (SwiGLU, GeGLU: three matrices) rather than plain (two)."""
    tied_embeddings: bool = False
    """Input embedding and output head share one matrix."""
    attention: AttentionKind = AttentionKind.FULL
    """Full (MHA, GQA, MQA) or MLA."""
    mla: MLADimensions | None = None
    """Dimensions of multi-head latent attention; with attention: MLA only."""
    moe: MoEDimensions | None = None
    """Mixture of experts; absent for a dense model."""
    window: OptionalDimension = 0
    """Sliding-window length in tokens; 0 is full attention."""
    window_every: Layers = 1
    """Of each group of so many layers one attends fully and the others slide; 1 means that every layer slides."""
    qkv_bias: bool = False
    """Bias on the query, key and value projections."""
    output_bias: bool = False
    """Bias on the attention output projection."""
    ffn_bias: bool = False
    """Bias on the feed-forward matrices."""
    qk_norm: bool = False
    """Normalisation of queries and keys per head."""
    norm_bias: bool = False
    """LayerNorm with bias rather than RMSNorm."""
    norms_per_layer: Annotated[int, Field(ge=0, le=8)] = 2
    """Normalisations per layer."""
    learned_positions: OptionalDimension = 0
    """Learned position embeddings; 0 for rotary or none."""
    token_types: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Token-type embeddings (BERT); 0 for none."""
    input_features: OptionalDimension = 0
    """Values of one patch (channels · patch²), for Vision and Diffusion."""
    parallel_block: bool = False
    """Attention and feed-forward read the same input (GPT-NeoX, PaLM)."""
    mtp_layers: Annotated[int, Field(ge=0, le=64)] = 0
    """Multi-token-prediction layers trained beside the model (DeepSeek-V3)."""
    attention_sinks: bool = False
    """One learned sink logit per head and layer (gpt-oss)."""
    embedding_norm: bool = False
    """Normalisation of the embeddings before the first layer (BLOOM, BERT)."""
    final_norm: bool = True
    """Normalisation after the last layer."""
    pooler: bool = False
    """Dense layer on the first token (BERT)."""
    lm_head: bool = True
    """Output projection over the vocabulary; embedding models and classifiers have none."""
    written_activation: bool = False
    """The activation is written in Python, one kernel an operation (transformers' gelu_new)."""
    output_gate: bool = False
    """Queries come with a gate of the same width on the attention's output (Qwen3-Next)."""
    sparse_attention: bool = False
    """`window` counts keys that each token picks from the whole context, and all of them stay cached (DeepSeek)."""
    attention_layers: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Layers that hold the declared attention. Absent means all."""
    full_layers: Annotated[int, Field(ge=0, le=4096)] | None = None
    """With a window: layers that attend fully, where windowEvery does not say it."""
    ffn_layers: Annotated[int, Field(ge=0, le=4096)] | None = None
    """Layers that hold a feed-forward block, dense or of experts. Absent means all."""
    blocks: Annotated[tuple[BlockDimensions, ...], Field(max_length=16)] = ()
    """State-space mixers, linear attention, indexers and what else only some layers hold."""


class Model(Resource):
    """Which model runs: a preset or explicit dimensions, never both."""

    model_config = validations(*MODEL_RULES)

    preset: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Name of a model known to the operator, such as llama-3.1-70b; `mfu presets` lists them."""
    architecture: ArchitectureDimensions | None = None
    """Dimensions of a model that is no preset."""
    name: Annotated[str, Field(max_length=128)] | None = None
    """Display name for explicit dimensions."""
    version: ShortText = ""
    """Version of the model's code and weights; MFU history is kept per version."""

    @property
    def display_name(self) -> str:
        return self.preset or self.name or "custom"


def architecture_of(dimensions: ArchitectureDimensions, name: str) -> Architecture:
    """Dimensions as the value that the workload room computes with; derived defaults are filled in."""
    given = dict(dimensions)
    given["kv_heads"] = dimensions.kv_heads or dimensions.heads
    given["head_dim"] = dimensions.head_dim or dimensions.hidden // dimensions.heads
    given["mla"] = None if dimensions.mla is None else MLA(**dict(dimensions.mla))
    given["moe"] = None if dimensions.moe is None else MoE(**dict(dimensions.moe))
    given["blocks"] = tuple(Block(**dict(each)) for each in dimensions.blocks)
    return Architecture(name=name, **given)
