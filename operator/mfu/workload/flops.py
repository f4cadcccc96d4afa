"""Model FLOPs of training, prefill and decode. A multiply-add is 2 FLOPs; matrix products only.

Conventions (PaLM, arXiv 2204.02311 appendix B, with the causal half of attention): recomputation is not counted, the
input embedding look-up is free, the output head counts, causal attention counts S²/2 (a mean context of S/2 a token),
a mixture counts its router, its shared experts and the `top_k` experts of a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mfu.workload.architecture import Architecture, Family
from mfu.workload.flop_terms import FlopTerm, attention_shape, ffn_flops, forward_terms, moe_terms, mtp_term

FloatArray = NDArray[np.float64]
Tokens = TypeVar("Tokens", float, FloatArray)


class AttentionMask(StrEnum):
    """Which keys a token sees."""

    CAUSAL = "causal"
    BIDIRECTIONAL = "bidirectional"
    """All of them, or as many as the window holds, half before and half after the token (edges not subtracted)."""
    FULL = "full"
    """All of them, windows ignored: what a counter of dense matrix products sees."""


class Method(StrEnum):
    """`spec.training.method`."""

    FULL = "Full"
    LORA = "LoRA"


@dataclass(frozen=True, slots=True)
class LayerFlops:
    """Forward FLOPs per token of one layer."""

    qkv: float
    scores: float
    values: float
    output: float
    ffn: float = 0.0
    router: float = 0.0
    experts: float = 0.0
    shared_experts: float = 0.0

    @property
    def scores_values(self) -> float:
        """The part that grows with context and touches no weights."""
        return self.scores + self.values

    @property
    def terms(self) -> Mapping[str, float]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def total(self) -> float:
        return sum(self.terms.values())


@dataclass(frozen=True, slots=True)
class TokenFlops:
    """FLOPs per token of the whole model by term; the terms sum to `total`."""

    terms: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.terms.values())

    @property
    def attention_core(self) -> float:
        """Scores and values: the part that multiplies no weights."""
        return self.terms["scores"] + self.terms["values"]


@dataclass(frozen=True, slots=True)
class ContextCurve:
    """FLOPs per token as a function of context, for arrays of contexts or lengths."""

    fixed: float
    per_key: float
    per_window_key: float
    per_sequence: float
    window: int
    reaches: tuple[tuple[int, float], ...] = ()

    def at(self, context: Tokens) -> Tokens:
        """One token that attends to `context` keys, as in decode."""
        reach: Tokens = np.minimum(context, self.window) if self.window else context
        total = self.fixed + self.per_key * context + self.per_window_key * reach
        for window, flops in self.reaches:
            own: Tokens = np.minimum(context, window)
            total = total + flops * own
        return total

    def over(self, sequence_length: Tokens, *, mask: AttentionMask = AttentionMask.CAUSAL) -> Tokens:
        """Mean over a sequence of that length, as in training."""
        full = mean_context(sequence_length, mask=mask)
        sliding = mean_context(sequence_length, window=self.window, mask=mask)
        once = self.per_sequence / sequence_length
        total = self.fixed + self.per_key * full + self.per_window_key * sliding + once
        for window, flops in self.reaches:
            total = total + flops * mean_context(sequence_length, window=window, mask=mask)
        return total


def mean_context(sequence_length: Tokens, *, window: int = 0, mask: AttentionMask = AttentionMask.CAUSAL) -> Tokens:
    """Keys that a token attends to, averaged over the sequence.

    Causal S/2; within a window W < S it is W - W²/2S, continuous at W = S. `mean_context(8192.0, window=4096) == 3072`.
    """
    if mask is AttentionMask.FULL:
        return sequence_length
    reach: Tokens = np.minimum(sequence_length, window) if window else sequence_length
    if mask is AttentionMask.BIDIRECTIONAL:
        return reach
    return reach * (1 - reach / (2 * sequence_length))


def own_mask(arch: Architecture) -> AttentionMask:
    """Decoders are causal; encoders, ViT and DiT look both ways."""
    return AttentionMask.CAUSAL if arch.causal else AttentionMask.BIDIRECTIONAL


def layer_flops(arch: Architecture, context: float, *, moe: bool = False, absorbed: bool = False) -> LayerFlops:
    """Forward FLOPs per token of one layer whose tokens attend to `context` keys on average.

    `moe` picks the layer with experts, `absorbed` latent attention on its compressed cache (decode). Llama-3.1-8B at a
    mean context of 4096: 436.2 MFLOP in weights and 67.1 MFLOP in scores and values.
    """
    shape = attention_shape(arch, absorbed=absorbed)
    block = {term.name: term.fixed for term in moe_terms(arch)} if moe else {"ffn": ffn_flops(arch, arch.ffn)}
    scores, values = shape.score_per_key * context, shape.value_per_key * context
    return LayerFlops(shape.qkv, scores, values, shape.output, **block)


def forward_flops_per_token(
    arch: Architecture, sequence_length: float, *, attention: AttentionMask | str | None = None
) -> TokenFlops:
    """Forward FLOPs per token, the head on every token, multi-token prediction left out.

    `attention` is `own_mask` unless told. Llama-3.1-8B at 8192 tokens: 2 · 7,504,658,432 weights in matrices and
    32 layers · 4 · 4096 · 4096 of attention = 17.157 GFLOP.
    """
    mask = AttentionMask(attention) if attention else own_mask(arch)
    length = float(sequence_length)
    full, sliding = mean_context(length, mask=mask), mean_context(length, window=arch.window, mask=mask)
    values = {
        each.name: _evaluate(each, full, sliding, length) + _reached(each, length, mask) for each in forward_terms(arch)
    }
    return TokenFlops(MappingProxyType(values))


def training_flops_per_token(
    arch: Architecture, sequence_length: float, *, method: Method | str = Method.FULL, lora_rank: int = 16
) -> float:
    """Model FLOPs per trained token: 3 × forward (the backward pass costs two), multi-token prediction included.

    LoRA computes no gradients of frozen weights: 2 × weight products, 3 × attention core, 3 × adapters of `lora_rank`
    on the attention and dense feed-forward matrices. Llama-3.1-8B at 8192 tokens: 51.47 GFLOP.
    """
    forward = forward_flops_per_token(arch, sequence_length)
    context = mean_context(float(sequence_length), mask=own_mask(arch))
    if Method(method) is Method.FULL:
        return 3 * (forward.total + _evaluate(mtp_term(arch), context, context, float(sequence_length)))
    weights = forward.total - forward.attention_core
    return 2 * weights + 3 * forward.attention_core + 3 * _adapter_flops(arch, lora_rank)


def prefill_flops(arch: Architecture, input_tokens: float) -> float:
    """Model FLOPs to read one prompt or one image: attention over S²/2, the head on the last token only.

    An encoder that embeds has no head. Llama-3.1-8B, 2048 tokens: 29.69 TFLOP.
    """
    forward = forward_flops_per_token(arch, input_tokens)
    if arch.family in (Family.VISION, Family.DIFFUSION):
        return forward.total * input_tokens
    head = forward.terms["head"]
    return (forward.total - head) * input_tokens + (head if arch.causal else 0.0)


def decode_flops_per_token(arch: Architecture, context_tokens: float) -> float:
    """Model FLOPs to write one token that attends to `context_tokens` keys, its own included.

    Latent attention is counted on its compressed cache: expanding the context anew for each token is no model's work.
    """
    return float(decode_curve(arch).at(float(context_tokens)))


@lru_cache(maxsize=2048)
def forward_curve(arch: Architecture) -> ContextCurve:
    """`forward_flops_per_token(arch, s).total == forward_curve(arch).over(s, mask=own_mask(arch))`, at array speed."""
    return _curve(arch, forward_terms(arch))


@lru_cache(maxsize=2048)
def decode_curve(arch: Architecture) -> ContextCurve:
    """`decode_flops_per_token(arch, c) == decode_curve(arch).at(c)`, at array speed."""
    return _curve(arch, forward_terms(arch, absorbed=True))


def _curve(arch: Architecture, terms: tuple[FlopTerm, ...]) -> ContextCurve:
    return ContextCurve(
        fixed=sum(term.fixed for term in terms),
        per_key=sum(term.per_key for term in terms),
        per_window_key=sum(term.per_window_key for term in terms),
        per_sequence=sum(term.per_sequence for term in terms),
        window=arch.window,
        reaches=tuple(reach for term in terms for reach in term.reaches),
    )


def _reached(term: FlopTerm, length: float, mask: AttentionMask) -> float:
    """FLOPs per token of the blocks that have windows of their own."""
    return float(sum(flops * mean_context(length, window=window, mask=mask) for window, flops in term.reaches))


def _evaluate(term: FlopTerm, full: float, sliding: float, length: float) -> float:
    once = term.per_sequence / length
    return float(term.fixed + term.per_key * full + term.per_window_key * sliding + once)


def _adapter_flops(arch: Architecture, rank: int) -> float:
    """2·r·(inputs + outputs) for each adapted matrix: query, key, value, output and the dense feed-forward ones."""
    hidden, queries, keys = arch.hidden, arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    attention = 2 * (hidden + queries) + 2 * (hidden + keys)
    ffn = (3 if arch.gated_ffn else 2) * (hidden + arch.ffn)
    return 2.0 * rank * (arch.attention_layer_count * attention + arch.dense_layer_count * ffn)
