"""Models whose attention or feed-forward is not equally wide in every layer: what differs becomes blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from mfu.workload.architecture import Architecture, Block
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import mixture
from mfu.workload.huggingface.decoder import Builder, llama
from mfu.workload.huggingface.layers import SLIDING, layer_kinds
from mfu.workload.huggingface.reader import ModelConfig

_NAS_MULTIPLE = 256


def attention_block(
    name: str, layers: int, *, hidden: int, heads: int, keys: int, head_dim: int, value_dim: int = 0, window: int = 0
) -> Block:
    """Grouped-query attention as a block; `keys` 0 reads another layer's keys and stores none."""
    values = value_dim or head_dim
    weights = hidden * (heads * head_dim + keys * (head_dim + values)) + heads * values * hidden
    return Block(
        name=name,
        layers=layers,
        weights=weights,
        flops_per_key=2 * heads * (head_dim + values),
        window=window,
        cache_values=keys * (head_dim + values),
    )


def gemma4(config: ModelConfig) -> Architecture:
    """Gemma 4: wider heads where attention is full, keys that double as values or are another layer's."""
    config.value("use_bidirectional_attention")
    base = replace(llama(config), norms_per_layer=4, qk_norm=True)
    kinds = layer_kinds(config, base.layers) or _by_pattern(base.layers)
    window = config.integer("sliding_window")
    shared = config.integer("num_kv_shared_layers", default=0)
    own = base.layers - shared
    slides = [kind in SLIDING for kind in kinds]
    blocks = [*_gemma4_full(config, base, slides, own), *_gemma4_shared(config, base, slides[own:], window)]
    blocks += _gemma4_inputs(config, base)
    found = replace(base, window=window, window_every=1, attention_layers=sum(slides[:own]), blocks=tuple(blocks))
    return _gemma4_experts(config, found)


def _by_pattern(layers: int) -> tuple[str, ...]:
    """Each sixth layer is full, and the last one whatever its number."""
    every = 6
    full = [(layer + 1) % every == 0 or layer == layers - 1 for layer in range(layers)]
    return tuple("full_attention" if each else "sliding_attention" for each in full)


def _gemma4_full(config: ModelConfig, base: Architecture, slides: list[bool], own: int) -> Iterator[Block]:
    head_dim = config.integer("global_head_dim", default=512)
    keys = config.integer("num_global_key_value_heads", default=base.kv_heads)
    twin = config.flag("attention_k_eq_v", default=False)
    keys = keys if twin or config.given("num_global_key_value_heads") else base.kv_heads
    full, reused = slides[:own].count(False), slides[own:].count(False)
    if full:
        block = attention_block(
            "full attention", full, hidden=base.hidden, heads=base.heads, keys=keys, head_dim=head_dim
        )
        spared = base.hidden * keys * head_dim if twin else 0
        yield replace(block, weights=block.weights - spared, vectors=2 * head_dim)
    if reused:
        yield attention_block(
            "full attention on shared keys",
            reused,
            hidden=base.hidden,
            heads=base.heads,
            keys=0,
            head_dim=head_dim,
        )


def _gemma4_shared(config: ModelConfig, base: Architecture, slides: list[bool], window: int) -> Iterator[Block]:
    if slides.count(True):
        yield attention_block(
            "sliding attention on shared keys",
            slides.count(True),
            hidden=base.hidden,
            heads=base.heads,
            keys=0,
            head_dim=base.head_dim,
            window=window,
        )
    if config.flag("use_double_wide_mlp", default=False) and slides:
        yield Block("second half of the wide feed-forward", len(slides), weights=3 * base.hidden * base.ffn)


def _gemma4_inputs(config: ModelConfig, base: Architecture) -> Iterator[Block]:
    width = config.integer("hidden_size_per_layer_input", default=0)
    entries = config.integer("vocab_size_per_layer_input", default=base.vocab)
    if width:
        yield Block(
            "per-layer input",
            base.layers,
            weights=3 * base.hidden * width,
            vectors=entries * width + base.hidden,
        )


def _gemma4_experts(config: ModelConfig, base: Architecture) -> Architecture:
    """The dense feed-forward runs beside the experts in the same layer: it is a shared expert."""
    if not config.flag("enable_moe_block", default=False):
        return base
    values = dict(config.values) | {"num_experts_per_tok": config.integer("top_k_experts")}
    moe = mixture.experts(
        ModelConfig(values, config.model_type, config.defaults, config.read), width=_moe_width(config)
    )
    return replace(base, ffn=0, norms_per_layer=7, moe=replace(moe, shared_experts=1, shared_ffn=base.ffn))


def _moe_width(config: ModelConfig) -> int:
    return config.integer("moe_intermediate_size", "expert_intermediate_size")


def mimo_v2(config: ModelConfig) -> Architecture:
    """MiMo-V2-Flash: values narrower than keys, and other key-value heads where layers slide."""
    base = llama(config)
    pattern = config.sequence("hybrid_layer_pattern")[: base.layers]
    kinds = layer_kinds(config, base.layers)
    slides = [bool(each) for each in pattern] or [kind in SLIDING for kind in kinds]
    if len(slides) != base.layers:
        raise UnsupportedConfig("hybrid_layer_pattern", "does not name every layer", "give 0 or 1 for each layer")
    for key in ("sliding_window_size", "attention_chunk_size", "add_swa_attention_sink_bias"):
        config.value(key)
    config.value("add_full_attention_sink_bias")
    full = attention_block(
        "full attention",
        slides.count(False),
        hidden=base.hidden,
        heads=base.heads,
        keys=base.kv_heads,
        head_dim=base.head_dim,
        value_dim=config.integer("v_head_dim", default=base.head_dim),
    )
    head_dim = config.integer("swa_head_dim", default=base.head_dim)
    sliding = attention_block(
        "sliding attention",
        slides.count(True),
        hidden=base.hidden,
        heads=config.integer("swa_num_attention_heads", default=base.heads),
        keys=config.integer("swa_num_key_value_heads", default=base.kv_heads),
        head_dim=head_dim,
        value_dim=config.integer("swa_v_head_dim", default=config.integer("v_head_dim", default=head_dim)),
        window=config.integer("sliding_window"),
    )
    blocks = tuple(each for each in (full, sliding) if each.layers)
    return mixture.grained(config, replace(base, attention_layers=0, blocks=blocks))


