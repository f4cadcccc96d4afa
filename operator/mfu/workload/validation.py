"""Dimensions that no model can have, each answered with the field and what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields

from mfu.workload.architecture import Architecture, AttentionKind, Family
from mfu.workload.errors import InvalidArchitecture

_POSITIVE = ("layers", "hidden", "heads", "kv_heads", "head_dim", "vocab")
_NOT_NEGATIVE = ("ffn", "window", "window_every", "norms_per_layer", "learned_positions", "token_types", "mtp_layers")

Check = Callable[[Architecture], Iterator[InvalidArchitecture]]


def check(arch: Architecture) -> Architecture:
    """The same architecture, or InvalidArchitecture for the first contradiction in it."""
    for problem in problems(arch):
        raise problem
    return arch


def problems(arch: Architecture) -> Iterator[InvalidArchitecture]:
    """Every contradiction, in the order of the fields."""
    for each in _CHECKS:
        yield from each(arch)


def _sizes(arch: Architecture) -> Iterator[InvalidArchitecture]:
    for name in _POSITIVE:
        if getattr(arch, name) < 1:
            yield InvalidArchitecture(name, f"is {getattr(arch, name)}", "set it to at least 1")
    for name in _NOT_NEGATIVE:
        if getattr(arch, name) < 0:
            yield InvalidArchitecture(name, f"is {getattr(arch, name)}", "set it to 0 or more")


def _heads(arch: Architecture) -> Iterator[InvalidArchitecture]:
    if arch.kv_heads > 0 and arch.heads % arch.kv_heads:
        problem = f"{arch.kv_heads} does not divide the {arch.heads} heads"
        yield InvalidArchitecture("kv_heads", problem, "use a divisor of heads (heads itself for MHA, 1 for MQA)")


def _latent(arch: Architecture) -> Iterator[InvalidArchitecture]:
    if arch.attention is AttentionKind.MLA and arch.mla is None:
        yield InvalidArchitecture("mla", "is missing with MLA attention", "give its ranks and head widths")
    if arch.attention is AttentionKind.FULL and arch.mla is not None:
        yield InvalidArchitecture("attention", "is Full but mla is given", "set attention to MLA or drop mla")
    if arch.mla is not None and (arch.mla.kv_rank < 1 or arch.mla.value_head_dim < 1):
        yield InvalidArchitecture("mla", "has a zero rank or head width", "give positive kv_rank and value_head_dim")


def _experts(arch: Architecture) -> Iterator[InvalidArchitecture]:
    moe = arch.moe
    if moe is None:
        if arch.ffn < 1 and arch.dense_layer_count:
            yield InvalidArchitecture("ffn", f"is {arch.ffn} in a dense model", "set it to at least 1")
        return
    if moe.experts < 1 or moe.expert_ffn < 1:
        yield InvalidArchitecture("moe.experts", "experts or expert_ffn is zero", "give both at least 1")
    if not 1 <= moe.top_k <= max(moe.experts, 1):
        problem = f"is {moe.top_k} with {moe.experts} experts"
        yield InvalidArchitecture("moe.top_k", problem, "choose between 1 and the number of experts")
    if moe.every < 1 or not 0 <= moe.dense_layers <= arch.layers:
        yield InvalidArchitecture(
            "moe.dense_layers", "does not fit the layers", "use 0 to layers, and every of 1 or more"
        )
    if moe.every >= 1 and arch.ffn < 1 and arch.dense_layer_count:
        problem = f"is 0 with {arch.dense_layer_count} dense layers"
        yield InvalidArchitecture("ffn", problem, "give the width of the dense layers")


def _inputs(arch: Architecture) -> Iterator[InvalidArchitecture]:
    if arch.family in (Family.VISION, Family.DIFFUSION) and arch.input_features < 1:
        yield InvalidArchitecture("input_features", "is missing", "give channels times patch size squared")


def _layers(arch: Architecture) -> Iterator[InvalidArchitecture]:
    most = {"attention_layers": arch.layers, "ffn_layers": arch.layers, "full_layers": arch.attention_layer_count}
    for name, bound in most.items():
        value = getattr(arch, name)
        if value is not None and not 0 <= value <= bound:
            yield InvalidArchitecture(name, f"is {value}", f"choose between 0 and {bound}")
    if arch.moe is not None and arch.moe.layers is not None and not 0 <= arch.moe.layers <= arch.ffn_layer_count:
        yield InvalidArchitecture("moe.layers", f"is {arch.moe.layers}", f"use at most {arch.ffn_layer_count}")
    for block in arch.blocks:
        if not 0 < block.layers <= arch.layers or block.stride < 1:
            yield InvalidArchitecture("blocks", f"{block.name} does not fit the layers", "use 1 to layers, stride 1+")


def _counts(arch: Architecture) -> Iterator[InvalidArchitecture]:
    """No part counts less than nothing."""
    parts = {"mla": arch.mla, "moe": arch.moe} | {f"blocks {each.name}": each for each in arch.blocks}
    for name, part in parts.items():
        values = {} if part is None else {field.name: getattr(part, field.name) for field in fields(part)}
        for key, value in values.items():
            if isinstance(value, int) and value < 0:
                yield InvalidArchitecture(f"{name}.{key}", f"is {value}", "set it to 0 or more")


_CHECKS: tuple[Check, ...] = (_sizes, _heads, _latent, _experts, _inputs, _layers, _counts)
