"""Models of other shapes: GPT-2 and its kin, Falcon, OPT, BLOOM, MPT, DBRX, Phi, ViT and DiT.

Defaults are those of the configuration classes of Hugging Face transformers and diffusers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mfu.workload.architecture import Architecture, Family, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.decoder import Builder, llama, name_of
from mfu.workload.huggingface.reader import ModelConfig

_UNNAMED_CLASSES = 2


def plain(config: ModelConfig, *, layers: int, hidden: int, heads: int, bias: bool = True) -> Architecture:
    """A classic decoder: multi-head attention, two feed-forward matrices of four times the width, tied embeddings."""
    return Architecture(
        name=name_of(config),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=4 * hidden,
        vocab=config.integer("vocab_size"),
        gated_ffn=False,
        tied_embeddings=config.flag("tie_word_embeddings", default=True),
        qkv_bias=bias,
        output_bias=bias,
        ffn_bias=bias,
        norm_bias=True,
    )


def standard(config: ModelConfig, *, bias: bool = True) -> Architecture:
    return plain(
        config,
        layers=config.integer("num_hidden_layers", "n_layer"),
        hidden=config.integer("hidden_size", "n_embed"),
        heads=config.size("num_attention_heads", "n_head"),
        bias=bias,
    )


def gpt2(config: ModelConfig) -> Architecture:
    hidden = config.integer("n_embd")
    base = plain(config, layers=config.integer("n_layer"), hidden=hidden, heads=config.size("n_head"))
    positions = config.integer("n_positions", default=1024)
    return replace(base, ffn=config.integer("n_inner", default=4 * hidden), learned_positions=positions)


def gpt_neox(config: ModelConfig) -> Architecture:
    bias = config.flag("attention_bias", default=True)
    return replace(
        standard(config),
        ffn=config.integer("intermediate_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        qkv_bias=bias,
        output_bias=bias,
        parallel_block=config.flag("use_parallel_residual", default=True),
    )


def falcon(config: ModelConfig) -> Architecture:
    """Falcon-7B: one key-value head and one norm; the newer decoder: groups of heads and two norms."""
    base = standard(config, bias=config.flag("bias", default=False))
    newer = config.flag("new_decoder_architecture", default=False)
    parallel = config.flag("parallel_attn", default=True)
    if newer:
        kv_heads = config.integer("num_kv_heads", "n_head_kv", default=base.heads)
        norms = config.integer("num_ln_in_parallel_attn", default=2)
    else:
        kv_heads = 1 if config.flag("multi_query", default=True) else base.heads
        norms = 1 if parallel else 2
    ffn = config.integer("ffn_hidden_size", default=4 * base.hidden)
    return replace(base, kv_heads=kv_heads, ffn=ffn, norms_per_layer=norms, parallel_block=parallel)


def opt(config: ModelConfig) -> Architecture:
    """OPT's position table has an offset of two; OPT-350m projects its embeddings, which is not covered."""
    base = standard(config, bias=config.flag("enable_bias", default=True))
    if config.integer("word_embed_proj_dim", default=base.hidden) != base.hidden:
        raise UnsupportedConfig("word_embed_proj_dim", "differs from hidden_size", "give model.architecture")
    positions = config.integer("max_position_embeddings") + 2
    return replace(base, ffn=config.integer("ffn_dim"), learned_positions=positions)


def bloom(config: ModelConfig) -> Architecture:
    return replace(standard(config), embedding_norm=True)


def mpt(config: ModelConfig) -> Architecture:
    hidden = config.integer("d_model")
    bias = not config.flag("no_bias", default=True)
    layers, heads = config.integer("n_layers"), config.size("n_heads")
    base = plain(config, layers=layers, hidden=hidden, heads=heads, bias=bias)
    config.integer("max_seq_len", default=2048)
    kv_heads = _mpt_kv_heads(config.nested("attn_config"), heads)
    ffn = config.integer("expansion_ratio", default=4) * hidden
    return replace(base, kv_heads=kv_heads, ffn=ffn, norm_bias=bias)


def _mpt_kv_heads(attention: ModelConfig, heads: int) -> int:
    """`attn_type` says how many key-value heads there are; a window is refused."""
    kind = attention.text("attn_type", default="multihead_attention")
    if attention.integer("sliding_window_size", default=-1) > 0:
        raise UnsupportedConfig("attn_config.sliding_window_size", "slides", "give model.architecture")
    if kind == "multiquery_attention":
        return 1
    if kind == "grouped_query_attention":
        return attention.integer("kv_n_heads")
    if kind != "multihead_attention":
        raise UnsupportedConfig("attn_config.attn_type", f"is {kind!r}", "give model.architecture")
    return attention.integer("kv_n_heads", default=heads)


def gpt_bigcode(config: ModelConfig) -> Architecture:
    """StarCoder: GPT-2 with one key-value head."""
    base = gpt2(config)
    return replace(base, kv_heads=1 if config.flag("multi_query", default=True) else base.heads)


def gptj(config: ModelConfig) -> Architecture:
    """GPT-J, CodeGen: one norm, attention without biases beside the feed-forward, a head of its own."""
    base = gpt2(config)
    return replace(
        base,
        learned_positions=0,
        qkv_bias=False,
        output_bias=False,
        norms_per_layer=1,
        parallel_block=True,
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
    )