def step3(config: ModelConfig) -> Architecture:
    """Step 3.5 and 3.7: a gate a head, other head counts where layers slide."""
    base = replace(llama(config), qk_norm=True)
    kinds = layer_kinds(config, base.layers)
    slides = sum(kind in SLIDING for kind in kinds)
    other = config.mapping("attention_other_setting")
    heads = config.integer("num_sliding_attention_heads", default=int(other.get("num_attention_heads", base.heads)))
    config.value("use_head_wise_attn_gate")
    blocks = [Block("attention gate", base.layers - slides, weights=base.hidden * base.heads)]
    if slides:
        sliding = attention_block(
            "sliding attention",
            slides,
            hidden=base.hidden,
            heads=heads,
            keys=int(other.get("num_attention_groups", base.kv_heads)),
            head_dim=int(other.get("head_dim", base.head_dim)),
            window=config.integer("sliding_window"),
        )
        gate = base.hidden * heads
        blocks.append(replace(sliding, weights=sliding.weights + gate, vectors=2 * base.head_dim))
    found = replace(base, attention_layers=base.layers - slides, blocks=tuple(each for each in blocks if each.layers))
    mtp = config.integer("num_nextn_predict_layers", default=0)
    return replace(mixture.grained(_step3_layers(config), found), mtp_layers=mtp)


def _step3_layers(config: ModelConfig) -> ModelConfig:
    """Three leading dense layers unless the config lists the sparse ones."""
    if config.given("moe_layers_enum", "mlp_layer_types", "first_k_dense_replace"):
        return config
    values = dict(config.values) | {"first_k_dense_replace": 3}
    return ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed)


def nemotron_nas(config: ModelConfig) -> Architecture:
    """Llama-Nemotron (DeciLM): `block_configs` says for each layer which attention and which feed-forward it kept."""
    layers = config.size("num_hidden_layers")
    listed = config.sequence("block_configs")
    if len(listed) != layers or not all(isinstance(each, dict) for each in listed):
        raise UnsupportedConfig("block_configs", "does not describe every layer", "give one entry a layer")
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    attention = Counter(_nas_keys(each.get("attention") or {}, heads) for each in listed)
    feeds = Counter(_nas_width(each.get("ffn") or {}, hidden) for each in listed)
    keys, kept = _most_common(attention, heads)
    width, fed = _most_common(feeds, hidden)
    values = dict(config.values) | {"num_key_value_heads": keys, "intermediate_size": width}
    base = llama(ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed))
    blocks = [*_nas_blocks(base, attention, feeds, keys, width)]
    return replace(base, attention_layers=kept, ffn_layers=fed, blocks=tuple(blocks))


def _most_common(found: Counter[int], otherwise: int) -> tuple[int, int]:
    """The value of most layers, and how many; negative values are linear layers, 0 is nothing."""
    usual = [(count, value) for value, count in found.items() if value > 0]
    count, value = max(usual, default=(0, otherwise))
    return value, count


def _nas_keys(entry: dict[str, object], heads: int) -> int:
    if entry.get("no_op"):
        return 0
    if entry.get("replace_with_linear"):
        return -1
    group = entry.get("n_heads_in_group")
    if not isinstance(group, int) or group < 1 or heads % group:
        raise UnsupportedConfig("block_configs", f"has attention of groups of {group!r} heads", "use a divisor")
    return heads // group


def _nas_width(entry: dict[str, object], hidden: int) -> int:
    """Two thirds of the multiple of the width, rounded up to 256 (its own modeling code)."""
    if entry.get("no_op"):
        return 0
    if entry.get("replace_with_linear"):
        return -1
    factor = entry.get("ffn_mult")
    if not isinstance(factor, int | float) or factor <= 0:
        raise UnsupportedConfig("block_configs", f"has a feed-forward of {factor!r} times the width", "correct it")
    return -(-int(2 * factor * hidden / 3) // _NAS_MULTIPLE) * _NAS_MULTIPLE


def _nas_blocks(
    base: Architecture, attention: Counter[int], feeds: Counter[int], keys: int, width: int
) -> Iterator[Block]:
    linear = attention[-1] + feeds[-1]
    if linear:
        yield Block("linear layer", min(linear, base.layers), weights=base.hidden**2)
    for value, count in sorted(attention.items()):
        if value > 0 and value != keys:
            yield attention_block(
                f"attention of {value} key-value heads",
                count,
                hidden=base.hidden,
                heads=base.heads,
                keys=value,
                head_dim=base.head_dim,
            )
    for value, count in sorted(feeds.items()):
        if value > 0 and value != width:
            yield Block(f"feed-forward of {value}", count, weights=3 * base.hidden * value)


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("gemma4", "gemma4_text", "gemma4_unified_text"), gemma4),
    **dict.fromkeys(("step3p5", "step3p7"), step3),
    **dict.fromkeys(("nemotron-nas", "nemotron_nas"), nemotron_nas),
    "mimo_v2_flash": mimo_v2,
}
