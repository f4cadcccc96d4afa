"""Grouped-query decoders of 2025 and 2026: gates, sinks, windows and experts in other combinations than before.

Shapes as in the modeling code of Hugging Face transformers 5.24; tests count the same parameters as it does.
"""

from __future__ import annotations

from dataclasses import replace

from mfu.workload.architecture import Architecture, Block
from mfu.workload.huggingface import mixture
from mfu.workload.huggingface.decoder import Builder, cohere2, exaone4, gemma2, llama, qwen3_moe
from mfu.workload.huggingface.latent import deepseek, latent
from mfu.workload.huggingface.layers import after_the_first, sliding
from mfu.workload.huggingface.reader import ModelConfig


def jais2(config: ModelConfig) -> Architecture:
    """Jais 2: layer norms with biases, biases on every matrix, two feed-forward matrices."""
    attention = config.flag("attention_bias", default=True)
    return replace(
        llama(config),
        gated_ffn=False,
        norm_bias=True,
        qkv_bias=attention,
        output_bias=attention,
        ffn_bias=config.flag("mlp_bias", default=True),
    )


def hyperclovax(config: ModelConfig) -> Architecture:
    return replace(llama(config), norms_per_layer=4 if config.flag("use_post_norm", default=True) else 2)


def granite_swa(config: ModelConfig) -> Architecture:
    return sliding(config, replace(llama(config), attention_sinks=True), every=4)


def granitemoe_swa(config: ModelConfig) -> Architecture:
    base = granite_swa(config)
    return mixture.everywhere(config, base, width=base.ffn)


def vaultgemma(config: ModelConfig) -> Architecture:
    return replace(gemma2(config), norms_per_layer=2)


def nanochat(config: ModelConfig) -> Architecture:
    """Norms without parameters, two feed-forward matrices."""
    return replace(llama(config), gated_ffn=False, norms_per_layer=0, final_norm=False)


def mellum(config: ModelConfig) -> Architecture:
    """Qwen's mixture with layers that slide by `layer_types`."""
    config.read.add("mlp_layer_types")
    return sliding(config, qwen3_moe(config), every=1)


def hunyuan3(config: ModelConfig) -> Architecture:
    """Hy-V3: norms on queries and keys, experts after the first layer."""
    return mixture.grained(after_the_first(config), replace(llama(config), qk_norm=True))


def exaone_moe(config: ModelConfig) -> Architecture:
    mtp = config.integer("num_nextn_predict_layers", default=0)
    return mixture.grained(after_the_first(config), replace(exaone4(config), mtp_layers=mtp))


def afmoe(config: ModelConfig) -> Architecture:
    """Arcee's Trinity: gated attention, four norms a layer, every so many layers full."""
    every = config.integer("global_attn_every_n_layers", default=4)
    base = replace(llama(config), qk_norm=True, output_gate=True, norms_per_layer=4)
    return mixture.grained(config, sliding(config, base, every=every))


def cohere2_moe(config: ModelConfig) -> Architecture:
    """Command A's mixture: experts of the dense width, leading dense layers of a width of their own."""
    base = cohere2(config)
    config.read.update(("prefix_dense_sliding_window_pattern", "shared_expert_combination_strategy"))
    dense = config.integer("prefix_dense_intermediate_size", default=base.ffn)
    values = dict(config.values) | {"moe_intermediate_size": base.ffn}
    read = ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed)
    return mixture.grained(read, replace(base, ffn=dense))


def aria(config: ModelConfig) -> Architecture:
    """Aria's text part: experts and shared experts of `intermediate_size`."""
    base = llama(config)
    return mixture.everywhere(config, base, width=base.ffn)


def axk1(config: ModelConfig) -> Architecture:
    """A.X K1: DeepSeek-V3 with a norm after the feed-forward."""
    return replace(deepseek(after_the_first(config)), norms_per_layer=3)


