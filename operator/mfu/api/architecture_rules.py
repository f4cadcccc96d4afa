"""CEL rules of `spec.model.architecture`: dimensions that contradict each other."""

from __future__ import annotations

from typing import Final

from mfu.api.cel import CELRule

_STRAY_MLA: Final = "mla is set but attention is not MLA: set attention to MLA or remove mla"
_NO_MLA: Final = "attention is MLA but mla is missing: add mla (kvRank, ropeHeadDim, nopeHeadDim, valueHeadDim)"

ARCHITECTURE_RULES: Final = (
    CELRule(
        rule="!has(self.kvHeads) || self.kvHeads < 1 || self.heads % self.kvHeads == 0",
        message=(
            "heads is {self.heads}, not divisible by kvHeads {self.kvHeads}: "
            "choose kvHeads that divides heads (as heads for MHA, 1 for MQA)"
        ),
        fallback="heads must be divisible by kvHeads",
        field=".kvHeads",
    ),
    CELRule(
        rule="has(self.headDim) || self.heads < 1 || self.hidden % self.heads == 0",
        message="hidden is {self.hidden}, not divisible by heads {self.heads}: correct them or set headDim",
        fallback="hidden must be divisible by heads, or headDim be given",
        field=".hidden",
    ),
    CELRule(
        rule="(self.attention == 'MLA') == has(self.mla)",
        message=f"{{has(self.mla) ? '{_STRAY_MLA}' : '{_NO_MLA}'}}",
        fallback="mla goes with attention MLA, and only with it",
        field=".mla",
    ),
    CELRule(
        rule="!has(self.moe) || self.moe.topK <= self.moe.experts",
        message="moe.topK is {self.moe.topK} but moe.experts is {self.moe.experts}: lower topK",
        fallback="moe.topK must not exceed moe.experts",
        field=".moe.topK",
    ),
    CELRule(
        rule="!has(self.moe) || self.moe.denseLayers < self.layers",
        message=(
            "moe.denseLayers is {self.moe.denseLayers} but layers is {self.layers}: lower denseLayers, or remove moe"
        ),
        fallback="moe.denseLayers must be below layers",
        field=".moe.denseLayers",
    ),
    CELRule(
        rule=(
            "self.ffn > 0 || has(self.ffnLayers) && self.ffnLayers == 0 || "
            "has(self.moe) && self.moe.denseLayers == 0 && self.moe.every == 1"
        ),
        message="ffn is 0 but the model has dense layers: set ffn to their inner width",
        field=".ffn",
    ),
    CELRule(
        rule="self.family != 'Decoder' && self.family != 'Encoder' || self.vocab > 0",
        message="vocab is 0: set it to the number of vocabulary entries",
        field=".vocab",
    ),
    CELRule(
        rule="self.family != 'Vision' && self.family != 'Diffusion' || self.inputFeatures > 0",
        message="inputFeatures is 0: set it to channels x patch x patch",
        field=".inputFeatures",
    ),
    *(
        CELRule(
            rule=f"!has(self.{name}) || self.{name} <= self.layers",
            message=f"{name} is {{self.{name}}} but layers is {{self.layers}}: lower {name}",
            fallback=f"{name} must not exceed layers",
            field=f".{name}",
        )
        for name in ("attentionLayers", "fullLayers", "ffnLayers")
    ),
    CELRule(
        rule="self.windowEvery <= self.layers",
        message="windowEvery is {self.windowEvery} but layers is {self.layers}: lower windowEvery",
        fallback="windowEvery must not exceed layers",
        field=".windowEvery",
    ),
)
