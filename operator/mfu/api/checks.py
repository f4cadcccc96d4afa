"""Contradictions that the declaration itself shows: the Python twins of the CEL rules in `rules.py`.

The API server refuses these at once; here they serve files that never meet one, and objects older than a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from mfu.api.inference import TokenDistribution
from mfu.api.modelworkload import Mode, WorkloadSpec
from mfu.api.training import Parallelism, Training
from mfu.hardware.problem import Problem, ProblemReason
from mfu.hardware.types import BYTES_PER_VALUE, Precision

Check = Callable[[WorkloadSpec], Iterator[Problem]]


def declared(spec: WorkloadSpec) -> Iterator[Problem]:
    """Every contradiction within the declaration, in the order of the fields."""
    for check in _CHECKS:
        yield from check(spec)


def _invalid(field: str, problem: str, fix: str) -> Problem:
    return Problem(ProblemReason.INVALID_SPEC, field, problem, fix)


def _impossible(field: str, problem: str, fix: str) -> Problem:
    return Problem(ProblemReason.IMPOSSIBLE_LAYOUT, field, problem, fix)


def _mode(spec: WorkloadSpec) -> Iterator[Problem]:
    blocks = {Mode.TRAINING: spec.training, Mode.INFERENCE: spec.inference}
    for mode, block in blocks.items():
        name = mode.lower()
        if mode == spec.mode and block is None:
            yield _invalid(name, f"is missing but mode is {mode}", f"add {name}")
        if mode != spec.mode and block is not None:
            yield _invalid(name, f"is set but mode is {spec.mode}", f"remove {name} or set mode to {mode}")


def _target(spec: WorkloadSpec) -> Iterator[Problem]:
    if spec.target_ref is not None and spec.pod_selector is not None:
        yield _invalid("targetRef", "and podSelector are both set", "remove one of them")
    if spec.target_ref is None and spec.pod_selector is None:
        yield _invalid("targetRef", "and podSelector are both missing", "add one of them")
    if spec.pod_selector is not None and spec.pod_selector.empty:
        yield _invalid("podSelector", "is empty and would claim every pod of the namespace", "add matchLabels")


def _model(spec: WorkloadSpec) -> Iterator[Problem]:
    if (spec.model.preset is None) == (spec.model.architecture is None):
        state = "missing" if spec.model.preset is None else "set"
        yield _invalid("model.preset", f"and model.architecture are both {state}", "give exactly one of them")


def _dimensions(spec: WorkloadSpec) -> Iterator[Problem]:
    """What the workload room cannot see any more once absent dimensions are filled in."""
    dims = spec.model.architecture
    if dims is None:
        return
    if dims.head_dim is None and dims.hidden % dims.heads:
        problem = f"is {dims.hidden}, not divisible by heads {dims.heads}"
        yield _invalid("model.architecture.hidden", problem, "correct them or set headDim")
    if dims.window_every > dims.layers:
        problem = f"is {dims.window_every} but layers is {dims.layers}"
        yield _invalid("model.architecture.windowEvery", problem, "lower windowEvery")
    if dims.moe is not None and dims.moe.dense_layers >= dims.layers:
        problem = f"is {dims.moe.dense_layers} but layers is {dims.layers}"
        yield _invalid("model.architecture.moe.denseLayers", problem, "lower denseLayers, or remove moe")


def _formats(spec: WorkloadSpec) -> Iterator[Problem]:
    formats = spec.precision
    kept = {
        "gradients": formats.gradients,
        "masterWeights": formats.master_weights,
        "optimizerState": formats.optimizer_state,
    }
    for name, value in kept.items():
        if value is not None and spec.mode is Mode.INFERENCE:
            yield _invalid(f"precision.{name}", "is set but mode is Inference", f"remove {name}")
    copy, weights = formats.master_weights, formats.weights
    if copy is not None and weights is not None and _width(copy) < _width(weights):
        problem = f"is {copy}, narrower than weights {weights}"
        yield _invalid("precision.masterWeights", problem, "the copy keeps what weights round away, choose FP32")


def _width(precision: Precision) -> float:
    """Bytes; formats of 8 bits and fewer are not told apart."""
    return max(1.0, BYTES_PER_VALUE[precision])


def _mig(spec: WorkloadSpec) -> Iterator[Problem]:
    profile, count = spec.accelerators.mig_profile, spec.accelerators.count
    if profile and count > 1:
        problem = f"is {count} with migProfile {profile}, and slices have no link between them"
        yield _impossible("accelerators.count", problem, "set count to 1 (per replica) or remove migProfile")


def _count(spec: WorkloadSpec) -> Iterator[Problem]:
    for block, meaning in ((spec.training, "in total"), (spec.inference, "per replica")):
        if block is not None and block.parallelism.gpus != spec.accelerators.count:
            yield _wrong_count(spec.accelerators.count, block.parallelism, meaning)


def _wrong_count(count: int, layout: Parallelism, meaning: str) -> Problem:
    degrees = f"tensor {layout.tensor} x pipeline {layout.pipeline} x context {layout.context} x data {layout.data}"
    model_ranks = layout.tensor * layout.pipeline * layout.context
    fix = f"set accelerators.count to {layout.gpus}"
    if count % model_ranks == 0:
        fix += f" or parallelism.data to {count // model_ranks}"
    problem = f"is {count} ({meaning}) but parallelism takes {degrees} = {layout.gpus} GPUs"
    return _impossible("accelerators.count", problem, fix)


def _experts(spec: WorkloadSpec) -> Iterator[Problem]:
    for name, block in (("training", spec.training), ("inference", spec.inference)):
        if block is None:
            continue
        layout = block.parallelism
        ranks = layout.tensor * layout.context * layout.data
        if ranks % layout.expert:
            problem = f"is {layout.expert} but tensor x context x data is {ranks}"
            fix = "choose an expert degree that divides it"
            yield _impossible(f"{name}.parallelism.expert", problem, fix)


def _step(spec: WorkloadSpec) -> Iterator[Problem]:
    if spec.training is not None:
        yield from _batch(spec.training)
        yield from _sequence(spec.training)


def _batch(training: Training) -> Iterator[Problem]:
    data, micro = training.parallelism.data, training.micro_batch_size
    per_round, batch = data * micro, training.global_batch_size
    if batch % per_round:
        problem = f"is {batch}, not divisible by data {data} x microBatchSize {micro} = {per_round}"
        fix = f"set globalBatchSize to {(batch // per_round + 1) * per_round}, or change microBatchSize"
        yield _impossible("training.globalBatchSize", problem, fix)


def _sequence(training: Training) -> Iterator[Problem]:
    layout = training.parallelism
    if training.sequence_length % layout.context:
        problem = f"is {training.sequence_length}, not divisible by parallelism.context {layout.context}"
        yield _impossible("training.sequenceLength", problem, "choose a context degree that divides the sequence")
    if layout.virtual_pipeline > 1 and layout.pipeline == 1:
        problem = f"is {layout.virtual_pipeline} but pipeline is 1"
        yield _impossible("training.parallelism.virtualPipeline", problem, "set it to 1 or raise pipeline")


def _requests(spec: WorkloadSpec) -> Iterator[Problem]:
    if spec.inference is None:
        return
    yield from _length("inference.inputTokens", spec.inference.input_tokens)
    yield from _length("inference.outputTokens", spec.inference.output_tokens)
    replicas = spec.inference.replicas
    if replicas.min > replicas.max:
        problem = f"is {replicas.min} but replicas.max is {replicas.max}"
        yield _invalid("inference.replicas.min", problem, "raise max or lower min")


def _length(field: str, tokens: TokenDistribution) -> Iterator[Problem]:
    if tokens.high < tokens.mean:
        yield _invalid(f"{field}.p95", f"is {tokens.p95} but mean is {tokens.mean}", "raise p95 or lower mean")


_CHECKS: Final[tuple[Check, ...]] = (
    _mode,
    _target,
    _model,
    _formats,
    _dimensions,
    _mig,
    _count,
    _experts,
    _step,
    _requests,
)