def longcat_flash(config: ModelConfig) -> Architecture:
    """LongCat-Flash (arXiv 2509.01322): two attentions and two dense feed-forwards to each mixture.

    A token that is routed to a zero expert computes nothing: of `moe_topk` choices among all, those that fall on real
    experts count, in the mean.
    """
    layers, hidden = config.size("num_layers", "num_hidden_layers"), config.size("hidden_size")
    width, real = config.size("ffn_hidden_size", "intermediate_size"), config.size("n_routed_experts")
    chosen = config.size("moe_topk") * real // (real + config.integer("zero_expert_num", default=0))
    values = dict(config.values) | {
        "num_hidden_layers": 2 * layers,
        "num_layers": None,
        "intermediate_size": 0,
        "num_experts_per_tok": chosen,
        "moe_intermediate_size": config.size("expert_ffn_hidden_size"),
    }
    read = ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed)
    found = mixture.everywhere(read, latent(read, replace(llama(read), qkv_bias=False)), width=_width(read))
    zero = config.integer("zero_expert_num", default=0)
    dense = Block("dense feed-forward", 2 * layers, weights=3 * hidden * width)
    router = Block("router's zero experts", layers, weights=zero * hidden, vectors=zero + real)
    return replace(found, ffn_layers=layers, blocks=(dense, router))


def _width(config: ModelConfig) -> int:
    return config.integer("moe_intermediate_size")


def mllama(config: ModelConfig) -> Architecture:
    """Llama 3.2 Vision's text part: some layers look at the image instead of the text.

    Their keys and values are made of the image once: stored, and no work of a text token; scores against the image's
    tokens are not counted.
    """
    base = llama(config)
    crossed = len(config.sequence("cross_attention_layers")) or len(range(3, base.layers, 5))
    queries, keys = base.heads * base.head_dim, base.kv_heads * base.head_dim
    block = Block(
        "attention to the image",
        crossed,
        weights=2 * base.hidden * queries,
        vectors=2 * base.hidden * keys + 2 * base.head_dim + 2,
    )
    extra = Block("embedding of the image's token", 1, vectors=8 * base.hidden)
    return replace(base, attention_layers=base.layers - crossed, blocks=(block, extra))


def minimax(config: ModelConfig) -> Architecture:
    """MiniMax-Text-01 and M1 (arXiv 2501.08313): seven lightning attentions to each softmax attention."""
    base = llama(config)
    kinds = [str(each) for each in config.sequence("layer_types")]
    listed = config.sequence("attn_type_list")
    full = sum(each == 1 for each in listed) if listed else kinds.count("full_attention")
    if not (listed or kinds):
        full = base.layers // 2
    inner = base.heads * base.head_dim
    lightning = Block(
        "lightning attention",
        base.layers - full,
        weights=5 * base.hidden * inner,
        vectors=inner,
        flops_per_token=4 * inner * base.head_dim,
        state_values=inner * base.head_dim,
    )
    found = mixture.everywhere(config, base, width=base.ffn)
    blocks = (lightning,) if lightning.layers else ()
    return replace(found, attention_layers=full, blocks=blocks)


BUILDERS: dict[str, Builder] = {
    "afmoe": afmoe,
    "aria_text": aria,
    "axk1": axk1,
    "cohere2_moe": cohere2_moe,
    "exaone_moe": exaone_moe,
    "granite_swa": granite_swa,
    "granitemoe_swa": granitemoe_swa,
    "hy_v3": hunyuan3,
    "hyperclovax": hyperclovax,
    "jais2": jais2,
    "longcat_flash": longcat_flash,
    "mellum": mellum,
    "minimax": minimax,
    **dict.fromkeys(("minimax_text_01", "minimax_m1"), minimax),
    **dict.fromkeys(("mllama_text_model", "mllama"), mllama),
    "nanochat": nanochat,
    "vaultgemma": vaultgemma,
}