def gpt_neo(config: ModelConfig) -> Architecture:
    """GPT-Neo: every other layer looks `window_size` tokens back."""
    layers, hidden = config.size("num_layers"), config.size("hidden_size")
    base = plain(config, layers=layers, hidden=hidden, heads=config.size("num_heads"))
    kinds = [kind for entry in config.sequence("attention_types") for kind in _repeated(entry)]
    kinds = kinds or ["global", "local"] * (layers // 2)
    return replace(
        base,
        qkv_bias=False,
        ffn=config.integer("intermediate_size", default=4 * hidden),
        learned_positions=config.integer("max_position_embeddings", default=2048),
        window=config.integer("window_size", default=256) if "local" in kinds else 0,
        full_layers=kinds[:layers].count("global") if "local" in kinds else None,
    )


def _repeated(entry: Any) -> list[str]:
    """`[["global", "local"], 12]`: the kinds, so many times."""
    match entry:
        case [list(kinds), int(times)]:
            return [str(kind) for kind in kinds] * times
    raise UnsupportedConfig("attention_types", f"holds {entry!r}", "list kinds and how often they repeat")


def phi(config: ModelConfig) -> Architecture:
    """Phi-1 to Phi-2: one norm, biases everywhere, feed-forward of two matrices beside attention."""
    base = replace(_biased(llama(config)), norms_per_layer=1, parallel_block=True)
    return replace(base, qk_norm=config.flag("qk_layernorm", default=False))


def phi_msft(config: ModelConfig) -> Architecture:
    """Phi-1 to Phi-2 as their first code named them, with GPT-2's keys."""
    base = gpt2(config)
    heads = config.integer("n_head_kv", default=base.heads)
    tied = config.flag("tie_word_embeddings", default=False)
    return replace(
        base, kv_heads=heads, learned_positions=0, norms_per_layer=1, parallel_block=True, tied_embeddings=tied
    )


def persimmon(config: ModelConfig) -> Architecture:
    return replace(_biased(llama(config)), qk_norm=config.flag("qk_layernorm", default=True))


def _biased(base: Architecture) -> Architecture:
    """Two feed-forward matrices, and a bias on every matrix and norm."""
    return replace(base, gated_ffn=False, qkv_bias=True, output_bias=True, ffn_bias=True, norm_bias=True)


def dbrx(config: ModelConfig) -> Architecture:
    ffn = ModelConfig(config.mapping("ffn_config"), "dbrx ffn_config")
    attention = ModelConfig(config.mapping("attn_config"), "dbrx attn_config")
    layers, heads = config.integer("n_layers"), config.size("n_heads")
    base = plain(config, layers=layers, hidden=config.integer("d_model"), heads=heads, bias=False)
    return replace(
        base,
        kv_heads=attention.integer("kv_n_heads", default=1),
        ffn=0,
        gated_ffn=True,
        norm_bias=False,
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        moe=MoE(ffn.integer("moe_num_experts"), ffn.integer("moe_top_k"), ffn.integer("ffn_hidden_size")),
    )


def vit(config: ModelConfig) -> Architecture:
    patch, channels = config.size("patch_size"), config.integer("num_channels", default=3)
    classes = len(config.mapping("id2label")) or config.integer("num_labels", default=_UNNAMED_CLASSES)
    values = {"vocab_size": classes} | dict(config.values)
    patches = (config.integer("image_size") // patch) ** 2
    return replace(
        standard(ModelConfig(values, config.model_type), bias=True),
        family=Family.VISION,
        ffn=config.integer("intermediate_size"),
        tied_embeddings=False,
        learned_positions=patches + 1,
        input_features=channels * patch**2,
    )


def dit(config: ModelConfig) -> Architecture:
    """diffusers' DiTTransformer2DModel; attention spans the hidden width, sizes as in the paper."""
    heads, head_dim = config.size("num_attention_heads"), config.size("attention_head_dim")
    patch, channels = config.size("patch_size"), config.integer("in_channels")
    values = {"vocab_size": config.integer("num_embeds_ada_norm")} | dict(config.values)
    layers = config.integer("num_layers")
    return replace(
        plain(ModelConfig(values, config.model_type), layers=layers, hidden=heads * head_dim, heads=heads),
        family=Family.DIFFUSION,
        tied_embeddings=False,
        norms_per_layer=0,
        final_norm=False,
        norm_bias=False,
        input_features=channels * patch**2,
    )


BUILDERS: dict[str, Builder] = {
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "falcon": falcon,
    "opt": opt,
    "bloom": bloom,
    "mpt": mpt,
    "dbrx": dbrx,
    "gpt_bigcode": gpt_bigcode,
    "gptj": gptj,
    "codegen": gptj,
    "gpt_neo": gpt_neo,
    "phi": phi,
    **dict.fromkeys(("phi-msft", "mixformer-sequential"), phi_msft),
    "persimmon": persimmon,
    "vit": vit,
    "DiTTransformer2DModel": dit,
    "Transformer2DModel": dit,
}
