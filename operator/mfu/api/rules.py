"""CEL rules: what the API server refuses because the object itself shows that it is impossible.

Each has a Python twin in `checks.py` for files that never meet an API server; a test holds both to the same verdict.
Every message names the field, the values and what to change. The API server evaluates rules even after a minimum
failed, hence the guards before each `%`.
"""

from __future__ import annotations

from typing import Final

from mfu.api.cel import CELRule, text

_DIMS: Final = "self.model.architecture"


def _count_rule(block: str, meaning: str) -> CELRule:
    """accelerators.count against the product of the layout's degrees."""
    p = f"self.{block}.parallelism"
    count, model_ranks = "self.accelerators.count", f"({p}.tensor * {p}.pipeline * {p}.context)"
    ranks = f"{model_ranks} * {p}.data"
    data_fits = text(f" or {block}.parallelism.data to {{{count} / {model_ranks}}}")
    return CELRule(
        rule=f"!has(self.{block}) || {count} == {ranks}",
        message=(
            f"accelerators.count is {{{count}}} ({meaning}) but {block}.parallelism takes tensor {{{p}.tensor}} x "
            f"pipeline {{{p}.pipeline}} x context {{{p}.context}} x data {{{p}.data}} = {{{ranks}}} GPUs: "
            f"set accelerators.count to {{{ranks}}}"
            f"{{{model_ranks} > 0 && {count} % {model_ranks} == 0 ? {data_fits} : ''}}"
        ),
        fallback=f"accelerators.count must equal tensor x pipeline x context x data of {block}.parallelism",
        field=".accelerators.count",
    )


def _layout_rules(block: str) -> tuple[CELRule, ...]:
    """Expert degree against ranks; explicit dimensions against the layout."""
    p = f"self.{block}.parallelism"
    none = f"!has(self.{block})"
    implicit = f"{none} || !has({_DIMS})"
    ranks = f"({p}.tensor * {p}.context * {p}.data)"
    tensor, expert, pipeline = (f"{block}.parallelism.{degree}" for degree in ("tensor", "expert", "pipeline"))
    return (
        CELRule(
            rule=f"{none} || {p}.expert < 1 || {ranks} % {p}.expert == 0",
            message=(
                f"{expert} is {{{p}.expert}} but tensor x context x data is {{{ranks}}}: "
                "choose an expert degree that divides it"
            ),
            fallback=f"{expert} must divide tensor x context x data",
            field=f".{expert}",
        ),
        CELRule(
            rule=f"{implicit} || has({_DIMS}.moe) || {p}.expert <= 1",
            message=(
                f"{expert} is {{{p}.expert}} but model.architecture has no moe block: "
                "set expert to 1 or describe the experts"
            ),
            fallback=f"{expert} needs model.architecture.moe",
            field=f".{expert}",
        ),
        CELRule(
            rule=f"{implicit} || !has({_DIMS}.moe) || {p}.expert < 1 || {_DIMS}.moe.experts % {p}.expert == 0",
            message=(
                f"{expert} is {{{p}.expert}} but model.architecture.moe.experts is {{{_DIMS}.moe.experts}}: "
                "choose an expert degree that divides the experts"
            ),
            fallback=f"model.architecture.moe.experts must be divisible by {expert}",
            field=f".{expert}",
        ),
        CELRule(
            rule=f"{implicit} || {p}.tensor < 1 || {_DIMS}.heads % {p}.tensor == 0",
            message=(
                f"{tensor} is {{{p}.tensor}} but model.architecture.heads is {{{_DIMS}.heads}}: "
                "choose a tensor degree that divides the heads"
            ),
            fallback=f"model.architecture.heads must be divisible by {tensor}",
            field=f".{tensor}",
        ),
        CELRule(
            rule=(
                f"{implicit} || !has({_DIMS}.kvHeads) || {p}.tensor < 1 || {_DIMS}.kvHeads < 1 || "
                f"{_DIMS}.kvHeads % {p}.tensor == 0 || {p}.tensor % {_DIMS}.kvHeads == 0"
            ),
            message=(
                f"{tensor} is {{{p}.tensor}} and model.architecture.kvHeads is {{{_DIMS}.kvHeads}}: "
                "one must divide the other, so that key-value heads can be split or copied"
            ),
            fallback=f"model.architecture.kvHeads must divide, or be divisible by, {tensor}",
            field=f".{tensor}",
        ),
        CELRule(
            rule=f"{implicit} || {_DIMS}.layers >= {p}.pipeline",
            message=(
                f"{pipeline} is {{{p}.pipeline}} but model.architecture.layers is {{{_DIMS}.layers}}: "
                "lower the pipeline degree, each stage needs a layer"
            ),
            fallback=f"model.architecture.layers must be at least {pipeline}",
            field=f".{pipeline}",
        ),
    )


