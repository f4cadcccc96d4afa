"""Models whose layers differ: hybrids of attention with state-space and linear-attention layers."""

from __future__ import annotations

import math
from dataclasses import replace

from mfu.workload.architecture import Architecture, Block, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import mixture, recurrent
from mfu.workload.huggingface.decoder import Builder, llama
from mfu.workload.huggingface.latent import latent
from mfu.workload.huggingface.layers import FULL, layer_kinds, on_period, spread
from mfu.workload.huggingface.reader import ModelConfig

_NEMOTRON_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_NEMOTRON_WORDS = {"linear_attention": "mamba", "full_attention": "attention"}


def qwen3_next(config: ModelConfig) -> Architecture:
    """Qwen3-Next and Qwen3.5: three gated delta nets to each gated attention."""
    base = replace(llama(config), qk_norm=True, output_gate=config.flag("attn_output_gate", default=True))
    kinds = layer_kinds(config, base.layers)
    interval = max(1, config.integer("full_attention_interval", default=4))
    full = sum(kind in FULL for kind in kinds) if kinds else base.layers // interval
    net = recurrent.delta_net(
        base.layers - full,
        hidden=base.hidden,
        key_heads=config.size("linear_num_key_heads"),
        value_heads=config.size("linear_num_value_heads"),
        key_dim=config.size("linear_key_head_dim"),
        value_dim=config.size("linear_value_head_dim"),
        kernel=config.size("linear_conv_kernel_dim"),
    )
    config.integer("mtp_num_hidden_layers", default=0)
    found = _mixed(base, full, net)
    if config.value("num_experts") is None:
        return found
    return mixture.qwen(config, found, shared=config.integer("shared_expert_intermediate_size", default=0))


def kimi_linear(config: ModelConfig) -> Architecture:
    """Kimi Linear: three delta attentions to each latent attention, fine-grained experts."""
    for key in ("attn_res_block_size", "routed_expert_hidden_size", "mla_use_output_gate"):
        if config.value(key):
            raise UnsupportedConfig(key, "changes the layers in a way that is not covered", "give model.architecture")
    base = latent(config, replace(llama(config), qkv_bias=False))
    linear = config.nested("linear_attn_config")
    listed = linear.sequence("full_attn_layers")
    kinds = layer_kinds(config, base.layers)
    full = len(listed) if listed else sum(kind in FULL for kind in kinds)
    if not full:
        raise UnsupportedConfig("linear_attn_config", "names no full-attention layer", "add full_attn_layers")
    net = recurrent.kimi_delta(
        base.layers - full,
        hidden=base.hidden,
        heads=linear.integer("num_heads", default=config.integer("linear_num_heads", default=base.heads)),
        head_dim=linear.integer("head_dim", default=config.integer("linear_head_dim", default=128)),
        kernel=linear.integer("short_conv_kernel_size", default=config.integer("linear_conv_kernel_dim", default=4)),
    )
    return mixture.grained(config, _mixed(base, full, net))


def nemotron_h(config: ModelConfig) -> Architecture:
    """Nemotron-H and Nemotron 3: every layer is one thing, a Mamba-2 mixer, attention, feed-forward or experts."""
    kinds = _nemotron_layers(config)
    values = dict(config.values) | {"num_hidden_layers": len(kinds)}
    head_dim = config.integer("head_dim", "attention_head_dim", default=128)
    base = llama(ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed))
    feeds = kinds.count("mlp") + kinds.count("moe")
    mixer = _nemotron_mixer(config, base.hidden, kinds.count("mamba"))
    base = replace(
        base,
        head_dim=head_dim,
        gated_ffn=False,
        norms_per_layer=1,
        attention_layers=kinds.count("attention"),
        ffn_layers=feeds,
        blocks=mixer,
        ffn=base.ffn if "mlp" in kinds else 0,
    )
    config.integer("num_nextn_predict_layers", default=0)
    return replace(base, moe=_nemotron_experts(config, kinds.count("moe"), feeds)) if "moe" in kinds else base


def _nemotron_layers(config: ModelConfig) -> list[str]:
    pattern = config.value("hybrid_override_pattern")
    if isinstance(pattern, str):
        kinds = [_NEMOTRON_LETTERS.get(letter, letter) for letter in pattern]
    else:
        kinds = [str(each) for each in config.sequence("layers_block_type", "layer_types")]
        kinds = [_NEMOTRON_WORDS.get(kind, kind) for kind in kinds]
    unknown = set(kinds) - set(_NEMOTRON_LETTERS.values())
    if unknown or not kinds:
        problem = f"has layers of {', '.join(sorted(unknown))}" if unknown else "is missing"
        raise UnsupportedConfig("hybrid_override_pattern", problem, "use M, *, - and E, one a layer")
    config.value("num_hidden_layers")
    return kinds


def _nemotron_mixer(config: ModelConfig, hidden: int, layers: int) -> tuple[Block, ...]:
    if not layers:
        return ()
    heads = config.size("mamba_num_heads")
    found = recurrent.mamba2(
        layers,
        hidden=hidden,
        inner=heads * config.size("mamba_head_dim"),
        heads=heads,
        groups=config.size("n_groups", "mamba_n_groups"),
        state=config.size("ssm_state_size"),
        kernel=config.size("conv_kernel", "mamba_d_conv"),
    )
    return (found,)


def _nemotron_experts(config: ModelConfig, layers: int, feeds: int) -> MoE:
    found = mixture.experts(config, width=config.integer("moe_intermediate_size"))
    shared = config.integer("n_shared_experts", default=0)
    width = config.integer("moe_shared_expert_intermediate_size", default=0)
    return replace(
        found,
        shared_experts=shared,
        shared_ffn=width if shared else 0,
        expert_hidden=config.integer("moe_latent_size", default=0),
        router_bias=True,
        layers=None if layers == feeds else layers,
    )


