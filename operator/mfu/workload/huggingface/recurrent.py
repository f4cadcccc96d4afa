"""Layers that keep a state instead of keys, as blocks: Mamba, Mamba-2, gated delta nets, Kimi's, short convolutions.

A scan counts 7 FLOPs per channel and state entry (Megatron-LM's training.py, `mamba_layer_flops`); a delta rule reads,
writes and queries its state once a token, 2 FLOPs an entry each (arXiv 2412.06464, equation 10).
"""

from __future__ import annotations

from mfu.workload.architecture import Block

_SCAN_FLOPS = 7
_DELTA_FLOPS = 6


def mamba1(layers: int, *, hidden: int, inner: int, state: int, rank: int, kernel: int, normed: bool = False) -> Block:
    """Mamba (arXiv 2312.00752): in, x, dt and out projections; Jamba norms dt, B and C."""
    norms = rank + 2 * state if normed else 0
    return Block(
        name="Mamba",
        layers=layers,
        weights=hidden * 2 * inner + inner * (rank + 2 * state) + rank * inner + inner * hidden,
        vectors=inner * (kernel + 1) + inner + inner * state + inner + norms,
        flops_per_token=_SCAN_FLOPS * inner * state,
        state_values=inner * (state + kernel - 1),
    )


def mamba2(
    layers: int, *, hidden: int, inner: int, heads: int, groups: int, state: int, kernel: int, normed: bool = True
) -> Block:
    """Mamba-2 (arXiv 2405.21060): one projection in, one out, a convolution over inputs, B and C."""
    convolved = inner + 2 * groups * state
    return Block(
        name="Mamba-2",
        layers=layers,
        weights=hidden * (inner + convolved + heads) + inner * hidden,
        vectors=convolved * (kernel + 1) + 3 * heads + (inner if normed else 0),
        flops_per_token=_SCAN_FLOPS * inner * state,
        state_values=inner * state + convolved * (kernel - 1),
    )


def delta_net(
    layers: int, *, hidden: int, key_heads: int, value_heads: int, key_dim: int, value_dim: int, kernel: int
) -> Block:
    """Gated delta net (Qwen3-Next): queries, keys, values, a gate and two scalars a head in, one projection out."""
    keys, values = key_heads * key_dim, value_heads * value_dim
    convolved = 2 * keys + values
    return Block(
        name="gated delta net",
        layers=layers,
        weights=hidden * (convolved + values + 2 * value_heads) + values * hidden,
        vectors=convolved * kernel + 2 * value_heads + value_dim,
        flops_per_token=_DELTA_FLOPS * value_heads * key_dim * value_dim,
        state_values=value_heads * key_dim * value_dim + convolved * (kernel - 1),
    )


def kimi_delta(layers: int, *, hidden: int, heads: int, head_dim: int, kernel: int) -> Block:
    """Kimi delta attention (arXiv 2510.26692): full-width queries, keys and values, low-rank decay and gate."""
    width = heads * head_dim
    gates = 2 * (hidden * head_dim + head_dim * width)
    return Block(
        name="Kimi delta attention",
        layers=layers,
        weights=4 * hidden * width + gates + hidden * heads,
        vectors=3 * width * kernel + width + heads + head_dim,
        flops_per_token=_DELTA_FLOPS * heads * head_dim * head_dim,
        state_values=width * head_dim + 3 * width * (kernel - 1),
    )


def short_convolution(layers: int, *, hidden: int, kernel: int, bias: bool) -> Block:
    """LFM2: three projections in, a depthwise convolution over `kernel` tokens, one out."""
    return Block(
        name="short convolution",
        layers=layers,
        weights=4 * hidden * hidden,
        vectors=hidden * kernel + (5 * hidden if bias else 0),
        state_values=hidden * kernel,
    )
