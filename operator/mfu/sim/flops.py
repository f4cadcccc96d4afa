"""FLOPs per token of the simulated models: a frozen table, counted once from jax, interpolated in length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np

from mfu.sim.truth import InvalidPlan, Truth, TruthMode

TRAINING: Final = "training"
PREFILL: Final = "prefill"
DECODE: Final = "decode"

Table = Mapping[tuple[str, str], tuple[tuple[float, float], ...]]


@lru_cache(maxsize=1)
def load_table() -> Table:
    """(model, kind) → points (tokens, FLOPs per token), sorted by tokens."""
    file = resources.files("mfu.sim") / "data" / "flops_per_token.json"
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in json.loads(file.read_text(encoding="utf-8"))["rows"]:
        points.setdefault((row["model"], row["kind"]), []).append((row["tokens"], row["flops_per_token"]))
    return {key: tuple(sorted(found)) for key, found in points.items()}


def flops_per_token(model: str, kind: str, tokens: float) -> float:
    """Model FLOPs per trained, prompt or output token at that length; between two lengths full attention is linear."""
    points = load_table().get((model, kind))
    if not points:
        raise InvalidPlan("model", f"{model!r} has no {kind} row in the FLOPs table; set {_OVERRIDE}")
    lengths, flops = zip(*points, strict=True)
    if not lengths[0] <= tokens <= lengths[-1]:
        raise InvalidPlan("sequence-length", f"{model} is counted from {lengths[0]} to {lengths[-1]} tokens only")
    return float(np.interp(tokens, lengths, flops))


def training_flops_per_token(truth: Truth) -> float:
    """Per trained token: forward and backward, recomputation not counted."""
    return truth.flops_per_token or flops_per_token(truth.model, TRAINING, truth.sequence_length)


def request_flops(truth: Truth) -> tuple[float, float]:
    """Model FLOPs of one request: of its prompt, and of its output tokens at their mean context."""
    if truth.flops_per_token is not None:
        return 0.0, truth.flops_per_token * truth.output_tokens
    prefill = decode = 0.0
    if truth.mode is not TruthMode.DECODE:
        prefill = truth.input_tokens * flops_per_token(truth.model, PREFILL, truth.input_tokens)
    if truth.mode is not TruthMode.PREFILL:
        context = truth.input_tokens + truth.output_tokens / 2
        decode = truth.output_tokens * flops_per_token(truth.model, DECODE, context)
    return prefill, decode


def prefill_share(truth: Truth) -> float:
    """Share of a request's FLOPs that its prompt takes; 0 for training, which has no prompt."""
    if truth.mode is TruthMode.TRAINING or truth.mfu == 0:
        return 0.0
    prefill, decode = request_flops(truth)
    return prefill / (prefill + decode)


_OVERRIDE: Final = "the flops-per-token annotation"
