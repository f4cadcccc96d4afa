"""Which model a name means: a preset, dimensions that are known, and the format that a quantised name says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mfu.adopt.model import model_block
from mfu.hardware.types import Precision
from mfu.shipped import table
from mfu.workload.huggingface import from_config
from mfu.workload.presets import names as preset_names

_NOISE = re.compile(
    r"[-_](instruct|chat|it|hf|base|pt|sft|dpo|thinking|preview|distill|text|turbo|\d{4}|tp\d+|vl|unsloth|bnb|4bit|8bit|"
    r"quantized|dynamic|fp8|nvfp4|mxfp4|awq|gptq|int4|int8|w4a16|w8a8|w8a16|gguf|q4_k_m|block|torchao|bf16|fp16)(?=[-_.]|$)"
)
_FORMATS = (
    ("nvfp4", Precision.FP4, Precision.FP4),
    ("mxfp4", None, Precision.FP4),
    ("fp8", Precision.FP8, Precision.FP8),
    ("w8a8", Precision.INT8, Precision.INT8),
    ("w4a16", None, Precision.INT4),
    ("w8a16", None, Precision.INT8),
    ("awq", None, Precision.INT4),
    ("gptq", None, Precision.INT4),
    ("int4", None, Precision.INT4),
)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`block` is spec.model, None where the name is not known; `formats` what a quantised name says."""

    name: str
    block: Mapping[str, Any] | None
    formats: Mapping[str, str]


def named_model(name: str) -> NamedModel:
    """`meta-llama/Llama-3.1-8B-Instruct` is the preset llama-3.1-8b; an unknown name has no block."""
    bare = name.strip().removeprefix("hf://").removeprefix("models/").rstrip("/").split(":")[0]
    last = bare.rsplit("/", 1)[-1].lower()
    return NamedModel(bare, _block(bare, last), _formats(last))


def _block(bare: str, last: str) -> Mapping[str, Any] | None:
    plain = _plain(last)
    known = _known().get(last) or _known().get(plain)
    if known is not None and "preset" in known:
        return {"preset": known["preset"]}
    if known is not None:
        return model_block(from_config(dict(known) | {"_name_or_path": bare}))
    return {"preset": plain} if plain in preset_names() else None


def _plain(last: str) -> str:
    """`meta-llama-3.1-8b-instruct-fp8` without what does not change the shape: `llama-3.1-8b`."""
    text, before = last.removeprefix("meta-"), ""
    while text != before:
        before, text = text, _NOISE.sub("", text)
    return text.replace("_", "-")


def _formats(last: str) -> Mapping[str, str]:
    for mark, compute, weights in _FORMATS:
        if mark in last:
            return ({"compute": str(compute)} if compute else {}) | {"weights": str(weights)}
    return {}


@lru_cache(maxsize=1)
def _known() -> Mapping[str, Mapping[str, Any]]:
    models: Mapping[str, Mapping[str, Any]] = table("mfu.adopt", "models.yaml")
    return {name.lower(): entry for name, entry in models.items()}
