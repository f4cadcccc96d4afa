"""Llama-shaped decoders: Llama, Mistral, Mixtral, Qwen, Gemma, Phi-3, StarCoder2, Nemotron, DeepSeek, gpt-oss.

Defaults are those of the configuration classes of Hugging Face transformers, because config.json omits them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mfu.workload.architecture import MLA, Architecture, AttentionKind, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface_reader import Config

Builder = Callable[[Config], Architecture]


def llama(config: Config) -> Architecture:
    """Pre-norm, gated feed-forward, grouped queries, no biases unless the config says so."""
    heads, hidden = config.size("num_attention_heads"), config.size("hidden_size")
    attention_bias = config.flag("attention_bias", default=False)
    return Architecture(
        name=config.text("_name_or_path", default=config.model_type),
        layers=config.integer("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", default=heads),
        head_dim=config.integer("head_dim", default=hidden // heads),
        ffn=config.integer("intermediate_size"),
        vocab=config.integer("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        qkv_bias=attention_bias,
        output_bias=attention_bias,
        ffn_bias=config.flag("mlp_bias", default=False),
    )


def mistral(config: Config) -> Architecture:
    return _sliding(config, llama(config), every=1)


def mixtral(config: Config) -> Architecture:
    base = mistral(config)
    return replace(base, ffn=0, moe=_experts(config, width=base.ffn))


def qwen2(config: Config) -> Architecture:
    base = replace(llama(config), qkv_bias=True, output_bias=False)
    return _sliding(config, base, every=1) if config.flag("use_sliding_window", default=False) else base


def qwen2_moe(config: Config) -> Architecture:
    shared = config.integer("shared_expert_intermediate_size")
    return _qwen_moe(config, qwen2(config), shared=shared)


def qwen3(config: Config) -> Architecture:
    base = replace(llama(config), qk_norm=True, head_dim=config.integer("head_dim", default=128))
    return _sliding(config, base, every=1) if config.flag("use_sliding_window", default=False) else base


def qwen3_moe(config: Config) -> Architecture:
    return _qwen_moe(config, qwen3(config), shared=0)


def gemma(config: Config) -> Architecture:
    head_dim = config.integer("head_dim", default=256)
    return replace(llama(config), head_dim=head_dim, tied_embeddings=config.flag("tie_word_embeddings", default=True))


def gemma2(config: Config) -> Architecture:
    return _sliding(config, replace(gemma(config), norms_per_layer=4), every=2)


def gemma3(config: Config) -> Architecture:
    every = config.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    values = {"vocab_size": 262208} | dict(config.values)
    base = replace(gemma(Config(values, config.model_type)), norms_per_layer=4, qk_norm=True)
    return _sliding(config, base, every=every)


def starcoder2(config: Config) -> Architecture:
    bias = config.flag("use_bias", default=True)
    tied = config.flag("tie_word_embeddings", default=True)
    base = replace(llama(config), gated_ffn=False, tied_embeddings=tied, norm_bias=True)
    return _sliding(config, replace(base, qkv_bias=bias, output_bias=bias, ffn_bias=bias), every=1)


def nemotron(config: Config) -> Architecture:
    return replace(llama(config), gated_ffn=False, norm_bias=True)


def gpt_oss(config: Config) -> Architecture:
    bias = config.flag("attention_bias", default=True)
    base = replace(llama(config), qkv_bias=bias, output_bias=bias, ffn_bias=True, attention_sinks=True)
    base = _sliding(config, base, every=2)
    return replace(base, ffn=0, moe=replace(_experts(config, width=base.ffn), router_bias=True))


def llama4(config: Config) -> Architecture:
    """Chunked attention is taken as full: the two agree up to `attention_chunk_size` tokens."""
    base = llama(config)
    experts = replace(_experts(config, width=base.ffn), shared_experts=1)
    every = config.integer("interleave_moe_layer_step", default=1)
    dense = config.integer("intermediate_size_mlp", default=2 * base.ffn)
    return replace(base, ffn=dense, moe=replace(experts, every=every))


def deepseek(config: Config) -> Architecture:
    """DeepSeek-V2 and V3: latent attention, fine-grained experts behind leading dense layers."""
    base = llama(config)
    mla = MLA(
        query_rank=config.integer("q_lora_rank", default=0),
        kv_rank=config.integer("kv_lora_rank"),
        rope_head_dim=config.integer("qk_rope_head_dim"),
        nope_head_dim=config.integer("qk_nope_head_dim"),
        value_head_dim=config.integer("v_head_dim"),
    )
    moe = MoE(
        experts=config.integer("n_routed_experts"),
        top_k=config.integer("num_experts_per_tok"),
        expert_ffn=config.integer("moe_intermediate_size"),
        shared_experts=config.integer("n_shared_experts", default=0),
        dense_layers=config.integer("first_k_dense_replace", default=0),
        every=config.integer("moe_layer_freq", default=1),
        router_bias=config.text("topk_method") == "noaux_tc",
    )
    return replace(
        base,
        head_dim=mla.nope_head_dim + mla.rope_head_dim,
        kv_heads=base.heads,
        attention=AttentionKind.MLA,
        mla=mla,
        moe=moe,
        mtp_layers=config.integer("num_nextn_predict_layers", default=0),
    )


def _experts(config: Config, *, width: int) -> MoE:
    experts = config.integer("num_local_experts", "num_experts")
    return MoE(experts, config.integer("num_experts_per_tok", "experts_per_token"), width)


def _qwen_moe(config: Config, base: Architecture, *, shared: int) -> Architecture:
    dense = config.sequence("mlp_only_layers")
    if set(dense) != set(range(len(dense))):
        raise UnsupportedConfig("mlp_only_layers", f"is {dense}, not the leading layers", "give model.architecture")
    experts = _experts(config, width=config.integer("moe_intermediate_size"))
    every = config.integer("decoder_sparse_step", default=1)
    moe = replace(experts, dense_layers=len(dense), every=every, shared_ffn=shared, shared_gate=shared > 0)
    return replace(base, ffn=base.ffn if dense or every > 1 else 0, moe=moe)


def _sliding(config: Config, base: Architecture, *, every: int) -> Architecture:
    """Window of the sliding layers; `layer_types`, where given, says how many layers are full."""
    window = config.integer("sliding_window", default=0)
    kinds = config.sequence("layer_types")
    full = kinds.count("full_attention")
    if not window or (kinds and full == len(kinds)):
        return base
    if kinds:
        every = base.layers // full if full else 1
    found = replace(base, window=window, window_every=every)
    if kinds and found.full_attention_layers != full:
        raise UnsupportedConfig(
            "layer_types", f"has {full} full layers in no regular pattern", "give model.architecture"
        )
    return found


BUILDERS: dict[str, Builder] = {
    "llama": llama,
    "mistral": mistral,
    "ministral": mistral,
    "mixtral": mixtral,
    "qwen2": qwen2,
    "qwen2_moe": qwen2_moe,
    "qwen3": qwen3,
    "qwen3_moe": qwen3_moe,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "gemma3_text": gemma3,
    "phi3": mistral,
    "starcoder2": starcoder2,
    "nemotron": nemotron,
    "gpt_oss": gpt_oss,
    "llama4": llama4,
    "llama4_text": llama4,
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
}
