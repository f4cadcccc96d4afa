"""Encoders: BERT and its kin, ModernBERT, Nomic, EuroBERT; embedding and classification models."""

from __future__ import annotations

from dataclasses import replace

from mfu.workload.architecture import Architecture, Family
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.classic import plain, standard
from mfu.workload.huggingface.decoder import Builder, llama, name_of
from mfu.workload.huggingface.layers import SLIDING, layer_kinds
from mfu.workload.huggingface.reader import ModelConfig


def bert(config: ModelConfig) -> Architecture:
    """Post-norm encoder with token types and a pooler; RoBERTa and XLM-RoBERTa have the same shape."""
    base = standard(config)
    narrow = config.integer("embedding_size", default=base.hidden)
    if narrow != base.hidden:
        raise UnsupportedConfig("embedding_size", "differs from hidden_size", "give model.architecture")
    return replace(
        base,
        family=Family.ENCODER,
        ffn=config.integer("intermediate_size"),
        learned_positions=config.integer("max_position_embeddings"),
        token_types=config.integer("type_vocab_size", default=2),
        embedding_norm=True,
        final_norm=False,
        pooler=config.model_type != "electra",
    )


def distilbert(config: ModelConfig) -> Architecture:
    base = plain(config, layers=config.size("n_layers"), hidden=config.size("dim"), heads=config.size("n_heads"))
    return replace(
        base,
        family=Family.ENCODER,
        ffn=config.integer("hidden_dim"),
        learned_positions=config.integer("max_position_embeddings"),
        embedding_norm=True,
        final_norm=False,
    )


def modernbert(config: ModelConfig) -> Architecture:
    """ModernBERT (arXiv 2412.13663): full attention in every third layer, 128 tokens around in the others."""
    heads, hidden = config.size("num_attention_heads"), config.size("hidden_size")
    layers = config.size("num_hidden_layers")
    kinds = layer_kinds(config, layers)
    every = max(1, config.integer("global_attn_every_n_layers", default=3))
    full = sum(kind not in SLIDING for kind in kinds) if kinds else -(-layers // every)
    bias = config.flag("attention_bias", default=False)
    base = Architecture(
        name=name_of(config),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        ffn=config.integer("intermediate_size"),
        vocab=config.integer("vocab_size"),
        family=Family.ENCODER,
        tied_embeddings=config.flag("tie_word_embeddings", default=True),
        qkv_bias=bias,
        output_bias=bias,
        ffn_bias=config.flag("mlp_bias", default=False),
        norm_bias=config.flag("norm_bias", default=False),
        embedding_norm=True,
    )
    window = config.integer("local_attention", "sliding_window", default=128)
    return base if full >= layers or window < 1 else replace(base, window=window, full_layers=full)


def nomic_bert(config: ModelConfig) -> Architecture:
    """Nomic: rotary positions, a gated feed-forward, no biases."""
    hidden, heads = config.size("n_embd", "hidden_size"), config.size("n_head", "num_attention_heads")
    bias = config.flag("qkv_proj_bias", default=False)
    base = plain(config, layers=config.size("n_layer", "num_hidden_layers"), hidden=hidden, heads=heads, bias=bias)
    return replace(
        base,
        family=Family.ENCODER,
        ffn=config.integer("n_inner", "intermediate_size", default=4 * hidden),
        gated_ffn=config.text("activation_function", default="swiglu") in ("swiglu", "geglu", "glu"),
        ffn_bias=config.flag("mlp_fc1_bias", default=False),
        token_types=config.integer("type_vocab_size", default=2),
        embedding_norm=True,
        final_norm=False,
    )


def eurobert(config: ModelConfig) -> Architecture:
    return replace(llama(config), family=Family.ENCODER)


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "xlm_roberta", "camembert", "electra"), bert),
    "xlm-roberta-xl": bert,
    "distilbert": distilbert,
    "modernbert": modernbert,
    "nomic_bert": nomic_bert,
    "eurobert": eurobert,
}