def jamba(config: ModelConfig) -> Architecture:
    """Jamba: one attention layer in a period, Mamba in the others, experts at every other place."""
    base = llama(config)
    attention = on_period(config, base.layers, "attn_layer_period", "attn_layer_offset")
    sparse = on_period(config, base.layers, "expert_layer_period", "expert_layer_offset")
    inner, rank = config.size("mamba_expand") * base.hidden, config.value("mamba_dt_rank")
    mixer = recurrent.mamba1(
        base.layers - sum(attention),
        hidden=base.hidden,
        inner=inner,
        state=config.size("mamba_d_state"),
        rank=rank if isinstance(rank, int) else math.ceil(base.hidden / 16),
        kernel=config.size("mamba_d_conv"),
        normed=True,
    )
    found = _mixed(base, sum(attention), mixer)
    experts = mixture.experts(config, width=base.ffn)
    if experts.experts <= 1:
        return found
    return replace(found, moe=spread(experts, sparse))


def bamba(config: ModelConfig) -> Architecture:
    """Bamba: Mamba-2 layers, attention at `attn_layer_indices`, a gated feed-forward everywhere."""
    base = llama(config)
    kinds = layer_kinds(config, base.layers, "layer_types", "layers_block_type")
    indices = config.sequence("attn_layer_indices")
    full = sum(kind in FULL for kind in kinds) if kinds else len(indices)
    return _mixed(base, full, _grouped_mamba2(config, base.hidden, base.layers - full))


def granite_hybrid(config: ModelConfig) -> Architecture:
    """Granite 4: Mamba-2 and attention layers, a shared expert everywhere, routed ones where there are any."""
    base = llama(config)
    kinds = layer_kinds(config, base.layers, "layer_types", "layers_block_type")
    full = sum(kind in FULL for kind in kinds)
    found = _mixed(base, full, _grouped_mamba2(config, base.hidden, base.layers - full))
    shared = config.integer("shared_intermediate_size")
    routed = config.integer("num_local_experts", default=0)
    if routed == 0:
        config.value("num_experts_per_tok")
        return replace(found, ffn=shared)
    moe = replace(mixture.experts(config, width=base.ffn), shared_experts=1, shared_ffn=shared)
    return replace(found, ffn=0, moe=moe)


def falcon_h1(config: ModelConfig) -> Architecture:
    """Falcon-H1: attention and Mamba-2 side by side in every layer."""
    base = llama(config)
    inner = config.integer("mamba_d_ssm", default=config.integer("mamba_expand", default=2) * base.hidden)
    normed = config.flag("mamba_rms_norm", default=False)
    config.value("mamba_d_head")
    mixer = recurrent.mamba2(
        base.layers,
        hidden=base.hidden,
        inner=inner,
        heads=config.size("mamba_n_heads"),
        groups=config.size("mamba_n_groups"),
        state=config.size("mamba_d_state"),
        kernel=config.size("mamba_d_conv"),
        normed=normed,
    )
    return replace(base, blocks=(mixer,))


def lfm2(config: ModelConfig) -> Architecture:
    """LFM2: short convolutions and a few attention layers; the feed-forward width is two thirds, rounded up."""
    values = dict(config.values)
    wide = config.value("block_ff_dim")
    if wide is not None:
        values["intermediate_size"] = wide
    base = replace(
        llama(ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed)), qk_norm=True
    )
    kinds, indices = layer_kinds(config, base.layers), config.sequence("full_attn_idxs")
    full = sum(kind in FULL for kind in kinds) if kinds else len(indices) or base.layers
    conv = recurrent.short_convolution(
        base.layers - full,
        hidden=base.hidden,
        kernel=config.size("conv_L_cache"),
        bias=config.flag("conv_bias", default=False),
    )
    found = _mixed(base, full, conv)
    if config.given("num_experts"):
        return mixture.grained(config, found)
    return replace(found, ffn=_lfm2_width(config, base.ffn))


def _lfm2_width(config: ModelConfig, width: int) -> int:
    factor, multiple = (
        config.value("block_ffn_dim_multiplier"),
        max(1, config.integer("block_multiple_of", default=256)),
    )
    if not config.flag("block_auto_adjust_ff_dim", default=True):
        return width
    adjusted = int((factor if isinstance(factor, int | float) else 1.0) * int(2 * width / 3))
    return multiple * math.ceil(adjusted / multiple)


def _mixed(base: Architecture, full: int, mixer: Block) -> Architecture:
    """Attention on `full` layers, the mixer on the others."""
    if not full:
        return replace(base, attention_layers=0, blocks=(mixer,))
    return base if not mixer.layers else replace(base, attention_layers=full, blocks=(mixer,))


def _grouped_mamba2(config: ModelConfig, hidden: int, layers: int) -> Block:
    config.value("mamba_d_head")
    return recurrent.mamba2(
        layers,
        hidden=hidden,
        inner=config.size("mamba_expand") * hidden,
        heads=config.size("mamba_n_heads"),
        groups=config.size("mamba_n_groups"),
        state=config.size("mamba_d_state"),
        kernel=config.size("mamba_d_conv"),
    )


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"), qwen3_next),
    **dict.fromkeys(("lfm2", "lfm2_moe"), lfm2),
    "kimi_linear": kimi_linear,
    "nemotron_h": nemotron_h,
    "jamba": jamba,
    "bamba": bamba,
    "granitemoehybrid": granite_hybrid,
    "falcon_h1": falcon_h1,
}
