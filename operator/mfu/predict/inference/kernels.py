"""Time of one engine step: roofline per operator group, collectives, launch and host work. Vectorised over rows.

A step runs `decode` requests for one token each and `prefill` prompt tokens beside them in the same matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.launches import small_kernels, waited
from mfu.predict.inference.messages import expert_communication, pipeline_communication, tensor_communication
from mfu.predict.inference.shape import Number

_16BIT = 2.0


@dataclass(frozen=True, slots=True)
class ServingStep:
    """What one step of one replica schedules, counted over the replica."""

    decode: Number
    """Requests that decode one token (or one draft) each."""
    context: Number
    """Mean tokens in the cache of a decoding request."""
    prefill: Number = 0.0
    """Prompt tokens."""
    prefill_context: Number = 0.0
    """Mean tokens that a prompt token attends to."""
    prompts: Number = 0.0
    """Prompts that end in this step and sample their first token."""
    spread: Number = 1.0
    """Attention groups that share the prompt tokens: a prompt is read by one group while the others wait."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds of one step by part, and the bytes it had to read. `total` is the sum of the parts."""

    matrix_compute: Number
    """Matrix products at the rate they reach when compute-bound."""
    weight_reads: Number
    """What reading weights adds to them."""
    prefill_attention: Number
    decode_attention: Number
    activations: Number
    tensor_communication: Number
    expert_communication: Number
    pipeline_communication: Number
    bubble: Number
    """Stages that wait for the scheduler of the stage before."""
    launch: Number
    host: Number
    weight_bytes: Number
    """Weights read by one GPU, experts that no token chose left out."""
    cache_bytes: Number

    @property
    def communication(self) -> Number:
        return self.tensor_communication + self.expert_communication + self.pipeline_communication

    @property
    def total(self) -> Number:
        matrix = self.matrix_compute + self.weight_reads
        attention = self.prefill_attention + self.decode_attention
        return matrix + attention + self.activations + self.communication + self.bubble + self.launch + self.host


def with_bubble(step: StepTime, stages: Number, constants: ServingConstants) -> StepTime:
    """The step with what a serving engine's schedulers lose at each hand-over between pipeline stages."""
    return replace(step, bubble=constants.stage_seconds * (stages - 1.0))


def blend(first: StepTime, second: StepTime, share: Number, scale: Number) -> StepTime:
    """`scale` · ((1 − share) · first + share · second), part by part."""
    mixed = {
        each.name: scale * ((1 - share) * getattr(first, each.name) + share * getattr(second, each.name))
        for each in fields(StepTime)
    }
    return StepTime(**mixed)


@dataclass(frozen=True, slots=True)
class _Matrix:
    """One group of matrix products: seconds if only arithmetic counted, if only memory did, and the bytes read."""

    compute: Number
    memory: Number
    bytes: Number

    def roof(self, constants: ServingConstants) -> Number:
        """Smooth maximum: compute and memory overlap but for the ridge."""
        power = constants.roofline_power
        return (self.compute**power + self.memory**power) ** (1.0 / power)


def step_time(case: ServingCase, step: ServingStep, constants: ServingConstants) -> StepTime:
    """Seconds of one step, pipeline stages one after the other."""
    shape, layout = case.shape, case.layout
    written = step.decode * case.load.drafted
    tokens = written / layout.groups + step.prefill / step.spread
    groups = (
        _linear(case, tokens, constants),
        _experts(case, written + step.prefill, constants),
        _head(case, written / layout.groups + step.prompts / step.spread, constants),
    )
    compute = sum(each.compute for each in groups)
    each = constants.activation_passes + case.load.eager * constants.module_passes
    passes = each * shape.hidden * _16BIT * shape.layers
    decode_attention, cache_bytes = _decode_attention(case, step, constants)
    requests = step.decode / layout.groups + step.prompts / step.spread
    found = StepTime(
        matrix_compute=compute,
        weight_reads=sum(each.roof(constants) for each in groups) - compute,
        prefill_attention=_prefill_attention(case, step, constants),
        decode_attention=decode_attention,
        activations=(tokens * passes + _expert_bytes(case, step, constants))
        / (case.chip.bandwidth * constants.weight_stream),
        tensor_communication=tensor_communication(case, tokens, constants),
        expert_communication=expert_communication(case, tokens, constants),
        pipeline_communication=pipeline_communication(case, tokens, constants),
        bubble=0.0 * tokens,
        launch=case.host * small_kernels(case, step.prefill, constants),
        host=case.host * (constants.step_seconds * layout.pipeline + requests * constants.sequence_seconds)
        + case.waits * (constants.waiting_step_seconds + requests * constants.waiting_sequence_seconds),
        weight_bytes=sum(each.bytes for each in groups),
        cache_bytes=cache_bytes,
    )
    return replace(found, launch=found.launch + waited(case, found.total - found.host, constants))


