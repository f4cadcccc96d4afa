"""Bytes of weights and of the key-value cache. Activations depend on layout and recomputation: they are predict's."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mfu.hardware.types import BYTES_PER_VALUE, Precision
from mfu.workload.architecture import Architecture
from mfu.workload.parameters import count

Tokens = TypeVar("Tokens", float, NDArray[np.float64])


def weight_bytes(arch: Architecture, precision: Precision) -> float:
    """All weights that are served, in bytes. Llama-3.1-8B at BF16: 16.06 GB."""
    return count(arch).total * BYTES_PER_VALUE[precision]


def weight_bytes_read(arch: Architecture, precision: Precision, tokens: Tokens) -> Tokens:
    """Weight bytes that one forward pass over `tokens` tokens has to read: a mixture reads the experts it touches.

    With uniform routing E·(1 - (1 - k/E)^tokens) of E experts; the input embedding is a look-up of one row a token.
    """
    parameters = count(arch)
    routed = parameters.moe_layers * parameters.expert * _experts_touched(arch, tokens)
    looked_up = 0 if arch.tied_embeddings and arch.lm_head else arch.vocab * arch.hidden
    always = parameters.total - parameters.moe_layers * parameters.experts * parameters.expert - looked_up
    return (always + routed) * BYTES_PER_VALUE[precision]


def kv_bytes_per_token_layer(arch: Architecture, precision: Precision) -> float:
    """Cache bytes of one token in one layer: keys and values, or the compressed latent and its rope part."""
    if not arch.causal:
        return 0.0
    values = 2 * arch.kv_heads * arch.head_dim
    if arch.mla is not None:
        values = arch.mla.kv_rank + arch.mla.rope_head_dim
    return values * BYTES_PER_VALUE[precision]


def kv_bytes_per_token(arch: Architecture, precision: Precision) -> float:
    """Cache bytes that one more token takes while it is within every window.

    Llama-3.1-70B at BF16: 80 layers · 2 · 8 · 128 · 2 bytes = 327,680. DeepSeek-V3: 61 · 576 · 2 = 70,272.
    """
    blocks = sum(block.layers * block.cache_values / block.stride for block in arch.blocks)
    return arch.attention_layer_count * kv_bytes_per_token_layer(arch, precision) + blocks * BYTES_PER_VALUE[precision]


def kv_bytes(arch: Architecture, precision: Precision, context_tokens: Tokens) -> Tokens:
    """Cache bytes of one sequence of `context_tokens`: sliding layers keep their window, recurrent ones a state."""
    capped = arch.window and not arch.sparse_attention
    reach: Tokens = np.minimum(context_tokens, arch.window) if capped else context_tokens
    rows = arch.full_attention_layers * context_tokens + arch.sliding_layers * reach
    return kv_bytes_per_token_layer(arch, precision) * rows + _block_bytes(arch, precision, context_tokens)


def _block_bytes(arch: Architecture, precision: Precision, context_tokens: Tokens) -> Tokens:
    total = 0.0 * context_tokens
    for block in arch.blocks:
        kept: Tokens = np.minimum(context_tokens, block.window) if block.window else context_tokens
        total = total + block.layers * (block.cache_values * kept / block.stride + block.state_values)
    return total * BYTES_PER_VALUE[precision]


def _experts_touched(arch: Architecture, tokens: Tokens) -> Tokens:
    if arch.moe is None:
        return 0.0 * tokens
    missed: Tokens = (1 - arch.moe.top_k / arch.moe.experts) ** tokens
    return arch.moe.experts * (1 - missed)
