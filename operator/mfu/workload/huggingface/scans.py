"""Models of scans alone, Mamba and Mamba-2, and Zamba2, whose few attention layers share their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from mfu.workload.architecture import Architecture, Block
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import recurrent
from mfu.workload.huggingface.decoder import Builder, name_of
from mfu.workload.huggingface.reader import ModelConfig


def mamba(config: ModelConfig) -> Architecture:
    """Mamba alone: no attention, no feed-forward."""
    hidden = config.size("hidden_size", "d_model")
    inner = config.integer("intermediate_size", "d_inner", default=config.integer("expand", default=2) * hidden)
    rank = config.value("time_step_rank")
    mixer = recurrent.mamba1(
        config.size("num_hidden_layers", "n_layer"),
        hidden=hidden,
        inner=inner,
        state=config.size("state_size"),
        rank=rank if isinstance(rank, int) else math.ceil(hidden / 16),
        kernel=config.size("conv_kernel"),
    )
    return _pure(config, hidden, mixer)


def mamba2(config: ModelConfig) -> Architecture:
    """Mamba-2 alone (Codestral Mamba)."""
    hidden = config.size("hidden_size", "d_model")
    inner, heads = _mamba2_widths(config, hidden)
    mixer = recurrent.mamba2(
        config.size("num_hidden_layers", "n_layer"),
        hidden=hidden,
        inner=inner,
        heads=heads,
        groups=config.size("n_groups"),
        state=config.size("state_size"),
        kernel=config.size("conv_kernel"),
    )
    return _pure(config, hidden, mixer)


def _mamba2_widths(config: ModelConfig, hidden: int) -> tuple[int, int]:
    """The inner width and its heads; a file that leaves the heads out means as many as `expand` asks for."""
    width = config.size("head_dim")
    if not config.given("num_heads") and config.given("expand"):
        config.read.add("num_heads")
        inner = config.size("expand") * hidden
        if inner % width:
            raise UnsupportedConfig(
                "expand", f"makes {inner} channels, no multiple of head_dim {width}", "add num_heads"
            )
        return inner, inner // width
    heads = config.size("num_heads")
    if config.given("expand") and config.size("expand") * hidden != heads * width:
        problem = f"is {heads} of {width} channels, and expand x hidden_size is {config.size('expand') * hidden}"
        raise UnsupportedConfig("num_heads", problem, "correct the config.json")
    return heads * width, heads


def _pure(config: ModelConfig, hidden: int, mixer: Block) -> Architecture:
    return Architecture(
        name=name_of(config),
        layers=mixer.layers,
        hidden=hidden,
        heads=1,
        kv_heads=1,
        head_dim=hidden,
        ffn=0,
        vocab=config.integer("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", default=True),
        norms_per_layer=1,
        attention_layers=0,
        ffn_layers=0,
        blocks=(mixer,),
    )


def zamba2(config: ModelConfig) -> Architecture:
    """Zamba2: Mamba-2 everywhere; at some layers a transformer block whose weights a few copies share.

    The block reads the layer's input beside the embedding (twice the width). Weights are stored once a copy and met at
    every place: what repeats is counted as work without weights. Low-rank adapters are each place's own.
    """
    hidden, layers = config.size("hidden_size"), config.size("num_hidden_layers")
    config.read.update(("num_key_value_heads", "attention_hidden_size"))
    places, copies = _zamba_places(config, layers), config.integer("num_mem_blocks", default=1)
    inner = config.size("mamba_expand") * hidden
    mixer = recurrent.mamba2(
        layers,
        hidden=hidden,
        inner=inner,
        heads=config.size("n_mamba_heads"),
        groups=config.size("mamba_ngroups", "mamba_n_groups"),
        state=config.size("mamba_d_state"),
        kernel=config.size("mamba_d_conv"),
    )
    blocks = (mixer, *_zamba_shared(config, hidden, places, copies))
    return replace(_pure(config, hidden, mixer), blocks=blocks)


def _zamba_places(config: ModelConfig, layers: int) -> int:
    listed = config.sequence("hybrid_layer_ids")
    kinds = config.sequence("layers_block_type", "layer_types")[:layers]
    places = len(listed) or sum(kind in ("hybrid", "full_attention") for kind in kinds)
    if not places:
        raise UnsupportedConfig("hybrid_layer_ids", "is missing", "add the layers that hold the shared block")
    return places


def _zamba_shared(config: ModelConfig, hidden: int, places: int, copies: int) -> Iterator[Block]:
    heads, wide, ffn = config.size("num_attention_heads"), 2 * hidden, config.size("intermediate_size")
    width = config.integer("attention_head_dim", default=wide // heads) * heads
    shared = 3 * wide * width + width * hidden + 3 * hidden * ffn
    rank = config.integer("adapter_rank", default=0)
    adapters = rank * (hidden + 2 * ffn)
    if config.flag("use_shared_attention_adapter", default=False):
        adapters += 3 * 2 * rank * wide
    yield Block(
        name="shared transformer block",
        layers=min(copies, places),
        weights=shared,
        vectors=wide + hidden,
        flops_per_key=4 * width,
        cache_values=2 * width,
    )
    if places > copies:
        yield Block(
            name="shared transformer block, again",
            layers=places - copies,
            flops_per_token=2 * shared,
            flops_per_key=4 * width,
            cache_values=2 * width,
        )
    yield Block(name="adapters of the shared block", layers=places, weights=adapters + hidden * hidden)


BUILDERS: dict[str, Builder] = {
    **dict.fromkeys(("mamba", "falcon_mamba"), mamba),
    "mamba2": mamba2,
    "zamba2": zamba2,
}
