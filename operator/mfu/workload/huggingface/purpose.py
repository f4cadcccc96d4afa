"""What the model is for: which head it has and whether its tokens look ahead, by `architectures` and by its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mfu.workload.architecture import Architecture, Family
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.reader import ModelConfig

_HEADLESS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForRewardModel")
_BOTH_WAYS = re.compile(r"bi_?direc|bidir_|BiModel|BiFor|EncoderModel", re.IGNORECASE)
"""NV-Embed's bidir_mistral, llama_bidirec, LLM2Vec's LlamaBiModel and LlamaEncoderModel."""
_WITH_HEAD = ("LMHeadModel", "ForCausalLM", "ForMaskedLM", "ForConditionalGeneration", "ForPreTraining")


def with_purpose(arch: Architecture, config: ModelConfig, classes: tuple[str, ...]) -> tuple[Architecture, list[str]]:
    """The architecture with the head and mask that it is used with, and a sentence for each that is not usual."""
    notes: list[str] = []
    arch = _mask(arch, config, classes, notes)
    return _head(arch, config, classes, notes), notes


def _mask(arch: Architecture, config: ModelConfig, classes: tuple[str, ...], notes: list[str]) -> Architecture:
    if arch.family is Family.ENCODER and config.flag("is_decoder", default=False):
        notes.append("is_decoder: tokens do not look ahead, read as a decoder")
        return replace(arch, family=Family.DECODER)
    if arch.family is not Family.DECODER or not _looks_ahead(config, classes, notes):
        return arch
    if arch.blocks:
        raise UnsupportedConfig("use_bidirectional_attention", "on layers that keep a state", "give model.architecture")
    notes.append("tokens look ahead: read as an encoder, attention over all keys (or all of the window)")
    return replace(arch, family=Family.ENCODER)


def _looks_ahead(config: ModelConfig, classes: tuple[str, ...], notes: list[str]) -> bool:
    both = config.value("use_bidirectional_attention", "bidirectional", "bidirectional_attention")
    if both == "vision":
        notes.append("image tokens look ahead of themselves (use_bidirectional_attention: vision): counted as causal")
        both = False
    if both not in (None, False, True, "all"):
        raise UnsupportedConfig("use_bidirectional_attention", f"is {both!r}", "use true or false")
    kind = config.value("attn_type")
    if kind not in (None, "causal", "decoder", "uni", "bi", "bidirectional", "full", "encoder_only"):
        raise UnsupportedConfig("attn_type", f"is {kind!r}", "give model.architecture")
    causal = config.value("is_causal", "causal")
    kinds = (str(config.values.get("model_type", "")), config.model_type)
    named = any(_BOTH_WAYS.search(each) for each in (*classes, *kinds))
    return bool(both) or causal is False or named or kind in ("bi", "bidirectional", "full", "encoder_only")


def _head(arch: Architecture, config: ModelConfig, classes: tuple[str, ...], notes: list[str]) -> Architecture:
    if arch.family in (Family.VISION, Family.DIFFUSION) or not classes:
        return arch
    if any(each.endswith(_WITH_HEAD) for each in classes):
        return arch
    labels = config.mapping("id2label")
    if any(each.endswith(_HEADLESS) for each in classes):
        count = len(labels) or config.integer("num_labels", default=2)
        notes.append(f"{classes[0]}: no vocabulary head; its {count} outputs are not counted")
        return replace(arch, lm_head=False)
    if any(each.endswith("Model") for each in classes) and not _generates(config):
        notes.append(f"{classes[0]}: no vocabulary head")
        return replace(arch, lm_head=False)
    return arch


def _generates(config: ModelConfig) -> bool:
    """ChatGLM's class is called ChatGLMModel; `auto_map` says that it has a head."""
    if config.model_type == "chatglm":
        return True
    mapped = config.mapping("auto_map")
    return "AutoModelForCausalLM" in mapped and "AutoModel" not in mapped


def towers(config: Mapping[str, Any], text_key: str) -> list[str]:
    """Parts of a multimodal config that were left out, by key."""
    parts = (
        *("vision_config", "visual", "audio_config", "vision_tower", "speech_config", "encoder", "talker_config"),
        *("mm_vision_tower", "mm_audio_tower", "img_processor", "audio_processor", "tts_config"),
    )
    dropped = [key for key in parts if isinstance(config.get(key), Mapping | str)]
    if text_key:
        dropped += [key for key, value in config.items() if _is_part(key, value, text_key) and key not in dropped]
    return dropped if text_key or dropped else []


def _is_part(key: str, value: Any, text_key: str) -> bool:
    """A nested config with a kind or a width of its own, beside the text part (NV-Embed's latent attention)."""
    if not isinstance(value, Mapping) or key == text_key.partition(".")[0]:
        return False
    return key.endswith("_config") and any(each in value for each in ("model_type", "hidden_size", "latent_dim"))
