"""From a whole config.json to what it means, with a sentence for everything that was assumed or left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.defaults import defaults_of, with_real_names
from mfu.workload.huggingface.kinds import BUILDERS, classes_of, kind_of
from mfu.workload.huggingface.precision import StoredPrecision, precision_of
from mfu.workload.huggingface.purpose import towers, with_purpose
from mfu.workload.huggingface.reader import ModelConfig
from mfu.workload.huggingface.unread import refuse_contradicted, refuse_unread, unread
from mfu.workload.validation import check

_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "language_model")
_INHERITED = ("_name_or_path", "model_type", "tie_word_embeddings", "architectures")
_TOP_DEFAULT_TIED = {"gemma3": True, "gemma4": True, "paligemma": True}


@dataclass(frozen=True, slots=True)
class Understood:
    """A config.json: the model, its formats, and sentences about what was assumed and what was left out."""

    kind: str
    architecture: Architecture
    precision: StoredPrecision
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Keys of parts that were left out: the towers of a multimodal model."""


def from_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a config.json describes; of a multimodal model, its text part.

    Raises UnsupportedConfig for a model kind that is not covered, a key that is missing, or one that changes the
    shape and is not understood; InvalidArchitecture for dimensions that contradict each other.
    """
    return understand(config).architecture


def understand(config: Mapping[str, Any]) -> Understood:
    """Everything that a config.json says about the model. Errors as `from_config`."""
    if not isinstance(config, Mapping):
        raise UnsupportedConfig("config.json", "is not an object", "give the whole config.json of the model")
    part, values = _text_part(config)
    kind = kind_of(values)
    values = with_real_names(kind, values)
    read = ModelConfig(values, kind, _defaults(kind, config, nested=bool(part)))
    _need_sizes(read, nested=bool(part))
    arch, notes = with_purpose(_with_activation(BUILDERS[kind](read), read), read, classes_of(values))
    refuse_unread(read)
    refuse_contradicted(read, arch)
    precision = precision_of(config, values)
    dropped = towers(config, part)
    notes += _said(read, values, arch=arch, precision=precision, dropped=dropped)
    notes += _around(config, values) if part else []
    return Understood(kind, check(arch), precision, tuple(notes), tuple(dropped))


def _text_part(config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The key of the text part ("" where the config is one itself) and its values with what it inherits."""
    for key in _TEXT_PARTS:
        nested = config.get(key)
        if isinstance(nested, Mapping):
            inner_key, inner = _text_part(nested)
            part = {each: config[each] for each in _INHERITED if each in config} | dict(inner)
            return f"{key}.{inner_key}".rstrip("."), _with_outer_classes(config, part)
    return "", config


def _with_outer_classes(config: Mapping[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The outer model decides which head there is; a text part without a kind of its own takes the outer one's."""
    outer = classes_of(config)
    if outer and all(each.endswith("ForConditionalGeneration") for each in outer):
        part["architectures"] = [*classes_of(part), *outer]
    return part


def _defaults(kind: str, config: Mapping[str, Any], *, nested: bool) -> Mapping[str, Any]:
    found = defaults_of(kind) or defaults_of(f"{kind}_text")
    tied = _TOP_DEFAULT_TIED.get(str(config.get("model_type")))
    return dict(found) | {"tie_word_embeddings": tied} if nested and tied is not None else found


def _with_activation(arch: Architecture, config: ModelConfig) -> Architecture:
    habit = "gelu_new" if config.model_type in _NEW_BY_DEFAULT else ""
    name = config.text("activation_function", "hidden_act", "activation", default=habit)
    return replace(arch, written_activation=not arch.gated_ffn and name in _WRITTEN_ACTIVATIONS)


_NEW_BY_DEFAULT = frozenset({"gpt2", "gptj", "gpt_neo", "codegen", "phi"})
_WRITTEN_ACTIVATIONS = frozenset({"gelu_new", "gelu_fast", "gelu_accurate", "quick_gelu"})
"""Classes of transformers/activations.py that compute in Python; the others are one kernel of PyTorch."""


def _need_sizes(config: ModelConfig, *, nested: bool) -> None:
    """A text part may lean on its class for everything; a config of its own names at least its depth and width."""
    if nested or not config.defaults:
        return
    for name, keys in _SIZES.items():
        if not config.given(*keys):
            raise config.missing(_own_name(config, keys) or name)


_SIZES = {
    "num_hidden_layers": (
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "hybrid_override_pattern",
        "layers_block_type",
    ),
    "hidden_size": ("hidden_size", "n_embd", "n_embed", "d_model", "dim"),
}


def _own_name(config: ModelConfig, keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if key in config.defaults), None)


_PREDICTION = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")


def _said(
    read: ModelConfig,
    values: Mapping[str, Any],
    *,
    arch: Architecture,
    precision: StoredPrecision,
    dropped: list[str],
) -> list[str]:
    notes, kind = [], read.model_type
    named = values.get("model_type")
    if named != kind and named:
        notes.append(f"model_type {named!r} is read as {kind}, by architectures")
    if dropped:
        notes.append(f"text part only: {', '.join(dropped)} is not counted")
    assumed = {key: value for key, value in read.assumed.items() if value not in (None, False)}
    if assumed:
        listed = ", ".join(f"{key} {value}" for key, value in sorted(assumed.items()))
        notes.append(f"not in the file, default of its class: {listed}")
    ahead = next((key for key in _PREDICTION if isinstance(values.get(key), int) and values[key]), None)
    if ahead is not None and not arch.mtp_layers:
        notes.append(f"{ahead}: {values[ahead]} prediction layers are trained beside the model and not counted")
    if precision.problem:
        notes.append(precision.problem)
    return [*notes, *unread(read)]


def _around(config: Mapping[str, Any], text: Mapping[str, Any]) -> list[str]:
    """What the whole model says of layers beside those of its text part: OpenFlamingo's cross_attn_every_n_layers."""
    return list(unread(ModelConfig({key: value for key, value in config.items() if key not in text}, "")))


def renamed(understood: Understood, name: str) -> Understood:
    """The same with another display name."""
    return replace(understood, architecture=replace(understood.architecture, name=name))
