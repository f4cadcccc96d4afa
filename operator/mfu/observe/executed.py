"""How much of what the tensor pipes execute is model FLOPs: the declared intent turned into correction factors.

Counters see everything that runs on the pipe: recomputed layers, flash attention's second pass and masked diagonal
blocks, padded tiles, matrix products kept at a wider precision. Each is one factor here, executed time per model time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

from mfu.hardware.types import Precision
from mfu.memo import memo
from mfu.predict.types import AttentionKernel, Compilation, Inference, Phase, Recompute, Setup, Training
from mfu.workload.architecture import Architecture
from mfu.workload.flops import decode_flops_per_token, forward_flops_per_token

ATTENTION_BLOCK = 128
"""Rows of a flash-attention tile: a causal diagonal block is computed whole (arXiv 2307.08691 §3.1)."""
ATTENTION_BACKWARD = 5 / 4
"""Flash attention recomputes the scores in the backward pass: five matrix products where the model counts four."""
ATTENTION_PIPE = 1.15
"""Pipe time of an attention FLOP over that of a plain product, heads of 128; fitted with the constants of `counters` on
the 12 single-GPU and data-parallel H200 recordings. What it costs over a product grows as heads shrink (narrower
instructions): 1.30 at 64, as four Trainer runs on H100s show."""
USUAL_HEAD = 128
MASKED_SQUARE = 2.0
"""A compiled transformers model cannot skip the causal mask, so its kernel computes the whole square (torch 2.11,
transformers 5.17 on an H100, 8 layers, heads of 64: forward 5.2 → 17.3 ms, backward 14.1 → 45.9 ms a step)."""
TRAINER = re.compile(r"transformers|hugging|\btrl\b|trainer|axolotl|llama-?factory", re.IGNORECASE)
ATTENTION_PIPE_FP32 = 4.5
"""The same for 32-bit tensors: three TF32 products for one, on older instructions (H200 `fp32` recording: 3.55 %
tensor activity for 3.4 TFLOP/s of attention)."""
DECODE_QUERY_ROWS = 16
"""Rows of the smallest matrix instruction (m16n8k16): one query row, or one group of them, fills it partly."""
DECODE_PIPE = 1.65
"""Pipe time of those instructions on Hopper over its own wide ones (both H200 decode recordings, within 0.6 points)."""
TILE_ROWS = 64
"""Rows of the narrowest warp-group matrix instruction: fewer tokens than that still take the whole of it."""
FULL_RECOMPUTE_ENGINES = frozenset({"megatron", "megatron-lm", "nemo"})
"""Engines that run the whole layer again. Others stop once every saved tensor is back, before the layer's last
product (torch.utils.checkpoint, early stop of the non-reentrant variant)."""
_TRAINING_FORWARD = 1 / 3
_SIXTEEN_BIT = (Precision.BF16, Precision.FP16)


@dataclass(frozen=True, slots=True)
class Executed:
    """Executed over model pipe time, by reason; `relative_sd` is the doubt of their product."""

    recompute: float = 1.0
    attention: float = 1.0
    tiles: float = 1.0
    precision: float = 1.0
    attention_share: float = 0.0
    """Share of model FLOPs in scores and values."""
    relative_sd: float = 0.03

    @property
    def ratio(self) -> float:
        return self.recompute * self.attention * self.tiles * self.precision


UNDECLARED = Executed(attention=1.06, relative_sd=0.12)
"""Without intent: a few per cent of attention overhead, and the doubt of an undeclared recomputation."""


@memo(most=16384)
def executed(setup: Setup, *, recompute: Recompute | None = None, fused_attention: bool = True) -> Executed:
    """Correction factors of a declared workload; `recompute` overrides the declaration (given away by memory in use).

    1.4 B parameters at 2048 tokens, 12 sequences: attention is 7.1 % of model FLOPs and costs 1.42 of its model time:
    factor 1.030; full recomputation in PyTorch runs 0.213 of the model FLOPs again: factor 1.213.
    """
    if isinstance(setup, Training):
        return _training(setup, setup.recompute if recompute is None else recompute, fused_attention)
    return _inference(setup)


def _training(setup: Training, recompute: Recompute, fused: bool) -> Executed:
    arch, length = setup.architecture, float(setup.sequence_length)
    share, head = _shares(arch, length)
    attention = 1 + share * (_training_attention(setup, fused) - 1)
    tokens = setup.micro_batch_size * setup.sequence_length / setup.parallelism.context
    again = _recomputed(setup, recompute, share, head)
    doubt = 0.03 + 0.3 * share + (0.04 if recompute is Recompute.FULL else 0.0) + (0.0 if fused else 0.08)
    return Executed(
        recompute=1 + again,
        attention=attention,
        tiles=_padding(tokens),
        precision=_precision_mix(setup.precisions.compute, share + head),
        attention_share=share,
        relative_sd=doubt,
    )


def _training_attention(setup: Training, fused: bool) -> float:
    if not fused or setup.attention is AttentionKernel.EAGER:
        return 2.0 if setup.architecture.causal else 1.0
    passes = _TRAINING_FORWARD + (1 - _TRAINING_FORWARD) * ATTENTION_BACKWARD
    diagonal = 1 + ATTENTION_BLOCK / setup.sequence_length if setup.architecture.causal else 1.0
    square = MASKED_SQUARE if setup.architecture.causal and masks_whole_square(setup) else diagonal
    return passes * square * _attention_pipe(setup.precisions.compute, setup.architecture.head_dim)


def masks_whole_square(setup: Training) -> bool:
    """Compiled by transformers with PyTorch's own attention: half of what its kernel computes is masked away."""
    compiled = bool(setup.compiled) or setup.compilation in (Compilation.FULL, Compilation.REGIONAL)
    return compiled and setup.attention in (None, AttentionKernel.SDPA) and from_trainer(setup)


