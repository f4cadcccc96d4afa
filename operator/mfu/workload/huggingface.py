"""A Hugging Face config.json turned into an Architecture. Clear errors: the missing key, or the model kinds covered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface_llama import BUILDERS as LLAMA_SHAPED
from mfu.workload.huggingface_others import BUILDERS as OTHERS
from mfu.workload.huggingface_reader import Config
from mfu.workload.validation import check

_BUILDERS = LLAMA_SHAPED | OTHERS


def model_types() -> tuple[str, ...]:
    """Every `model_type` (or diffusers `_class_name`) that is covered."""
    return tuple(sorted(_BUILDERS))


def from_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes; of a multimodal model, its text part.

    Raises UnsupportedConfig for a model kind that is not covered or a key that is missing, InvalidArchitecture for
    dimensions that contradict each other.
    """
    if not isinstance(config, Mapping):
        raise UnsupportedConfig("config.json", "is not an object", "give the whole config.json of the model")
    values = _text_part(config)
    kind = str(values.get("model_type") or values.get("_class_name") or "")
    builder = _BUILDERS.get(kind)
    if builder is None:
        problem = f"{kind!r} is not covered" if kind else "is missing"
        fix = f"use one of {', '.join(model_types())}, or give model.architecture"
        raise UnsupportedConfig("model_type", problem, fix)
    return check(builder(Config(values, kind)))


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = config.get("text_config")
    if not isinstance(nested, Mapping):
        return config
    inherited = {key: config[key] for key in ("_name_or_path", "model_type", "tie_word_embeddings") if key in config}
    return inherited | dict(nested)
