"""Keys that nobody read: those that change the shape or the mask are refused by name, the others that may are said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, Final

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnsupportedConfig
from mfu.workload.huggingface.reader import ModelConfig

_LOOKS_LIKE_SHAPE = re.compile(
    r"(^|_)(layers?|heads?|experts?|rank|dim|window|hidden_size|intermediate_size|ffn|sparse|topk|latent)(_|$)"
)
_HARMLESS = re.compile(
    r"rope|rotary|token_id|dropout|norm_eps|init|logit|softcap|aux|loss|n_group|topk_(group|method)|scaling|label|"
    r"max_|num_beam|num_return|num_logits|return_|output_|feature|pruned|chunk_size_feed|ep_size|pretraining|"
    r"mtp|nextn|num_hash|index_share|index_skip|index_topk_freq|index_topk_pattern|qk_head_dim|router|config$|"
    r"post_layer_norm|dim_model_base|context_window|prefill_chunk|cross_attention_hidden_size|top_k$|norm_topk|share_for|hash|ssm_dtype|num_labels|time_step|head_dropout|"
    r"^vision_|^image_|^audio_|^video_|mm_|projector|bottleneck|memory|summary|classifier|^num_channels$|hidden_act|"
    r"compress_rope|expert_group|multiplier|ignore_index|overlap|do_layer_norm|elementwise|num_kv_heads|"
    r"^attention_layers|query_pre|first_head|norm_head|hidden_dropout|kv_cache|use_cache|cache_implementation"
)
_NEUTRAL: tuple[Any, ...] = (None, False, 0, "", [], {}, -1)


@lru_cache(maxsize=1)
def _shaping() -> frozenset[str]:
    """Keys that change the shape or the mask of the kinds that use them."""
    return frozenset((resources.files("mfu.workload") / "data" / "shaping_keys.txt").read_text("utf-8").split())


def refuse_unread(config: ModelConfig) -> None:
    """UnsupportedConfig for the first key of the file that changes the shape or the mask and that nothing read."""
    for key, value in config.values.items():
        if key in _shaping() and key not in config.read and not _neutral(key, value) and not _switched_off(config, key):
            problem = f"is {_short(value)}, which kind {config.model_type!r} is not known to use"
            raise UnsupportedConfig(key, problem, "give model.architecture, or remove the key if it has no effect")


_SIZES: Final[Mapping[str, tuple[str, ...]]] = {
    "layers": ("num_hidden_layers", "num_layers", "n_layers", "n_layer"),
    "hidden": ("hidden_size", "n_embd", "n_embed", "d_model", "dim"),
    "heads": ("num_attention_heads", "num_heads", "n_heads", "n_head"),
    "vocab": ("vocab_size", "padded_vocab_size"),
}
"""What the main sizes are called from kind to kind."""


def refuse_contradicted(config: ModelConfig, arch: Architecture) -> None:
    """UnsupportedConfig where the file states a main size under a name that nothing read, and the class's default was
    taken for it.
    """
    for name, keys in _SIZES.items():
        stated = next((key for key in keys if isinstance(config.values.get(key), int) and key not in config.read), None)
        if stated is None or not any(key in config.assumed for key in keys):
            continue
        if config.values[stated] != getattr(arch, name):
            problem = f"is {config.values[stated]}, which kind {config.model_type!r} calls otherwise"
            raise UnsupportedConfig(
                stated, problem, f"write it as {next(each for each in keys if each in config.read)}"
            )


def unread(config: ModelConfig) -> Iterator[str]:
    """Other keys of the file that look as if they changed the shape and that nothing read."""
    for key, value in config.values.items():
        if key in config.read or key in _shaping() or isinstance(value, str | dict) or _neutral(key, value):
            continue
        if _LOOKS_LIKE_SHAPE.search(key) and not _HARMLESS.search(key):
            yield f"{key}: {_short(value)} was not read"


def _neutral(key: str, value: Any) -> bool:
    if key == "is_causal" and value is True:
        return True
    if key == "layer_types" and isinstance(value, list):
        return set(value) <= {"full_attention", "attention"}
    return any(value == each and type(value) is type(each) for each in _NEUTRAL)


def _switched_off(config: ModelConfig, key: str) -> bool:
    """A window that the file itself switches off (SmolLM3 writes Qwen's keys with `use_sliding_window: false`)."""
    if key not in ("sliding_window", "max_window_layers"):
        return False
    unused = config.values.get("use_sliding_window") is False or not config.values.get("sliding_window")
    kinds = config.values.get("layer_types")
    return unused or (isinstance(kinds, list) and bool(kinds) and _neutral("layer_types", kinds))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
