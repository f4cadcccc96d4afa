"""What the words of a published row say: its source, engine, release, compilation, and the requests of a named run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from mfu.predict.inference.constants import UNSTATED, engine_key
from mfu.predict.types import Compilation

_ENGINES = (
    ("tensorrtllm", r"tensorrt-?llm|trt-?llm|gptsession"),
    ("sglang", r"sglang"),
    ("vllm", r"vllm"),
    ("lmdeploy", r"lmdeploy"),
    ("fastertransformer", r"faster ?transformer"),
    ("gptfast", r"gpt-fast"),
    ("autoawq", r"autoawq"),
    ("tgi", r"\btgi\b|text-generation-inference"),
    ("llamacpp", r"llama\.?cpp|ollama|lm ?studio|kobold|llamafile|\bgguf\b"),
    ("mlc", r"mlc-llm"),
    ("exllama", r"exllama|tabbyapi"),
    ("transformers", r"\btransformers\b|hugging ?face\b|\bhf\b|bitsandbytes|gptq|unsloth|pytorch eager|litgpt"),
)
_VERSIONED = "vllm|sglang|lmdeploy|tensorrt-?llm|trt-?llm|tgi"
_OF_2024 = "LLM-Inference-Bench"
"""A table of several engines that does not say which ran a row."""


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


def publisher_of(source: str) -> str:
    """Who published: `publisher_of("QwenLM/Qwen3@7a2f61f docs/… (transformers)") == "QwenLM/Qwen3"`."""
    return source.split()[0].split("@")[0]


def engine_of(source: str) -> str:
    """The serving engine that a source names: `engine_of("… id=dsr1_b200_sglang_fp8_agg") == "sglang"`.

    What the last parentheses name comes first: `engine_of("InternLM/lmdeploy issue 210 (HF transformers)")` is
    "transformers"; where they name none that is known, their first words are one: `engine_of("… (calm, CUDA)")` is
    "calm".
    """
    text = source.lower()
    said = re.findall(r"\(([^()]*)\)", text)[-1:]
    known = next((name for part in (*said, text) for name, words in _ENGINES if re.search(words, part)), None)
    if known is not None or _OF_2024.lower() in text:
        return known or UNSTATED
    named = re.match(r"[a-z][\w .+-]*", said[0]) if said else None
    return engine_key(named[0]) if named else ""


def version_of(source: str) -> str | None:
    """The release that a source names: `version_of("… (rocm6.4.1_vllm_0.9.1_20250715)") == "0.9"`."""
    found = re.search(rf"(?:\bv|vllm_|(?:{_VERSIONED})[ /=-]*v?)(\d+\.\d+)", source, re.IGNORECASE)
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