def _linear(case: ServingCase, tokens: Number, constants: ServingConstants) -> _Matrix:
    """Attention projections, dense FFN and shared experts: every weight is read once a step."""
    shape, layout = case.shape, case.layout
    attention = shape.layers * shape.attention_weights
    ffn = shape.dense_layers * shape.dense_weights + shape.moe_layers * shape.shared_weights
    weights = (attention + ffn) / layout.tensor
    rate = _rate(case, constants, case.format.linear, case.chip.peak_linear)
    narrow = _narrow(case, case.format.linear, constants)
    return _matrix(case, constants, 2.0 * tokens * weights / rate, weights * case.format.linear, narrow)


def _experts(case: ServingCase, everywhere: Number, constants: ServingConstants) -> _Matrix:
    """Experts that at least one token of all groups chose: E · (1 − (1 − k/E)^tokens), spread over the stage's GPUs."""
    shape, layout = case.shape, case.layout
    experts = np.maximum(shape.experts, 1.0)
    touched = experts * -np.expm1(everywhere * np.log1p(-np.minimum(shape.top_k / experts, 0.999999)))
    balance = np.where(layout.expert > 1, constants.expert_balance, 1.0)
    stored = shape.moe_layers * shape.expert_weights / layout.stage_gpus
    width = shape.expert_weights / (3.0 * shape.hidden) * np.minimum(layout.expert / layout.stage_gpus, 1.0)
    older = case.chip.warps > 0
    half = np.where(older, constants.expert_narrow_warps, constants.expert_narrow)
    reached = np.where(shape.experts > 0, width / (width + half), 1.0)
    newer = np.where(case.chip.amd > 0, constants.grouped_amd, constants.grouped)
    grouped = np.where(older, constants.grouped_warps, newer) * reached
    rate = _rate(case, constants, case.format.expert, case.chip.peak_expert)
    rows = everywhere * shape.top_k / grouped + touched * constants.expert_tile
    compute = 2.0 * rows * stored / (rate * balance)
    narrow = _narrow(case, case.format.expert, constants)
    busiest = touched * _busiest(case, touched) * stored * case.format.expert
    return _matrix(case, constants, compute, busiest, narrow)


def _busiest(case: ServingCase, touched: Number) -> Number:
    """Touched experts of the rank that has most of them, over the mean: all wait for it to read its weights.

    Each of a rank's n = E/R experts is touched with the chance p = touched/E, so their number has the standard
    deviation √(n p (1 − p)); the largest of R such numbers lies 1.475 √ln R − 0.664 of them above the mean (within 5 %
    of the expected largest of 2 to 64 normal values). 4 tokens with 8 of 256 experts on 8 ranks: 1.71.
    """
    experts, ranks = np.maximum(case.shape.experts, 1.0), np.maximum(case.layout.expert, 1.0)
    chance = touched / experts
    above = np.maximum(1.475 * np.sqrt(np.log(ranks)) - 0.664, 0.0)
    spread = np.sqrt((1.0 - chance) * ranks / np.maximum(touched, 1e-9))
    return np.minimum(1.0 + above * spread, ranks)


def _expert_bytes(case: ServingCase, step: ServingStep, constants: ServingConstants) -> Number:
    """What gathering, quantising, activating and adding up the copies of each token for its experts moves, per GPU."""
    shape, layout = case.shape, case.layout
    ways = np.clip(layout.expert, 1.0, layout.stage_gpus)
    inner = shape.expert_weights / (3.0 * shape.hidden) * ways / layout.stage_gpus
    balance = np.where(layout.expert > 1, constants.expert_balance, 1.0)
    copies = (step.decode * case.load.drafted + step.prefill) * shape.top_k / (ways * balance)
    return shape.moe_layers * copies * (shape.hidden + inner) * _16BIT * constants.expert_passes


