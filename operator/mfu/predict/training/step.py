"""One optimizer step as a sum of named seconds, for arrays of cases.

With t the time of one micro-batch on the mean stage, n micro-batches and p stages cut into v chunks:
step = n·t + (p-1)/v·t + n·(slowest - mean stage) + exposed communication + optimizer, and what the host adds.
1F1B and its interleaved form: Narayanan et al. 2021 (arXiv 2104.04473), section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from mfu.predict.names import StepTerm
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.communication import Exposed, data_seconds, layer_communication, pipeline_seconds
from mfu.predict.training.compute import Compute, compute
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.looped import hit_experts
from mfu.predict.training.optimizer import optimizer_seconds
from mfu.predict.training.stages import stage_layers
from mfu.predict.training.uncast import as_computed

HOST_NOTE = "The host sets the pace: kernels are launched slower than the GPU runs them."


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """Seconds of the step: `ideal` (model FLOPs at the declared peak) and losses; they add up to `seconds`."""

    ideal: Array
    losses: Mapping[StepTerm, Array]
    seconds: Array
    recomputed: Array
    """Forward passes done again, as a share of forward model FLOPs: HFU = MFU · (1 + recomputed / 3)."""

    @property
    def mfu(self) -> Array:
        return self.ideal / self.seconds


def step(case: TrainingCase, c: TrainingConstants) -> TrainingStep:
    """Evaluate every case; about 2 µs a case on one core."""
    case = as_computed(case)
    work = compute(case, c)
    comm = layer_communication(case, c, work)
    stages, batches = case.layout.pipeline, micro_batches(case)
    losses = _micro_batch_losses(case, c, work, comm)
    mean = sum(losses.values(), _ideal(work)) / stages
    scale = batches / stages
    parts = {name: value * scale for name, value in losses.items()}
    slow = slowest_stage(case, work, mean)
    parts[StepTerm.VOCABULARY_IMBALANCE] = batches * np.maximum(slow - mean, 0.0)
    host = host_waits(case, c, work, np.maximum(slow, mean))
    waits = np.maximum(host, kernel_gaps(case, c))
    parts[StepTerm.HOST] = batches * host
    parts[StepTerm.MEMORY_BOUND] = parts[StepTerm.MEMORY_BOUND] + batches * (waits - host)
    parts[StepTerm.PIPELINE_BUBBLE] = _idle_batches(case) * (mean + waits)
    parts[StepTerm.PIPELINE_COMMUNICATION] = pipeline_seconds(case, c, batches)
    parts[StepTerm.DATA_COMMUNICATION] = data_seconds(case, c, mean + waits, batches)
    parts[StepTerm.OPTIMIZER] = optimizer_seconds(case, c)
    parts[StepTerm.HOST] = parts[StepTerm.HOST] + case.stack.step_seconds
    return _finish(case, c, _ideal(work) * scale, parts)


def _idle_batches(case: TrainingCase) -> Array:
    """Micro-batches' time that a stage idles at the ends of a step.

    Fed from both ends it is (p/2 - 1) · (F&B + B - 3W): with F a third of a micro-batch, B two, W one and F&B three,
    two thirds of one each (arXiv 2412.19437, table 2). 16 stages: 7 · 2/3 = 4.7 instead of 15.
    """
    stages = case.layout.pipeline
    both = np.maximum(stages / 2.0 - 1.0, 0.0) * 2.0 / 3.0
    idle: Array = np.where(case.stack.two_way_pipeline > 0.5, both, (stages - 1.0) / case.layout.virtual)
    return idle


def micro_batches(case: TrainingCase) -> Array:
    """Micro-batches that one pipeline works through in a step."""
    layout = case.layout
    return np.maximum(layout.global_batch / (layout.data * layout.micro_batch), 1.0)


def _ideal(work: Compute) -> Array:
    linear = work.forward.linear.ideal + work.backward.linear.ideal
    return linear + work.forward.attention_ideal + work.backward.attention_ideal + work.head.ideal


def _micro_batch_losses(
    case: TrainingCase, c: TrainingConstants, work: Compute, comm: Exposed
) -> dict[StepTerm, Array]:
    forward, backward, head = work.forward, work.backward, work.head
    again = recompute_seconds(case, c, work) + comm.recompute
    held = case.machine.held
    slowed = held + (1.0 - held) * (1.0 - case.stack.fused_attention)
    ceiled = _sum(s.ceiled for s in (forward.linear, backward.linear, head))
    attended = forward.attention + backward.attention
    return {
        StepTerm.KERNEL_CEILING: held * ceiled - _sum(s.ideal for s in (forward.linear, backward.linear, head)),
        StepTerm.POWER_LIMIT: (1.0 - held) * ceiled + (1.0 - slowed) * attended,
        StepTerm.KERNEL_SHAPE: _sum(s.shaped - s.ceiled for s in (forward.linear, backward.linear, head)),
        StepTerm.EXPERT_IMBALANCE: _sum(s.waited - s.shaped for s in (forward.linear, backward.linear)),
        StepTerm.ATTENTION: slowed * attended - _sum(p.attention_ideal for p in (forward, backward)),
        StepTerm.MEMORY_BOUND: forward.elementwise + backward.elementwise + work.loss,
        StepTerm.RECOMPUTE: again,
        StepTerm.TENSOR_COMMUNICATION: comm.tensor,
        StepTerm.CONTEXT_COMMUNICATION: comm.context,
        StepTerm.EXPERT_COMMUNICATION: comm.expert,
    }


def _sum(values: Iterable[Array]) -> Array:
    return np.asarray(sum(values), dtype=float)


def busy_seconds(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds that the mean stage needs for one micro-batch, whatever the host does."""
    work = compute(case, c)
    losses = _micro_batch_losses(case, c, work, layer_communication(case, c, work))
    busy: Array = sum(losses.values(), _ideal(work)) / case.layout.pipeline
    return busy


