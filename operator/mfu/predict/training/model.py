"""An architecture as the widths that the arrays need; FLOPs and parameters are the workload room's."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mfu.predict.training.arrays import ModelWidths
from mfu.predict.types import Method
from mfu.workload.architecture import Architecture
from mfu.workload.flops import (
    AttentionMask,
    TokenFlops,
    forward_flops_per_token,
    layer_flops,
    own_mask,
    training_flops_per_token,
)
from mfu.workload.parameters import Parameters, count


@lru_cache(maxsize=2048)
def model_of(arch: Architecture, sequence_length: int, method: Method = Method.FULL) -> ModelWidths:
    """0-d arrays; `qkv` also carries what no other width holds (router, modulation, prediction layers), so that the
    products add up to the model FLOPs of the workload room."""
    forward = forward_flops_per_token(arch, sequence_length)
    trained = training_flops_per_token(arch, sequence_length, method=method.value)
    parameters = count(arch)
    per_token = training_flops_per_token(arch, sequence_length) / 3.0
    widths = _widths(arch, parameters)
    counted = _counted(arch, forward, widths)
    layer = layer_flops(arch, 1.0)
    extra = (per_token - counted - forward.attention_core) / (2.0 * arch.hidden * arch.layers)
    values = {
        **widths,
        "layers": arch.layers,
        "moe_layers": parameters.moe_layers,
        "hidden": arch.hidden,
        "qkv": layer.qkv / (2.0 * arch.hidden) + extra,
        "heads": arch.heads,
        "kv_heads": arch.kv_heads,
        "head_dim": arch.head_dim,
        "experts": parameters.experts,
        "top_k": parameters.top_k,
        "attention_flops": forward.attention_core,
        "causal": 0.5 if own_mask(arch) is AttentionMask.CAUSAL else 1.0,
        "model_flops": per_token,
        "backward": trained / per_token - 1.0,
        "trained_fraction": 1.0 if method is Method.FULL else _LORA_FRACTION,
        "sequence": sequence_length,
        **_parameters(arch, parameters),
    }
    return ModelWidths(**{name: np.asarray(value, dtype=float) for name, value in values.items()})


_LORA_FRACTION = 0.01
"""Adapters over all parameters: rank 16 on 4096-wide matrices is 2·16/4096 of each (LoRA, arXiv 2106.09685)."""


def _widths(arch: Architecture, parameters: Parameters) -> dict[str, float]:
    matrices = 2 if arch.gated_ffn else 1
    moe = arch.moe
    forward = forward_flops_per_token(arch, 1)
    return {
        "attention_out": layer_flops(arch, 1.0).output / (2.0 * arch.hidden),
        "ffn_up": matrices * arch.ffn,
        "ffn_down": arch.ffn,
        "expert_up": matrices * moe.expert_ffn if moe else 0,
        "expert_down": moe.expert_ffn if moe else 0,
        "shared_up": matrices * moe.shared_width if moe else 0,
        "shared_down": moe.shared_width if moe else 0,
        "vocab": forward.terms.get("head", 0.0) / (2.0 * arch.hidden),
    }


def _counted(arch: Architecture, forward: TokenFlops, widths: dict[str, float]) -> float:
    """FLOPs per token of the widths above and the head, in front of attention proper."""
    parameters = count(arch)
    layer = layer_flops(arch, 1.0)
    dense = parameters.dense_layers * (widths["ffn_up"] + widths["ffn_down"])
    routed = parameters.top_k * (widths["expert_up"] + widths["expert_down"])
    mixture = parameters.moe_layers * (routed + widths["shared_up"] + widths["shared_down"])
    head = forward.terms.get("head", 0.0)
    return arch.layers * (layer.qkv + layer.output) + 2.0 * arch.hidden * (dense + mixture) + head


def _parameters(arch: Architecture, parameters: Parameters) -> dict[str, float]:
    experts = parameters.moe_layers * parameters.experts * parameters.expert
    outside = parameters.embedding + parameters.head + parameters.final
    return {
        "layer_params": parameters.trained - outside,
        "expert_params": experts,
        "embedding_params": parameters.embedding + parameters.final,
        "head_params": parameters.head,
    }
