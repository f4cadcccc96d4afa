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
    r"quantized|dynamic|fp8|fp4|nvfp4|mxfp4|awq|gptq|int4|int8|w4a16|w8a8|w8a16|gguf|q4_k_m|block|torchao|bf16|fp16)(?=[-_.]|$)"
)
_BETWEEN = re.compile(r"\.(?!\d+[bm](?![a-z0-9]))|[^a-z0-9.](?!\d+(\.\d+)?[bm](?![a-z0-9]))")
_NO_NAME = re.compile(r"\d+|main|latest|snapshots|hf|weights|models?|checkpoint[-_]?\d+|(?=.*\d)[0-9a-f]{7,40}")
"""Parts of a path that stand behind the one that names the model: versions, checkpoints, hashes."""
_FORMATS = (
    ("nvfp4", Precision.FP4, Precision.FP4),
    ("mxfp4", None, Precision.FP4),
    ("fp4", Precision.FP4, Precision.FP4),
    ("fp8", Precision.FP8, Precision.FP8),
    ("w8a8", Precision.INT8, Precision.INT8),
    ("w4a16", None, Precision.INT4),
    ("w8a16", None, Precision.INT8),
    ("awq", None, Precision.INT4),
    ("gptq", None, Precision.INT4),
    ("int4", None, Precision.INT4),
    ("bf16", None, Precision.BF16),
)


@dataclass(frozen=True, slots=True)
class NamedModel:
    """`block` is spec.model, None where the name is not known; `formats` what a quantised name says; `published` those
    in which its authors published it, where no name says another."""

    name: str
    block: Mapping[str, Any] | None
    formats: Mapping[str, str]
    published: Mapping[str, str]


def named_model(name: str) -> NamedModel:
    """`meta-llama/Llama-3.1-8B-Instruct` is the preset llama-3.1-8b; an unknown name has no block."""
    bare = name.strip().removeprefix("hf://").removeprefix("models/").rstrip("/")
    bare = bare if "://" in bare else bare.split(":")[0]
    last = _last(bare).lower()
    block = _block(bare, last)
    return NamedModel(bare, block, _formats(last), {} if _formats(last) else _published(block, last))


def _last(path: str) -> str:
    """The part of a path that names the model: of `/hub/models--Qwen--Qwen3-8B/snapshots/9c92` that is `Qwen3-8B`."""
    parts = [each for each in path.split("/") if each]
    named = next((each for each in reversed(parts) if not _NO_NAME.fullmatch(each.lower())), "")
    return named.rsplit("--", 1)[-1]


def _block(bare: str, last: str) -> Mapping[str, Any] | None:
    plain = _plain(last)
    known = _known().get(_letters(last)) or _known().get(_letters(plain))
    if known is None:
        return None
    if "preset" in known:
        return {"preset": known["preset"]}
    return model_block(from_config(dict(known) | {"_name_or_path": bare}))


def _published(block: Mapping[str, Any] | None, last: str) -> Mapping[str, str]:
    if block is None:
        return {}
    formats: Mapping[str, Mapping[str, str]] = table("mfu.adopt", "formats.yaml")
    called = str(block.get("preset") or last)
    return next((each for name, each in formats.items() if called == name or called.startswith(f"{name}-")), {})


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


def _letters(name: str) -> str:
    """Without what people put between: `llama-31-8b`, `Llama_3.1_8B` and `llama3.1-8b` are one name.

    A size keeps its point and what stands before it: opt-1.3b is no opt-13b, and gemma-3-1b no gemma-31b.
    """
    return _BETWEEN.sub("", name.lower().replace("_", "-"))


@lru_cache(maxsize=1)
def _known() -> Mapping[str, Mapping[str, Any]]:
    models: Mapping[str, Mapping[str, Any]] = table("mfu.adopt", "models.yaml")
    presets = {_letters(name): {"preset": name} for name in preset_names()}
    return presets | {_letters(name): entry for name, entry in models.items()}