def recompute_seconds(case: TrainingCase, c: TrainingConstants, work: Compute) -> Array:
    """Forward work done again in the backward pass: all of it, or attention and what is cheap to repeat."""
    mode = case.layout.recompute
    forward = work.forward
    stored = case.stack.selective_products * forward.linear.waited
    selective = (
        (1.0 - case.stack.fused_attention) * forward.attention + c["selective_share"] * forward.elementwise + stored
    )
    return np.where(mode == 2.0, forward.seconds, np.where(mode == 1.0, selective, 0.0))


def recomputed_share(case: TrainingCase) -> Array:
    """Recomputed over forward model FLOPs: layers without the head, or the scores that are not stored."""
    model, mode = case.model, case.layout.recompute
    layers = 1.0 - 2.0 * model.vocab * model.hidden / model.model_flops
    scores = (1.0 - case.stack.fused_attention) * model.attention_flops / model.model_flops
    products = case.stack.selective_products * (layers - model.attention_flops / model.model_flops)
    return np.where(mode == 2.0, layers, np.where(mode == 1.0, scores + products, 0.0))


def slowest_stage(case: TrainingCase, work: Compute, mean: Array) -> Array:
    """Time of one micro-batch on the busiest stage: layers come whole, and the last stage also holds the head."""
    stages, layers = case.layout.pipeline, case.model.layers
    head = work.head.shaped + work.loss
    layer = np.maximum((mean * stages - head) / layers, 1e-12)
    cut = stage_layers(case, head / layer)
    last = np.where(cut.last > 0.0, cut.last * layer + head, head)
    slow = np.maximum(np.maximum(cut.first, cut.inner) * layer, last)
    return np.where(stages > 1.0, slow, mean)


