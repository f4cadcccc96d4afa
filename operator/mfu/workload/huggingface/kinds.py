"""Every model kind that is covered, and which one a config describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface import classic, decoder, encoder, hybrid, latent, mixtures, newer, scans, uneven
from mfu.workload.huggingface.decoder import Builder
from mfu.workload.huggingface.defaults import kind_of_class

BUILDERS: Final[Mapping[str, Builder]] = (
    decoder.BUILDERS
    | mixtures.BUILDERS
    | latent.BUILDERS
    | uneven.BUILDERS
    | hybrid.BUILDERS
    | scans.BUILDERS
    | newer.BUILDERS
    | classic.BUILDERS
    | encoder.BUILDERS
)


def model_types() -> tuple[str, ...]:
    """Every `model_type` (or diffusers `_class_name`) that is covered."""
    return tuple(sorted(BUILDERS))


def kind_of(values: Mapping[str, Any]) -> str:
    """The covered kind of a config: its model_type, else the kind whose class its `architectures` name.

    Raises UnsupportedConfig with the kinds covered.
    """
    named = values.get("model_type") or values.get("_class_name") or ""
    kind = named if isinstance(named, str) else ""
    if kind in BUILDERS:
        return kind
    if kind in _MINICPM_TEXT:
        return _by_version(kind, values)
    for each in classes_of(values):
        by_class = kind_of_class(each)
        if by_class is not None and by_class in BUILDERS:
            return by_class
    problem = f"{kind!r} is not covered" if kind else "is missing"
    if not kind:
        _refuse_other_files(values)
    fix = f"use one of {', '.join(model_types())}, or give model.architecture"
    raise UnsupportedConfig("model_type", problem, fix)


_MINICPM_TEXT: Final[Mapping[str, Mapping[str, str]]] = {
    "minicpmv": {"2.0": "minicpm", "2.5": "llama", "2.6": "qwen2", "4.0": "llama", "4.5": "qwen3"},
    "minicpmo": {"2.6": "qwen2"},
}
"""MiniCPM-V and -o state the text part's keys at the top; which model it is, their version says (model cards)."""


def _by_version(kind: str, values: Mapping[str, Any]) -> str:
    version = str(values.get("version", ""))
    found = _MINICPM_TEXT[kind].get(version)
    if found is None:
        known = ", ".join(_MINICPM_TEXT[kind])
        raise UnsupportedConfig("version", f"of {kind} is {version or 'missing'}", f"use one of {known}")
    return found


def _refuse_other_files(values: Mapping[str, Any]) -> None:
    """UnsupportedConfig for files that lie beside a config.json and are easily taken for it."""
    if "peft_type" in values:
        base = values.get("base_model_name_or_path") or "its base model"
        problem = "an adapter is no model of its own"
        raise UnsupportedConfig("peft_type", problem, f"give the config.json of {base}, and training.method: LoRA")
    if "producer" in values and "quantization" in values:
        problem = "this is hf_quant_config.json: it says how weights are stored, not what the model is"
        raise UnsupportedConfig("quantization", problem, "give the config.json beside it")
    if "dim" in values and "n_layers" in values:
        problem = "this is params.json of the original weights"
        raise UnsupportedConfig("dim", problem, "give the config.json of the Hugging Face weights")
    if "transformers_version" in values and "eos_token_id" in values and "hidden_size" not in values:
        problem = "this is generation_config.json"
        raise UnsupportedConfig("eos_token_id", problem, "give the config.json beside it")


def classes_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """`architectures`: the model classes that the weights belong to."""
    listed = values.get("architectures")
    if isinstance(listed, str):
        return (listed,)
    return tuple(each for each in listed if isinstance(each, str)) if isinstance(listed, list | tuple) else ()
