"""Which layers do what: full or sliding attention, dense or sparse feed-forward, in every way that configs say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mfu.workload.architecture import Architecture, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.reader import ModelConfig

FULL = frozenset({"full_attention", "attention", "global", "hybrid", "full", "global_attention", "minimax_m3_sparse"})
SLIDING = frozenset({"sliding_attention", "sliding", "local", "local_attention", "swa", "sliding_window"})
RECURRENT = frozenset({"linear_attention", "mamba", "mamba2", "conv", "recurrent", "kda", "gated_deltanet"})
CHUNKED = frozenset({"chunked_attention"})
INDEXED = frozenset({"indexed_attention", "deepseek_sparse_attention"})
_KNOWN = FULL | SLIDING | RECURRENT | CHUNKED | INDEXED


def layer_kinds(config: ModelConfig, layers: int, *keys: str) -> tuple[str, ...]:
    """`layer_types` (or what the kind calls it), one a layer; entries past the last layer are prediction layers."""
    kinds = tuple(str(each) for each in config.sequence(*(keys or ("layer_types",))))
    if kinds and len(kinds) < layers:
        problem = f"has {len(kinds)} entries for {layers} layers"
        raise UnsupportedConfig("layer_types", problem, "correct it or num_hidden_layers")
    for kind in kinds[:layers]:
        if kind not in _KNOWN:
            raise UnsupportedConfig("layer_types", f"has layers of {kind!r}", "give model.architecture")
    return kinds[:layers]


def sliding(config: ModelConfig, base: Architecture, *, every: int) -> Architecture:
    """Window of the sliding layers; `layer_types`, where given, says how many layers are full."""
    kinds = layer_kinds(config, base.layers)
    window = config.integer("sliding_window", default=0)
    if any(kind in SLIDING for kind in kinds) and window < 1:
        raise UnsupportedConfig("sliding_window", "is missing, but layers slide", "add sliding_window")
    if window < 1:
        return base
    if not kinds:
        return replace(base, window=window, window_every=every)
    return with_full_layers(base, window, sum(kind not in SLIDING for kind in kinds))


def with_full_layers(base: Architecture, window: int, full: int) -> Architecture:
    """So many of the layers that attend see everything, the others `window` tokens; as a rule where there is one."""
    layers = base.attention_layer_count
    if full >= layers:
        return base
    if full == 0:
        return replace(base, window=window, window_every=1)
    every = layers // full
    if every > 1 and layers // every == full:
        return replace(base, window=window, window_every=every)
    return replace(base, window=window, window_every=1, full_layers=full)


def late_sliding(config: ModelConfig, base: Architecture) -> Architecture:
    """Qwen: with `use_sliding_window`, layer i slides only from `max_window_layers` on (transformers issue 40126)."""
    config.read.update(("sliding_window", "max_window_layers"))
    used = config.flag("use_sliding_window", default=False)
    if config.given("layer_types"):
        return sliding(config, base, every=1)
    window = config.integer("sliding_window", default=0) if used else 0
    if window < 1:
        return base
    first = config.integer("max_window_layers", default=base.layers)
    return with_full_layers(base, window, min(max(first, 0), base.layers))


def after_the_first(config: ModelConfig) -> ModelConfig:
    """One leading dense layer where nothing says which layers hold experts."""
    if config.given("mlp_layer_types", "first_k_dense_replace"):
        return config
    values = dict(config.values) | {"first_k_dense_replace": 1}
    return ModelConfig(values, config.model_type, config.defaults, config.read, config.assumed)


def sparse_layers(config: ModelConfig, layers: int) -> tuple[bool, ...]:
    """Whether each layer holds experts."""
    config.read.update(("first_k_dense_replace", "moe_layer_freq", "moe_layers_enum"))
    kinds = config.sequence("mlp_layer_types")
    if kinds:
        return _exactly(layers, "mlp_layer_types", [kind not in ("dense", "mlp") for kind in kinds])
    listed = config.value("moe_layers_enum")
    if listed is not None:
        return _listed(layers, listed)
    freq = config.value("moe_layer_freq")
    if isinstance(freq, list):
        return _exactly(layers, "moe_layer_freq", [bool(each) for each in freq])
    dense = config.integer("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index", default=0)
    every = config.integer("moe_layer_freq", "moe_layer_interval", default=1)
    last = config.integer("moe_layer_end_index", default=-1)
    _positive("moe_layer_freq", every)
    end = layers - 1 if last < 0 else last
    return tuple(dense <= layer <= end and layer % every == 0 for layer in range(layers))


def qwen_sparse_layers(config: ModelConfig, layers: int) -> tuple[bool, ...]:
    """Qwen: a layer is sparse at each `decoder_sparse_step`-th place, unless `mlp_only_layers` names it."""
    dense = frozenset(config.sequence("mlp_only_layers"))
    step = config.integer("decoder_sparse_step", default=1)
    _positive("decoder_sparse_step", step)
    return tuple((layer + 1) % step == 0 and layer not in dense for layer in range(layers))


def on_period(config: ModelConfig, layers: int, period: str, offset: str) -> tuple[bool, ...]:
    """Layers at `offset` of each `period` (Jamba)."""
    step, first = config.integer(period), config.integer(offset)
    _positive(period, step)
    return tuple(layer % step == first for layer in range(layers))


def spread(moe: MoE, sparse: Sequence[bool]) -> MoE | None:
    """The mixture on those layers: as leading dense layers or one in so many where that says it, else as a count."""
    layers, found = len(sparse), sum(sparse)
    if found == 0:
        return None
    leading = next(index for index, each in enumerate(sparse) if each)
    if found == layers - leading:
        return replace(moe, dense_layers=leading, every=1)
    every = layers // found
    if all(each == ((layer + 1) % every == 0) for layer, each in enumerate(sparse)):
        return replace(moe, every=every)
    return replace(moe, layers=found)


def _exactly(layers: int, key: str, sparse: list[bool]) -> tuple[bool, ...]:
    if len(sparse) < layers:
        raise UnsupportedConfig(key, f"has {len(sparse)} entries for {layers} layers", "correct it")
    return tuple(sparse[:layers])


def _listed(layers: int, listed: object) -> tuple[bool, ...]:
    items = listed.split(",") if isinstance(listed, str) else listed
    if not isinstance(items, list):
        raise UnsupportedConfig("moe_layers_enum", f"is {listed!r}", "list the layers that hold experts")
    chosen = {str(each).strip() for each in items}
    return tuple(str(layer) in chosen for layer in range(layers))


def _positive(key: str, value: int) -> None:
    if value < 1:
        raise UnsupportedConfig(key, f"is {value}", "set it to at least 1")
