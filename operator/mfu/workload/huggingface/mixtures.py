"""Mixtures whose layers, widths or shared experts are their own: gpt-oss, Llama 4, GLM, Hunyuan, MiniMax and others."""

from __future__ import annotations

from dataclasses import replace

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import mixture
from mfu.workload.huggingface.decoder import Builder, llama
from mfu.workload.huggingface.layers import late_sliding, sliding
from mfu.workload.huggingface.reader import ModelConfig


def gpt_oss(config: ModelConfig) -> Architecture:
    bias = config.flag("attention_bias", default=True)
    base = replace(llama(config), qkv_bias=bias, output_bias=bias, ffn_bias=True, attention_sinks=True)
    found = mixture.everywhere(config, sliding(config, base, every=2), width=base.ffn)
    return replace(found, moe=replace(mixture.experts(config, width=base.ffn), router_bias=True))


_LLAMA4_KEYS = (
    "attention_chunk_size",
    "layer_types",
    "no_rope_layers",
    "no_rope_layer_interval",
    "use_qk_norm",
    "interleave_moe_layer_step",
)


def llama4(config: ModelConfig) -> Architecture:
    """Chunked attention is taken as full: the two agree up to `attention_chunk_size` tokens."""
    config.read.update(_LLAMA4_KEYS)
    base = llama(config)
    moe = replace(mixture.experts(config, width=base.ffn), shared_experts=1)
    dense = config.integer("intermediate_size_mlp", default=2 * base.ffn)
    return mixture.on_layers(replace(base, ffn=dense), moe, _llama4_sparse(config, base.layers))


def _llama4_sparse(config: ModelConfig, layers: int) -> tuple[bool, ...]:
    listed = config.sequence("moe_layers")
    if listed:
        return tuple(layer in listed for layer in range(layers))
    step = config.integer("interleave_moe_layer_step", default=1)
    if step < 1:
        raise UnsupportedConfig("interleave_moe_layer_step", f"is {step}", "set it to at least 1")
    return tuple((layer + 1) % step == 0 for layer in range(layers))


def grouped_mixture(config: ModelConfig) -> Architecture:
    """Grouped queries with fine-grained experts: GLM-4.5, dots.llm1, Ling, Ernie 4.5, Solar, LongCat's relatives."""
    bias = config.flag("attention_bias", "use_qkv_bias", "use_bias", default=False)
    base = replace(
        llama(config),
        qkv_bias=bias,
        output_bias=config.flag("use_bias", default=False),
        qk_norm=config.flag("use_qk_norm", default=config.model_type == "dots1"),
        mtp_layers=config.integer("num_nextn_predict_layers", default=0),
    )
    if config.model_type == "dots1":
        base = late_sliding(config, base)
    return mixture.grained(config, base)


def hunyuan_moe(config: ModelConfig) -> Architecture:
    base = replace(llama(config), qk_norm=config.flag("use_qk_norm", default=True))
    width = config.value("moe_intermediate_size")
    width = width[0] if isinstance(width, list) and width else width
    share = config.integer("cla_share_factor", default=1) if config.flag("use_cla", default=False) else 1
    if share > 1:
        raise UnsupportedConfig("cla_share_factor", "shares key-value heads between layers", "give model.architecture")
    config.flag("use_mixed_mlp_moe", default=False)
    return mixture.everywhere(config, base, width=width or base.ffn)


def minimax_m2(config: ModelConfig) -> Architecture:
    """All layers full attention: `attn_type_list` of ones."""
    kinds = set(config.sequence("attn_type_list"))
    if kinds - {1}:
        raise UnsupportedConfig("attn_type_list", "has linear-attention layers", "give model.architecture")
    for key in ("use_qk_norm", "qk_norm_type", "shared_moe_mode"):
        config.value(key)
    base = replace(llama(config), qk_norm=True)
    found = mixture.everywhere(config, base, width=base.ffn)
    mtp = config.flag("use_mtp", default=False)
    layers = config.integer("num_mtp_modules", default=0) * config.integer("mtp_transformer_layers", default=1)
    moe = replace(mixture.experts(config, width=base.ffn), router_bias=config.flag("use_routing_bias", default=True))
    return replace(found, moe=replace(moe, shared_ffn=_m2_shared(config)), mtp_layers=layers if mtp else 0)


def _m2_shared(config: ModelConfig) -> int:
    return config.integer("shared_intermediate_size", default=0)


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("llama4", "llama4_text"), llama4),
    **dict.fromkeys(("glm4_moe", "glm4v_moe_text", "dots1", "ernie4_5_moe", "solar_open"), grouped_mixture),
    **dict.fromkeys(("bailing_moe", "bailing_moe_v2"), grouped_mixture),
    "gpt_oss": gpt_oss,
    "hunyuan_v1_moe": hunyuan_moe,
    "minimax_m2": minimax_m2,
}
