"""What a config.json that leaves a key out means: the defaults of its kind's configuration class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mfu.shipped import table

_ENDINGS = (
    "ForConditionalGeneration",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForRewardModel",
    "ForPreTraining",
    "ForMaskedLM",
    "ForCausalLM",
    "LMHeadModel",
    "Model",
)
_REMOTE_CLASSES = {
    "AquilaModel": "aquila",
    "Baichuan": "baichuan",
    "BailingMoe": "bailing_moe",
    "BailingMoeV2": "bailing_moe_v2",
    "ChatGLM": "chatglm",
    "Deepseek": "deepseek",
    "DeciLM": "nemotron-nas",
    "Exaone": "exaone",
    "InternLM": "internlm",
    "InternLM2": "internlm2",
    "InternLM3": "internlm3",
    "KimiK2": "kimi_k2",
    "LlavaLlama": "llama",
    "LlavaMistral": "mistral",
    "LlavaQwen": "qwen2",
    "MiMo": "mimo",
    "MiniCPM": "minicpm",
    "MiniCPM3": "minicpm3",
    "MiniMaxM3Sparse": "minimax_m3",
    "Orion": "orion",
    "Phi3V": "phi3",
    "Phi4MM": "phi3",
    "QWen": "qwen",
    "Step3p5": "step3p5",
    "Step3p7Flash": "step3p7",
}
"""Classes whose code comes with the weights, and the kind whose shape they have."""


@lru_cache(maxsize=1)
def _table() -> Mapping[str, Mapping[str, Any]]:
    defaults: Mapping[str, Mapping[str, Any]] = table("mfu.workload", "class_defaults.yaml")
    return defaults


def defaults_of(kind: str) -> Mapping[str, Any]:
    """Defaults of the shape keys of a kind, empty where it is not known."""
    found: Mapping[str, Any] = _table().get(kind, {}).get("defaults", {})
    return found


def with_real_names(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same config with every alias of a key also under the name that the kind's class gives it."""
    aliases: Mapping[str, str] = _table().get(kind, {}).get("aliases", {})
    known = {real: values[alias] for alias, real in aliases.items() if alias in values and real not in values}
    return dict(values) | known


@lru_cache(maxsize=1)
def _kinds_by_class() -> Mapping[str, str]:
    found = {stem: kind for kind, entry in _table().items() for stem in entry.get("classes", ())}
    return found | _REMOTE_CLASSES


def stem_of(model_class: str) -> str:
    """`LlamaForCausalLM` is of the stem `Llama`."""
    ending = next((each for each in _ENDINGS if model_class.endswith(each)), "")
    stem = model_class.removesuffix(ending) if ending else model_class
    return stem.removesuffix("Bidirectional").removesuffix("Bi") or stem


def kind_of_class(model_class: str) -> str | None:
    """The model_type whose shape a class of `architectures` has: `DeepseekV3ForCausalLM` is deepseek_v3."""
    return _kinds_by_class().get(stem_of(model_class))
