"""Mixture-of-experts keys of every family: how many experts, how many a token visits, their widths, shared ones."""

from __future__ import annotations

from dataclasses import replace

from mfu.workload.architecture import Architecture, MoE
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.layers import qwen_sparse_layers, sparse_layers, spread
from mfu.workload.huggingface.reader import ModelConfig

_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
_TOP_K = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k", "moe_topk", "moe_k")
_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert")
_SHARED_WIDTH = (
    "shared_expert_intermediate_size",
    "moe_shared_expert_intermediate_size",
    "share_expert_dim",
    "share_expert_dims",
    "shared_intermediate_size",
)
_WIDTH = ("moe_intermediate_size", "expert_intermediate_size")


def experts(config: ModelConfig, *, width: int) -> MoE:
    """Routed experts alone, of that width."""
    return MoE(_whole(config, _EXPERTS), _whole(config, _TOP_K), width)


def grained(config: ModelConfig, base: Architecture, *, shared: bool = True) -> Architecture:
    """Fine-grained experts of `moe_intermediate_size`, shared ones, leading dense layers (DeepSeek and after it)."""
    found = experts(config, width=_whole(config, _WIDTH))
    if shared:
        found = _with_shared(config, found)
    found = replace(found, router_bias=_router_bias(config))
    return on_layers(base, found, sparse_layers(config, base.layers))


def qwen(config: ModelConfig, base: Architecture, *, shared: int) -> Architecture:
    """Qwen's mixtures: experts of `moe_intermediate_size`, one shared expert with a gate where there is one."""
    moe = experts(config, width=config.integer("moe_intermediate_size"))
    moe = replace(moe, shared_ffn=shared, shared_gate=shared > 0)
    return on_layers(base, moe, qwen_sparse_layers(config, base.layers))


def everywhere(config: ModelConfig, base: Architecture, *, width: int) -> Architecture:
    """Experts on every layer, with shared ones where the config names their width."""
    return replace(base, ffn=0, moe=_with_shared(config, experts(config, width=width)))


def on_layers(base: Architecture, moe: MoE, sparse: tuple[bool, ...]) -> Architecture:
    """The mixture on those layers; without one the model is dense, without a dense layer its width is nothing."""
    found = spread(moe, sparse)
    return replace(base, moe=found, ffn=base.ffn if found is None or not all(sparse) else 0)


def _with_shared(config: ModelConfig, moe: MoE) -> MoE:
    count, width = _whole(config, _SHARED, default=0), _whole(config, _SHARED_WIDTH, default=0)
    if width:
        return replace(moe, shared_experts=count or 1, shared_ffn=width * (count or 1))
    return replace(moe, shared_experts=count)


def _router_bias(config: ModelConfig) -> bool:
    """A correction bias per expert: `noaux_tc` routing and what its heirs call it."""
    chosen = config.text("topk_method") == "noaux_tc"
    return chosen or config.flag("use_routing_bias", "use_moe_router_bias", "use_expert_bias", default=False)


def _whole(config: ModelConfig, keys: tuple[str, ...], default: int | None = None) -> int:
    """An integer, or the one value of a list that repeats it for each layer (Hunyuan)."""
    value = config.value(*keys)
    if not isinstance(value, list):
        return config.integer(*keys, default=default)
    if len(set(map(str, value))) == 1 and isinstance(value[0], int):
        return value[0]
    raise UnsupportedConfig(keys[0], f"is {value}, not the same for every layer", "give model.architecture")