def host_seconds(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds in which the host launches one micro-batch of one stage."""
    layout = case.layout
    again = 1.0 + c["launch_recompute"] * (layout.recompute == 2.0)
    stack = case.stack
    split = layout.tensor > 1.0
    cut = np.where(split, stack.tensor_operations, 1.0) * (1.0 + c["launch_tensor"] * layout.tensor * split)
    waits = 1.0 + c["launch_blocking"] * layout.tensor * stack.blocking_pipeline * split * (layout.pipeline > 1.0)
    sharded = 1.0 + c["launch_shard"] * (layout.zero == 3.0) * (stack.shard_seconds == 0.0)
    dense = stack.seconds_per_layer * case.model.layers * cut * waits * sharded
    dense = dense + stack.dispatch_seconds * case.model.layers * split
    launches = (dense + _expert_launches(case, c) * case.model.moe_layers) * again
    seconds: Array = case.machine.host * (launches + stack.shard_seconds * case.model.layers) / layout.pipeline
    return seconds


def host_waits(case: TrainingCase, c: TrainingConstants, work: Compute, busy: Array) -> Array:
    """Seconds of one micro-batch of `busy` seconds in which the GPU has nothing to do.

    The host may run ahead, so the slower of both sets the pace. A loop that reads the loss back in every micro-batch
    starts each with an idle GPU: whatever launching the forward pass takes longer than running it is lost even where
    the rest would make up for it. Forward 40 ms of 150, host 130 ms, half of it forward: 65 - 40 = 25 ms. A loop over
    experts waits for the GPU at each, which then waits for all that the next one launches.
    """
    host = host_seconds(case, c)
    forward = work.forward.seconds / case.layout.pipeline
    late = case.stack.synchronises * (c["launch_forward"] * host - forward)
    loops = case.machine.host * _loop_launches(case) * case.model.moe_layers
    late = np.maximum(late, c["launch_forward"] * loops / case.layout.pipeline)
    waits: Array = np.maximum(np.maximum(host - busy, late), 0.0)
    return waits


def kernel_gaps(case: TrainingCase, c: TrainingConstants) -> Array:
    """Seconds of one micro-batch of one stage in which the GPU is between two kernels that follow one another: most are
    small operators, so their loss has it. A host that sets the pace hides them."""
    again = 1.0 + c["launch_recompute"] * (case.layout.recompute == 2.0)
    gaps: Array = c["kernel_gap"] * case.stack.seconds_per_layer * case.model.layers * again / case.layout.pipeline
    return gaps


def _expert_launches(case: TrainingCase, c: TrainingConstants) -> Array:
    """Host seconds of a layer with experts beyond a dense one's: a router; with expert parallelism also the dispatch,
    whose counts the host waits for however few operations the engine has elsewhere."""
    captured = 1.0 - c["captured"] * case.stack.captures * (case.machine.node > _HOST_OF_GPUS)
    routed = c["launch_router"] * case.stack.seconds_per_layer
    spread = c["launch_expert"] * captured * case.stack.exchange_seconds + case.stack.plain_exchange_seconds
    return np.where(case.layout.expert > 1.0, spread, routed) + _loop_launches(case)


def _loop_launches(case: TrainingCase) -> Array:
    """Host seconds of a layer in which experts run one after the other.

    64 experts, 78 operations each of 8.6 µs · 1.3: 56 ms.
    """
    seconds: Array = hit_experts(case) * case.stack.loop_seconds
    return seconds


_HOST_OF_GPUS = 8.0
"""More GPUs in one NVLink domain are racks of Grace hosts, slower at launching: recipes capture graphs there."""


def _finish(case: TrainingCase, c: TrainingConstants, ideal: Array, parts: dict[StepTerm, Array]) -> TrainingStep:
    subtotal = ideal + _sum(parts.values())
    doublings = np.log2(np.maximum(case.machine.gpus / case.machine.node, 1.0))
    parts[StepTerm.SYNCHRONISATION] = subtotal * c["jitter"] * doublings
    subtotal = subtotal + parts[StepTerm.SYNCHRONISATION]
    seconds = subtotal / case.stack.efficiency
    lost = (seconds - ideal) / np.maximum(subtotal - ideal, 1e-12)
    parts = {name: value * np.minimum(lost, 1.0) for name, value in parts.items()}
    parts[StepTerm.SOFTWARE_STACK] = np.maximum(seconds - subtotal, 0.0)
    return TrainingStep(ideal, parts, seconds, recomputed_share(case))