def _head(case: ServingCase, sampled: Number, constants: ServingConstants) -> _Matrix:
    """Logits of the tokens that are sampled, in 16 bit."""
    weights = case.shape.head_weights / case.layout.tensor
    rate = _rate(case, constants, case.format.head, case.chip.peak_16bit)
    return _matrix(case, constants, 2.0 * sampled * weights / rate, weights * case.format.head)


def _matrix(
    case: ServingCase, constants: ServingConstants, compute: Number, size: Number, narrow: Number = 1.0
) -> _Matrix:
    stream = case.chip.bandwidth * constants.weight_stream * narrow
    by_hand = case.chip.multiprocessors * constants.vector_bytes_per_s
    return _Matrix(compute, size / np.minimum(stream, by_hand), size)


def _rate(case: ServingCase, constants: ServingConstants, width: Number, peak: Number) -> Number:
    """Achieved FLOP/s: share of peak by the width of the arithmetic, slower where weights are widened first."""
    ratio = peak / case.chip.peak_16bit
    wide = np.where(ratio > 1.5, constants.matmul_8bit, constants.matmul_16bit)
    share = np.where(ratio > 3.0, constants.matmul_4bit, wide)
    return peak * share * _widening(case, width, constants) * case.chip.ceiling


def _widening(case: ServingCase, width: Number, constants: ServingConstants) -> Number:
    """Slowdown of products whose narrow weights are widened in the kernel first."""
    share = np.where(case.chip.warps > 0, constants.dequantise_warps, constants.dequantise)
    return np.where((case.format.dequantised > 0) & (width < _16BIT), share, 1.0)


def _narrow(case: ServingCase, width: Number, constants: ServingConstants) -> Number:
    """Rate of reading weights that are widened in the kernel over that of plain ones: scales are read beside."""
    return np.where((case.format.dequantised > 0) & (width < _16BIT), constants.narrow_stream, 1.0)


def _prefill_attention(case: ServingCase, step: ServingStep, constants: ServingConstants) -> Number:
    shape, layout = case.shape, case.layout
    full = step.prefill_context
    reach = np.minimum(2 * full, shape.window)
    slid = reach * (1 - reach / np.maximum(4 * full, 1.0))
    pairs = step.prefill * ((1 - shape.sliding_share) * full + shape.sliding_share * slid)
    flops = shape.layers * pairs * shape.prefill_pair_flops / (layout.tensor * step.spread)
    sinks = np.where((shape.sinks > 0) & (case.chip.warps > 0), constants.sink_attention, 1.0)
    return flops / (case.chip.peak_16bit * constants.prefill_attention * sinks * case.chip.ceiling)


def _decode_attention(case: ServingCase, step: ServingStep, constants: ServingConstants) -> tuple[Number, Number]:
    """(seconds, bytes of cache read by one GPU).

    Hugging Face modules write and read it once for every query head that shares a head, and once more to append to it
    or, compiled, all of the length that a request will have.
    """
    shape, layout, load = case.shape, case.layout, case.load
    whole = load.modules * (1.0 - load.eager) > 0
    reached = np.where(whole, load.input_tokens + load.output_tokens, step.context)
    slid = np.minimum(reached, shape.window)
    context = (1 - shape.sliding_share) * reached + shape.sliding_share * slid
    pairs = shape.layers * context * step.decode / layout.groups
    size = pairs * shape.kv_values * case.format.kv / kv_shards(case)
    rate = case.chip.peak_16bit * constants.decode_attention * case.chip.ceiling
    compute = pairs * case.load.drafted * shape.decode_pair_flops / layout.tensor / rate
    read = _Matrix(compute, size / (case.chip.bandwidth * constants.cache_stream), size).roof(constants)
    again = (shape.heads / shape.kv_heads - 1.0) * size / constants.reread_bytes_per_s
    seconds = np.where(case.load.ungrouped > 0, read + again, read)
    queries = shape.heads / shape.kv_heads
    copies = 2.0 * (load.eager + load.modules * np.where(queries > 1, queries, 0.0)) * size
    stream = np.where(load.eager > 0, constants.copy_stream, constants.cache_stream)
    return seconds + copies / (case.chip.bandwidth * stream), size


def kv_shards(case: ServingCase) -> Number:
    """Ways that tensor parallelism splits the cache: up to the KV heads, never a compressed MLA cache."""
    split = np.minimum(case.layout.tensor, case.shape.kv_heads)
    return np.where(case.shape.mla > 0, 1.0, split)