def from_trainer(setup: Training) -> bool:
    """Runs a model of the transformers library, by whichever trainer."""
    return TRAINER.search(setup.engine or "") is not None


def _attention_pipe(compute: Precision, head_dim: int) -> float:
    if compute in (Precision.FP32, Precision.TF32):
        return ATTENTION_PIPE_FP32
    return 1 + (ATTENTION_PIPE - 1) * USUAL_HEAD / max(head_dim, 32)


def _recomputed(setup: Training, recompute: Recompute, attention_share: float, head_share: float) -> float:
    if recompute is Recompute.NONE:
        return 0.0
    if recompute is Recompute.SELECTIVE:
        return 0.0 if attention_share < 1e-9 else attention_share * _TRAINING_FORWARD
    layers = 1 - head_share
    whole = layers * _TRAINING_FORWARD
    if (setup.engine or "").lower() in FULL_RECOMPUTE_ENGINES:
        return whole
    return whole - _last_product_share(setup.architecture, layers - attention_share) * _TRAINING_FORWARD


def _last_product_share(arch: Architecture, products_share: float) -> float:
    """The feed-forward down projection as a share of model FLOPs."""
    ffn = forward_flops_per_token(arch, 1.0).terms
    block = ffn.get("ffn", 0.0) + ffn.get("experts", 0.0) + ffn.get("shared_experts", 0.0)
    rest = block + ffn.get("qkv", 0.0) + ffn.get("output", 0.0)
    down = block / (3 if arch.gated_ffn else 2)
    return products_share * down / rest if rest else 0.0


def _inference(setup: Inference) -> Executed:
    arch = setup.architecture
    prefill_share, _ = _shares(arch, max(setup.input_tokens, 1.0))
    diagonal = 1 + ATTENTION_BLOCK / max(setup.input_tokens, float(ATTENTION_BLOCK)) if arch.causal else 1.0
    prefill = 1 + prefill_share * (diagonal * _attention_pipe(setup.precisions.compute, arch.head_dim) - 1)
    decode_share, decode = _decode_attention(setup)
    if setup.phase is Phase.PREFILL:
        return Executed(attention=prefill, attention_share=prefill_share, relative_sd=0.03 + 0.3 * prefill_share)
    if setup.phase is Phase.DECODE:
        return Executed(attention=decode, attention_share=decode_share, relative_sd=0.15)
    read = setup.input_tokens * forward_flops_per_token(arch, max(setup.input_tokens, 1.0)).total
    written = setup.output_tokens * decode_flops_per_token(arch, setup.input_tokens + setup.output_tokens / 2)
    weight = read / (read + written)
    share = weight * prefill_share + (1 - weight) * decode_share
    return Executed(attention=weight * prefill + (1 - weight) * decode, attention_share=share, relative_sd=0.12)


def _decode_attention(setup: Inference) -> tuple[float, float]:
    """Attention share of a decoded token, and the factor that its partly filled tiles cost."""
    arch = setup.architecture
    context = setup.input_tokens + setup.output_tokens / 2
    total = decode_flops_per_token(arch, context)
    share = 1 - decode_flops_per_token(arch, 0.0) / total
    group = max(1, arch.heads // max(1, arch.kv_heads))
    rows = DECODE_QUERY_ROWS / min(DECODE_QUERY_ROWS, group)
    return share, 1 + share * (rows * DECODE_PIPE - 1)


def _shares(arch: Architecture, length: float) -> tuple[float, float]:
    flops = forward_flops_per_token(arch, length)
    return flops.attention_core / flops.total, flops.terms.get("head", 0.0) / flops.total


def _padding(tokens: float) -> float:
    return ceil(tokens / TILE_ROWS) * TILE_ROWS / tokens if tokens > 0 else 1.0


def _precision_mix(compute: Precision, kept_wide: float) -> float:
    """FP8 and narrower recipes keep attention and the head in 16 bit: those take the pipe twice as long per FLOP."""
    if compute in (Precision.FP8, Precision.INT8):
        return 1 + kept_wide
    if compute in (Precision.FP4, Precision.INT4):
        return 1 + 3 * kept_wide
    return 1.0