_T: Final = "self.training"
_P: Final = "self.training.parallelism"
_STEP: Final = f"({_P}.data * {_T}.microBatchSize)"
_CHUNKS: Final = f"({_P}.pipeline * {_P}.virtualPipeline)"

_TRAINING_RULES: Final = (
    CELRule(
        rule=f"!has({_T}) || {_STEP} < 1 || {_T}.globalBatchSize % {_STEP} == 0",
        message=(
            f"training.globalBatchSize is {{{_T}.globalBatchSize}}, not divisible by data {{{_P}.data}} x "
            f"microBatchSize {{{_T}.microBatchSize}} = {{{_STEP}}}: set globalBatchSize to "
            f"{{({_T}.globalBatchSize / {_STEP} + 1) * {_STEP}}}, or change microBatchSize"
        ),
        fallback="training.globalBatchSize must be divisible by parallelism.data x microBatchSize",
        field=".training.globalBatchSize",
    ),
    CELRule(
        rule=f"!has({_T}) || {_P}.context < 1 || {_T}.sequenceLength % {_P}.context == 0",
        message=(
            f"training.sequenceLength is {{{_T}.sequenceLength}}, not divisible by parallelism.context "
            f"{{{_P}.context}}: choose a context degree that divides the sequence"
        ),
        fallback="training.sequenceLength must be divisible by parallelism.context",
        field=".training.parallelism.context",
    ),
    CELRule(
        rule=f"!has({_T}) || {_P}.virtualPipeline <= 1 || {_P}.pipeline > 1",
        message=(
            f"training.parallelism.virtualPipeline is {{{_P}.virtualPipeline}} but pipeline is {{{_P}.pipeline}}: "
            "set virtualPipeline to 1 or raise pipeline"
        ),
        fallback="training.parallelism.virtualPipeline needs a pipeline degree above 1",
        field=".training.parallelism.virtualPipeline",
    ),
    CELRule(
        # Plain pipelines may be uneven; of interleaved ones embedding and head may count as a layer each, as in
        # Llama 3 405B (126 + 2 over 16 stages, arXiv:2407.21783 section 3.3.2).
        rule=(
            f"!has({_T}) || !has({_DIMS}) || {_P}.virtualPipeline <= 1 || {_CHUNKS} < 1 || "
            f"[0, 1, 2].exists(extra, ({_DIMS}.layers + extra) % {_CHUNKS} == 0)"
        ),
        message=(
            f"training.parallelism.pipeline x virtualPipeline is {{{_CHUNKS}}} but model.architecture.layers is "
            f"{{{_DIMS}.layers}}: choose degrees whose product divides the layers "
            "(embedding and head may count as one layer each)"
        ),
        fallback="model.architecture.layers must be divisible by pipeline x virtualPipeline",
        field=".training.parallelism.virtualPipeline",
    ),
)

_BOTH_TARGETS: Final = "both targetRef and podSelector are set: remove one of them"
_NO_TARGET: Final = "neither targetRef nor podSelector is set: add targetRef (apiVersion, kind, name) or podSelector"

