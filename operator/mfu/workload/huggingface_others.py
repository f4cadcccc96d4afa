"""Models of other shapes: GPT-2, GPT-NeoX, Falcon, OPT, BLOOM, MPT, DBRX, BERT, ViT and DiT.

Defaults are those of the configuration classes of Hugging Face transformers and diffusers.
"""

from __future__ import annotations

from dataclasses import replace

from mfu.workload.architecture import Architecture, Family, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface_llama import Builder
from mfu.workload.huggingface_reader import Config

_UNNAMED_CLASSES = 2


def _plain(config: Config, *, layers: int, hidden: int, heads: int, bias: bool = True) -> Architecture:
    """A classic decoder: multi-head attention, two feed-forward matrices of four times the width, tied embeddings."""
    return Architecture(
        name=config.text("_name_or_path", default=config.model_type),
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


def _standard(config: Config, *, bias: bool = True) -> Architecture:
    return _plain(
        config,
        layers=config.integer("num_hidden_layers", "n_layer"),
        hidden=config.integer("hidden_size", "n_embed"),
        heads=config.size("num_attention_heads", "n_head"),
        bias=bias,
    )


def gpt2(config: Config) -> Architecture:
    hidden = config.integer("n_embd")
    base = _plain(config, layers=config.integer("n_layer"), hidden=hidden, heads=config.size("n_head"))
    positions = config.integer("n_positions", default=1024)
    return replace(base, ffn=config.integer("n_inner", default=4 * hidden), learned_positions=positions)


def gpt_neox(config: Config) -> Architecture:
    bias = config.flag("attention_bias", default=True)
    return replace(
        _standard(config),
        ffn=config.integer("intermediate_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        qkv_bias=bias,
        output_bias=bias,
        parallel_block=config.flag("use_parallel_residual", default=True),
    )


def falcon(config: Config) -> Architecture:
    """Falcon-7B: one key-value head and one norm; the newer decoder: groups of heads and two norms."""
    base = _standard(config, bias=config.flag("bias", default=False))
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


def opt(config: Config) -> Architecture:
    """OPT's position table has an offset of two; OPT-350m projects its embeddings, which is not covered."""
    base = _standard(config, bias=config.flag("enable_bias", default=True))
    if config.integer("word_embed_proj_dim", default=base.hidden) != base.hidden:
        raise UnsupportedConfig("word_embed_proj_dim", "differs from hidden_size", "give model.architecture")
    positions = config.integer("max_position_embeddings") + 2
    return replace(base, ffn=config.integer("ffn_dim"), learned_positions=positions)


def bloom(config: Config) -> Architecture:
    return replace(_standard(config), embedding_norm=True)


def mpt(config: Config) -> Architecture:
    hidden = config.integer("d_model")
    bias = not config.flag("no_bias", default=True)
    layers, heads = config.integer("n_layers"), config.size("n_heads")
    base = _plain(config, layers=layers, hidden=hidden, heads=heads, bias=bias)
    attention = Config(config.mapping("attn_config"), config.model_type)
    kv_heads = attention.integer("kv_n_heads", default=heads)
    ffn = config.integer("expansion_ratio", default=4) * hidden
    return replace(base, kv_heads=kv_heads, ffn=ffn, norm_bias=bias)


def dbrx(config: Config) -> Architecture:
    ffn = Config(config.mapping("ffn_config"), "dbrx ffn_config")
    attention = Config(config.mapping("attn_config"), "dbrx attn_config")
    layers, heads = config.integer("n_layers"), config.size("n_heads")
    base = _plain(config, layers=layers, hidden=config.integer("d_model"), heads=heads, bias=False)
    return replace(
        base,
        kv_heads=attention.integer("kv_n_heads", default=1),
        ffn=0,
        gated_ffn=True,
        norm_bias=False,
        tied_embeddings=config.flag("tie_word_embeddings", default=False),
        moe=MoE(ffn.integer("moe_num_experts"), ffn.integer("moe_top_k"), ffn.integer("ffn_hidden_size")),
    )


def bert(config: Config) -> Architecture:
    """Post-norm encoder with token types and a pooler; RoBERTa has the same shape."""
    return replace(
        _standard(config),
        family=Family.ENCODER,
        ffn=config.integer("intermediate_size"),
        learned_positions=config.integer("max_position_embeddings"),
        token_types=config.integer("type_vocab_size", default=2),
        embedding_norm=True,
        final_norm=False,
        pooler=True,
    )


def vit(config: Config) -> Architecture:
    patch, channels = config.size("patch_size"), config.integer("num_channels", default=3)
    classes = len(config.mapping("id2label")) or config.integer("num_labels", default=_UNNAMED_CLASSES)
    values = {"vocab_size": classes} | dict(config.values)
    patches = (config.integer("image_size") // patch) ** 2
    return replace(
        _standard(Config(values, config.model_type), bias=True),
        family=Family.VISION,
        ffn=config.integer("intermediate_size"),
        tied_embeddings=False,
        learned_positions=patches + 1,
        input_features=channels * patch**2,
    )


def dit(config: Config) -> Architecture:
    """diffusers' DiTTransformer2DModel; attention spans the hidden width, sizes as in the paper."""
    heads, head_dim = config.size("num_attention_heads"), config.size("attention_head_dim")
    patch, channels = config.size("patch_size"), config.integer("in_channels")
    values = {"vocab_size": config.integer("num_embeds_ada_norm")} | dict(config.values)
    layers = config.integer("num_layers")
    return replace(
        _plain(Config(values, config.model_type), layers=layers, hidden=heads * head_dim, heads=heads),
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
    "bert": bert,
    "roberta": bert,
    "vit": vit,
    "DiTTransformer2DModel": dit,
    "Transformer2DModel": dit,
}
