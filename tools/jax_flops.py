"""Counts the matrix products of a jaxpr, and writes the simulator's frozen table of FLOPs per token.

`python -m tools.jax_flops` traces each model of the table (nothing is executed) and writes
operator/mfu/sim/data/flops_per_token.json. The simulator plants its truth with these numbers, so that the operator is
not graded by its own formulas: neither this file nor `tools/jax_models.py` imports mfu.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from tools.jax_models import Dims, cache_shapes, decoder, decoder_step, decoder_weights

TABLE = Path(__file__).resolve().parent.parent / "operator/mfu/sim/data/flops_per_token.json"
_ATTENTION_SCOPES = ("qkv", "scores", "values", "output")
_BLOCK_SCOPES = ("ffn", "router", "experts", "shared_experts", "modulation")
_EDGE_SCOPES = ("head", "pooler", "patch_embedding", "timestep")
SCOPES = _ATTENTION_SCOPES + _BLOCK_SCOPES + _EDGE_SCOPES
_SCOPE = re.compile(r"\b(" + "|".join(SCOPES) + r")\b")


def count(function: Callable[..., Any], *shapes: Any) -> Counter[str]:
    """FLOPs of every matrix product of `function` at these shapes, by the innermost named scope ("" for none).

    2 FLOPs a multiply-add, attention in full; scans are multiplied by their length, the branches of a cond must agree.
    """
    closed = jax.make_jaxpr(function)(*shapes)
    return _count(closed.jaxpr, "")


def halved_attention(flops: Mapping[str, float]) -> float:
    """Total with the causal half of the scores and values."""
    full = sum(flops.values())
    return full - 0.5 * (flops.get("scores", 0) + flops.get("values", 0))


def _count(jaxpr: core.Jaxpr, scope: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for equation in jaxpr.eqns:
        inner_scope = _scope_of(equation, scope)
        if equation.primitive.name == "dot_general":
            total[inner_scope] += _dot_flops(equation)
            continue
        if equation.primitive.name == "conv_general_dilated":
            raise ValueError("a convolution: write it as a matrix product of patches")
        total.update(_count_nested(equation, inner_scope))
    return total


def _count_nested(equation: core.JaxprEqn, scope: str) -> Counter[str]:
    name = equation.primitive.name
    counts = [_count(jaxpr, scope) for jaxpr in _nested(equation.params)]
    if name == "cond":
        if any(each != counts[0] for each in counts):
            raise ValueError("the branches of a cond differ in FLOPs")
        return counts[0]
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    if name == "while" and total:
        raise ValueError("matrix products in a while loop: its length is not in the jaxpr")
    length = equation.params["length"] if name == "scan" else 1
    return Counter({key: value * length for key, value in total.items()})


def _nested(params: Mapping[str, Any]) -> Iterator[core.Jaxpr]:
    for value in params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, core.ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, core.Jaxpr):
                yield each


def _scope_of(equation: core.JaxprEqn, outer: str) -> str:
    found = _SCOPE.findall(str(equation.source_info.name_stack))
    return found[-1] if found else outer


def _sizes(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)


def _dot_flops(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, made = (_sizes(each) for each in (equation.invars[0], equation.outvars[0]))
    return 2 * math.prod(made) * math.prod(left[axis] for axis in contracted)


_LLAMA_70B = Dims(80, 8192, 64, 8, 128, 28672, 128256)
MODELS = {
    "llama-3.1-8b": Dims(32, 4096, 32, 8, 128, 14336, 128256),
    "llama-3.1-70b": _LLAMA_70B,
    "llama-3.3-70b": _LLAMA_70B,
    "llama-3.1-405b": Dims(126, 16384, 128, 8, 128, 53248, 128256),
    "llama-3.2-1b": Dims(16, 2048, 32, 8, 64, 8192, 128256),
    "llama-3.2-3b": Dims(28, 3072, 24, 8, 128, 8192, 128256),
    "llama-2-7b": Dims(32, 4096, 32, 32, 128, 11008, 32000),
    "qwen2.5-7b": Dims(28, 3584, 28, 4, 128, 18944, 152064),
    "qwen2.5-32b": Dims(64, 5120, 40, 8, 128, 27648, 152064),
    "qwen3-8b": Dims(36, 4096, 32, 8, 128, 12288, 151936),
    "mixtral-8x7b": Dims(32, 4096, 32, 8, 128, 0, 32000, experts=8, top_k=2, expert_ffn=14336),
    "qwen3-30b-a3b": Dims(48, 2048, 32, 4, 128, 0, 151936, experts=128, top_k=8, expert_ffn=768),
    "deepseek-v2-lite": Dims(
        layers=27,
        hidden=2048,
        heads=16,
        kv_heads=16,
        head_dim=192,
        ffn=10944,
        vocab=102400,
        experts=64,
        top_k=6,
        expert_ffn=1408,
        shared_ffn=2816,
        dense_layers=1,
        kv_rank=512,
        rope_dim=64,
        nope_dim=128,
        value_dim=128,
    ),
}
"""Dimensions from each model's published config.json; none of these slides a window."""

TOKENS = (128, 512, 1000, 1024, 2000, 2048, 2150, 2300, 4000, 4096, 8192, 16384, 32768)


def training_flops(dims: Dims, tokens: int) -> float:
    """Per trained token: three forward passes, head on every token, half of the attention."""
    forward = count(partial(decoder, dims), decoder_weights(dims), _ids(tokens))
    return 3 * halved_attention(forward) / tokens


def prefill_flops(dims: Dims, tokens: int) -> float:
    """Per input token of a prompt of that length: head on the last token only, half of the attention."""
    serve = partial(decoder, dims, head_on_last_only=True)
    return halved_attention(count(serve, decoder_weights(dims), _ids(tokens))) / tokens


def decode_flops(dims: Dims, tokens: int) -> float:
    """Per output token that attends to a context of that length."""
    return sum(count(partial(decoder_step, dims), decoder_weights(dims), _ids(1), cache_shapes(dims, tokens)).values())


KINDS: Mapping[str, Callable[[Dims, int], float]] = {
    "training": training_flops,
    "prefill": prefill_flops,
    "decode": decode_flops,
}


def rows(models: Mapping[str, Dims]) -> Iterator[dict[str, Any]]:
    """The rows of the frozen table."""
    for model, dims in models.items():
        for kind, flops in KINDS.items():
            for tokens in TOKENS:
                yield {"model": model, "kind": kind, "tokens": tokens, "flops_per_token": flops(dims, tokens)}


def main() -> int:
    """Write the table."""
    source = "dot_general of the jaxpr of tools/jax_models.py, counted by tools/jax_flops.py"
    lines = ",\n".join("  " + json.dumps(row) for row in rows(MODELS))
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(f'{{"source": "{source}",\n "rows": [\n{lines}\n]}}\n', encoding="utf-8")
    sys.stdout.write(f"{TABLE}\n")
    return 0


def _ids(tokens: int) -> jax.ShapeDtypeStruct:
    shaped: Callable[..., jax.ShapeDtypeStruct] = jax.ShapeDtypeStruct
    return shaped((tokens,), jnp.int32)


if __name__ == "__main__":
    raise SystemExit(main())
