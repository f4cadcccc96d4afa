"""What the words of a published row say: its source, engine, release, compilation, and the requests of a named run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mfu.predict.inference.constants import UNSTATED
from mfu.predict.types import Compilation

_ENGINES = (
    ("tensorrtllm", r"tensorrt-?llm|trt-?llm|gptsession"),
    ("sglang", r"sglang"),
    ("vllm", r"vllm"),
    ("lmdeploy", r"lmdeploy"),
    ("fastertransformer", r"faster ?transformer"),
    ("gptfast", r"gpt-fast"),
    ("autoawq", r"autoawq"),
    ("transformers", r"\btransformers\b|pytorch eager|litgpt"),
    ("tgi", r"\btgi\b|text-generation-inference"),
    ("llamacpp", r"llama\.?cpp"),
    ("mlc", r"mlc-llm"),
    ("exllama", r"exllama"),
)
_VERSIONED = "vllm|sglang|lmdeploy|tensorrt-?llm|tgi"


def number(text: str | None) -> float | None:
    """The number a cell holds; None for blank, "max (unstated)" and everything else that is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def source_of(row: Mapping[str, str]) -> str:
    """Where a row was published; what names the single run is cut off."""
    return (row.get("source") or "").split(" id=")[0]


def engine_of(source: str) -> str:
    """The serving engine that a source names: `engine_of("… id=dsr1_b200_sglang_fp8_agg") == "sglang"`."""
    text = source.lower()
    return next((name for name, pattern in _ENGINES if re.search(pattern, text)), UNSTATED)


def version_of(source: str) -> str | None:
    """The release that a source names: `version_of("… (rocm6.4.1_vllm_0.9.1_20250715)") == "0.9"`."""
    found = re.search(rf"(?:\bv|vllm_|(?:{_VERSIONED})[ /]v?)(\d+\.\d+)", source, re.IGNORECASE)
    return found[1] if found else None


def compilation_of(source: str) -> Compilation | None:
    """Whether a source says that decoding ran compiled or not: `compilation_of("… (vLLM 0.9.1, eager)")` is `NONE`."""
    text = source.lower()
    if re.search(r"\beager\b", text):
        return Compilation.NONE
    return Compilation.FULL if re.search(r"torch\.compile|cuda graphs", text) else None


def named_concurrency(source: str) -> float | None:
    """Requests at once by a run's name: `named_concurrency("… id=dsr1_b200_trtllm_1024x1024_c256_cfg192") == 256.0`.

    None where it has no name, or one that does not say.
    """
    found = re.search(r" id=\S*_c(\d+)(?:_|$)", source)
    return float(found[1]) if found else None