_MODE_RULES: Final = (
    CELRule(
        rule="self.mode != 'Training' || has(self.training)",
        message="mode is Training but training is missing: add training with sequenceLength and globalBatchSize",
        field=".training",
    ),
    CELRule(
        rule="self.mode != 'Inference' || has(self.inference)",
        message="mode is Inference but inference is missing: add inputTokens, outputTokens and concurrency",
        field=".inference",
    ),
    CELRule(
        rule="self.mode != 'Training' || !has(self.inference)",
        message="mode is Training but inference is set: remove inference or set mode to Inference",
        field=".inference",
    ),
    CELRule(
        rule="self.mode != 'Inference' || !has(self.training)",
        message="mode is Inference but training is set: remove training or set mode to Training",
        field=".training",
    ),
    CELRule(
        rule="has(self.targetRef) != has(self.podSelector)",
        message=f"{{has(self.targetRef) ? '{_BOTH_TARGETS}' : '{_NO_TARGET}'}}",
        fallback="exactly one of targetRef and podSelector must be set",
        field=".targetRef",
    ),
    CELRule(
        rule=(
            "!has(self.podSelector) || has(self.podSelector.matchLabels) && self.podSelector.matchLabels.size() > 0 "
            "|| has(self.podSelector.matchExpressions) && self.podSelector.matchExpressions.size() > 0"
        ),
        message="podSelector is empty and would claim every pod of the namespace: add matchLabels",
        field=".podSelector",
    ),
    CELRule(
        rule="!has(self.accelerators.migProfile) || self.accelerators.migProfile == '' || self.accelerators.count <= 1",
        message=(
            "accelerators.count is {self.accelerators.count} with migProfile {self.accelerators.migProfile}: slices "
            "have no link between them, set count to 1 (per replica) or remove migProfile"
        ),
        fallback="accelerators.migProfile takes one slice: set count to 1",
        field=".accelerators.count",
    ),
)

_TRAINING_FORMATS: Final = ("gradients", "masterWeights", "optimizerState")

_FORMAT_RULES: Final = tuple(
    CELRule(
        rule=f"self.mode == 'Training' || !has(self.precision.{name})",
        message=f"precision.{name} is set but mode is Inference: remove {name}",
        field=f".precision.{name}",
    )
    for name in _TRAINING_FORMATS
)

SPEC_RULES: Final = (
    *_MODE_RULES,
    *_FORMAT_RULES,
    _count_rule("training", "in total"),
    _count_rule("inference", "per replica"),
    *_TRAINING_RULES,
    *_layout_rules("training"),
    *_layout_rules("inference"),
)

_TWO_MODELS: Final = "both model.preset and model.architecture are set: remove one of them"
_NO_MODEL: Final = "neither model.preset nor model.architecture is set: name a preset or give the dimensions"

MODEL_RULES: Final = (
    CELRule(
        rule="has(self.preset) != has(self.architecture)",
        message=f"{{has(self.preset) ? '{_TWO_MODELS}' : '{_NO_MODEL}'}}",
        fallback="exactly one of model.preset and model.architecture must be set",
    ),
)

_BITS: Final = "(self.{0} in ['FP32', 'TF32'] ? 32 : self.{0} in ['FP16', 'BF16'] ? 16 : 8)"

PRECISION_RULES: Final = (
    CELRule(
        rule=(
            "!has(self.masterWeights) || !has(self.weights) || "
            f"{_BITS.format('masterWeights')} >= {_BITS.format('weights')}"
        ),
        message=(
            "precision.masterWeights is {self.masterWeights}, narrower than weights {self.weights}: the copy keeps "
            "what weights round away, choose FP32"
        ),
        fallback="precision.masterWeights must not be narrower than precision.weights",
        field=".masterWeights",
    ),
)

DISTRIBUTION_RULES: Final = (
    CELRule(
        rule="!has(self.p95) || self.p95 >= self.mean",
        message="p95 is {self.p95} but mean is {self.mean}: raise p95 or lower mean",
        fallback="p95 must be at least the mean",
        field=".p95",
    ),
)

REPLICA_RULES: Final = (
    CELRule(
        rule="self.min <= self.max",
        message="replicas.min is {self.min} but replicas.max is {self.max}: raise max or lower min",
        fallback="replicas.min must not exceed replicas.max",
        field=".min",
    ),
)
