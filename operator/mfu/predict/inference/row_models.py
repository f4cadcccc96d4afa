"""The model of a published row, found by its dimensions and parameter counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from mfu.predict.inference.row_words import number
from mfu.workload.architecture import Architecture, MoE
from mfu.workload.parameters import count
from mfu.workload.presets import names, preset

_LARGEST = 1e7
_DIMENSIONS = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")


def architecture_of(row: Mapping[str, str]) -> Architecture:
    """The preset with the row's dimensions and parameter count; else the columns, with experts derived from the counts.

    Columns show neither experts nor latent attention, so a preset is preferred; it is found by numbers, not by name.
    """
    layers, hidden, heads, kv_heads, head_dim, ffn, vocab = (_size(row, key) for key in _DIMENSIONS)
    total, active = number(row.get("params_b")), number(row.get("active_params_b"))
    known = _known(layers, hidden, heads, (total or 0.0) * 1e9)
    if known is not None:
        return known
    base = Architecture(row["model"], layers, hidden, heads, kv_heads, head_dim, ffn, vocab)
    if total and active and 0 < active < 0.95 * total:
        return _mixture(base, total * 1e9, active * 1e9)
    return _dense(base, (total or 0.0) * 1e9)


def _size(row: Mapping[str, str], key: str) -> int:
    """A whole number of at least one; raises ValueError that names the column."""
    value = number(row[key])
    if value is None or not 1 <= value <= _LARGEST:
        raise ValueError(f"{key} is {row[key]!r}")
    return int(value)


@lru_cache(maxsize=4096)
def _known(layers: int, hidden: int, heads: int, total: float) -> Architecture | None:
    """The preset of those dimensions whose parameter count is nearest, None beyond 3 %."""
    same = [each for each in _presets() if (each.layers, each.hidden, each.heads) == (layers, hidden, heads)]
    near = [each for each in same if abs(count(each).total - total) <= 0.03 * total]
    return min(near, key=lambda each: abs(count(each).total - total), default=None)


@lru_cache(maxsize=1)
def _presets() -> tuple[Architecture, ...]:
    return tuple(preset(name) for name in names())


def _mixture(base: Architecture, total: float, active: float) -> Architecture:
    """Experts and top-k from the two parameter counts, every layer a mixture of `ffn`-wide gated experts."""
    rest = _attention_weights(base) + 2 * base.vocab * base.hidden
    expert = 3.0 * base.hidden * base.ffn * base.layers
    experts = max(2, round((total - rest) / expert))
    top_k = min(experts, max(1, round((active - rest) / expert)))
    return replace(base, moe=MoE(experts=experts, top_k=top_k, expert_ffn=base.ffn))


def _dense(base: Architecture, total: float) -> Architecture:
    """Gated or plain FFN, whichever comes nearer to the published count."""
    rest = total - _attention_weights(base)
    ffn = base.layers * base.hidden * base.ffn
    plain = total > 0 and abs(rest - 2 * ffn) < abs(rest - 3 * ffn)
    return replace(base, gated_ffn=not plain)


def _attention_weights(base: Architecture) -> float:
    return 2.0 * base.layers * base.hidden * base.head_dim * (base.heads + base.kv_heads)
