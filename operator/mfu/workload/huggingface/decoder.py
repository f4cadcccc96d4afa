"""Llama-shaped decoders: pre-norm, gated feed-forward, grouped queries; what a kind does otherwise is its function."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import mixture
from mfu.workload.huggingface.layers import late_sliding, sliding
from mfu.workload.huggingface.reader import ModelConfig

Builder = Callable[[ModelConfig], Architecture]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def name_of(config: ModelConfig) -> str:
    """The hub name that the config carries, never a path of its author; else the kind."""
    name = config.text("_name_or_path", "name_or_path")
    return name if _HUB_NAME.fullmatch(name) else config.model_type


def llama(config: ModelConfig) -> Architecture:
    """Pre-norm, gated feed-forward, grouped queries, no biases unless the config says so."""
    heads, hidden = config.size("num_attention_heads", "n_heads"), config.size("hidden_size", "d_model")
    attention_bias = config.flag("attention_bias", "use_bias", "bias", default=False)
    return Architecture(
        name=name_of(config),
        layers=config.size("num_hidden_layers", "num_layers", "n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", "num_attention_groups", default=heads),
        head_dim=config.integer("head_dim", "attention_head_dim", default=hidden // heads),
        ffn=config.integer("intermediate_size", "ffn_hidden_size", default=_without_dense(config)),
        vocab=config.integer("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", "tie_embedding", default=False),
        qkv_bias=attention_bias,
        output_bias=attention_bias,
        ffn_bias=config.flag("mlp_bias", "use_bias", default=False),
    )


def _without_dense(config: ModelConfig) -> int | None:
    """A mixture on every layer needs no dense width; where a layer is dense, the checks ask for it."""
    return 0 if config.value("moe_intermediate_size") is not None else None


def helium(config: ModelConfig) -> Architecture:
    """Its output projection is square: heads of another width than hidden over heads do not run."""
    base = llama(config)
    if base.heads * base.head_dim != base.hidden:
        problem = f"of {base.head_dim} and {base.heads} heads do not make {base.hidden}"
        raise UnsupportedConfig("head_dim", problem, "set it to hidden_size over num_attention_heads")
    return base


def mistral(config: ModelConfig) -> Architecture:
    return sliding(config, llama(config), every=1)


def mixtral(config: ModelConfig) -> Architecture:
    base = mistral(config)
    return mixture.everywhere(config, base, width=base.ffn)


def phimoe(config: ModelConfig) -> Architecture:
    return replace(mixtral(config), norm_bias=True)


def olmoe(config: ModelConfig) -> Architecture:
    base = llama(config)
    return mixture.everywhere(config, replace(base, qk_norm=True), width=base.ffn)


def granitemoe(config: ModelConfig) -> Architecture:
    base = llama(config)
    return mixture.everywhere(config, base, width=base.ffn)


def qwen1(config: ModelConfig) -> Architecture:
    """Qwen of 2023: `intermediate_size` counts both halves of the gated feed-forward."""
    base = llama(config)
    return replace(base, ffn=base.ffn // 2, qkv_bias=True, output_bias=False)


def qwen2(config: ModelConfig) -> Architecture:
    base = replace(llama(config), qkv_bias=config.flag("qkv_bias", default=True), output_bias=False)
    return replace(late_sliding(config, base), mtp_layers=config.integer("num_nextn_predict_layers", default=0))


def qwen2_moe(config: ModelConfig) -> Architecture:
    shared = config.integer("shared_expert_intermediate_size")
    return mixture.qwen(config, qwen2(config), shared=shared)


def qwen3(config: ModelConfig) -> Architecture:
    base = replace(llama(config), qk_norm=True, head_dim=config.integer("head_dim", default=128))
    return late_sliding(config, base)


def qwen3_moe(config: ModelConfig) -> Architecture:
    """Its class, unlike the dense one's, takes the head width from the width unless the file says."""
    base = qwen3(config)
    width = config.integer("head_dim", default=base.hidden // base.heads)
    return mixture.qwen(config, replace(base, head_dim=width), shared=0)


def gemma(config: ModelConfig) -> Architecture:
    return llama(config)


def gemma2(config: ModelConfig) -> Architecture:
    return sliding(config, replace(gemma(config), norms_per_layer=4), every=2)


def gemma3(config: ModelConfig) -> Architecture:
    every = config.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    return sliding(config, replace(gemma(config), norms_per_layer=4, qk_norm=True), every=every)


def starcoder2(config: ModelConfig) -> Architecture:
    bias = config.flag("use_bias", default=True)
    base = replace(llama(config), gated_ffn=False, norm_bias=True)
    return sliding(config, replace(base, qkv_bias=bias, output_bias=bias, ffn_bias=bias), every=1)


def nemotron(config: ModelConfig) -> Architecture:
    return replace(llama(config), gated_ffn=False, norm_bias=True)


def minicpm(config: ModelConfig) -> Architecture:
    """MiniCPM ties its embeddings unless told otherwise; MiniCPM-MoE's experts have the dense width."""
    base = replace(llama(config), tied_embeddings=config.flag("tie_word_embeddings", default=True))
    if not config.integer("num_experts", default=0):
        return base
    return mixture.everywhere(config, base, width=base.ffn)


def orion(config: ModelConfig) -> Architecture:
    """Llama with layer norms that have a bias."""
    return replace(llama(config), norm_bias=True)


def plain_ffn(config: ModelConfig) -> Architecture:
    """Arcee: Llama with two feed-forward matrices."""
    return replace(llama(config), gated_ffn=False)


def apertus(config: ModelConfig) -> Architecture:
    return replace(plain_ffn(config), qk_norm=True)


def qk_normed(config: ModelConfig) -> Architecture:
    """OLMo-2, Hunyuan: norms on queries and keys; OLMo-2 norms the whole width, counted as one head's."""
    config.flag("use_qk_norm", default=True)
    return replace(llama(config), qk_norm=True)


def olmo(config: ModelConfig) -> Architecture:
    """OLMo-1's norms hold no parameters."""
    config.value("clip_qkv")
    return replace(llama(config), norms_per_layer=0, final_norm=False)


def olmo3(config: ModelConfig) -> Architecture:
    return sliding(config, qk_normed(config), every=4)


def exaone4(config: ModelConfig) -> Architecture:
    """A pattern of letters, "LLLG", or a number; without a window every layer is full."""
    pattern = config.value("sliding_window_pattern")
    every = len(pattern) if isinstance(pattern, str) else config.integer("sliding_window_pattern", default=4)
    explicit = config.given("layer_types") or config.values.get("sliding_window") is not None
    base = qk_normed(config)
    return sliding(config, base, every=every) if explicit else base


def seed_oss(config: ModelConfig) -> Architecture:
    return replace(llama(config), output_bias=config.flag("attention_out_bias", default=False))


def qkv_biased(config: ModelConfig) -> Architecture:
    """GLM-4: `attention_bias` means the query, key and value projections only."""
    return replace(llama(config), output_bias=False)


def glm4(config: ModelConfig) -> Architecture:
    return replace(qkv_biased(config), norms_per_layer=4)


def chatglm(config: ModelConfig) -> Architecture:
    """ChatGLM2 to GLM-4-9B as their own code names them."""
    heads = config.size("num_attention_heads")
    grouped = config.flag("multi_query_attention", default=False)
    return Architecture(
        name=name_of(config),
        layers=config.size("num_layers", "num_hidden_layers"),
        hidden=config.size("hidden_size"),
        heads=heads,
        kv_heads=config.integer("multi_query_group_num") if grouped else heads,
        head_dim=config.integer("kv_channels", default=config.size("hidden_size") // heads),
        ffn=config.integer("ffn_hidden_size"),
        vocab=config.integer("padded_vocab_size", "vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        qkv_bias=config.flag("add_qkv_bias", default=False),
        output_bias=config.flag("add_bias_linear", default=False),
        ffn_bias=config.flag("add_bias_linear", default=False),
    )


def cohere(config: ModelConfig) -> Architecture:
    """Command R: attention and feed-forward side by side behind one norm."""
    qk_norm = config.flag("use_qk_norm", default=False)
    return replace(llama(config), norms_per_layer=1, parallel_block=True, qk_norm=qk_norm)


def cohere2(config: ModelConfig) -> Architecture:
    every = config.integer("sliding_window_pattern", default=4)
    return sliding(config, cohere(config), every=every)


def stablelm(config: ModelConfig) -> Architecture:
    parallel = config.flag("use_parallel_residual", default=False)
    return replace(
        llama(config),
        qkv_bias=config.flag("use_qkv_bias", default=False),
        qk_norm=config.flag("qk_layernorm", default=False),
        parallel_block=parallel,
        norms_per_layer=1 if parallel else 2,
        norm_bias=True,
    )


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("llama", "granite", "smollm3", "bitnet", "baichuan", "internlm", "yi", "aquila"), llama),
    **dict.fromkeys(("exaone", "xverse"), llama),
    **dict.fromkeys(("internlm2", "internlm3", "ernie4_5", "ministral3"), llama),
    **dict.fromkeys(("mistral", "ministral", "phi3", "phi4_multimodal", "cwm"), mistral),
    **dict.fromkeys(("qwen2", "qwen2_vl_text", "qwen2_5_vl_text", "qwen2_5_omni_text", "mimo", "qwen2_vl"), qwen2),
    **dict.fromkeys(("qwen3", "qwen3_vl_text"), qwen3),
    **dict.fromkeys(("qwen3_moe", "qwen3_vl_moe_text"), qwen3_moe),
    **dict.fromkeys(("gemma3", "gemma3_text"), gemma3),
    **dict.fromkeys(("olmo2", "hunyuan_v1_dense"), qk_normed),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), granitemoe),
    **dict.fromkeys(("glm4", "glm4v_text"), glm4),
    "qwen2_5_vl": qwen2,
    "qwen3_omni_moe_text": qwen3_moe,
    "flex_olmo": olmoe,
    "helium": helium,
    "mixtral": mixtral,
    "phimoe": phimoe,
    "olmoe": olmoe,
    "qwen": qwen1,
    "qwen2_moe": qwen2_moe,
    "gemma": gemma,
    "gemma2": gemma2,
    "starcoder2": starcoder2,
    "minicpm": minicpm,
    "nemotron": nemotron,
    "orion": orion,
    "arcee": plain_ffn,
    "apertus": apertus,
    "olmo": olmo,
    "olmo3": olmo3,
    "exaone4": exaone4,
    "seed_oss": seed_oss,
    "glm": qkv_biased,
    "chatglm": chatglm,
    "cohere": cohere,
    "cohere2": cohere2,
    "stablelm": stablelm,
}
