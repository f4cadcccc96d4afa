"""Gathered inputs of tensor-parallel products that the allocator may not use again yet.

Engines that gather on a second stream free a block long before the GPU has read it, and the allocator holds it until
then (`Tensor.record_stream` of PyTorch). How many are held depends on how far the host runs ahead of the GPU: a launch
queue holds about as many kernels as `gathered_layers` layers have, whatever the model. A host that waits in every
exchange between stages runs ahead only over the micro-batches with which a step begins, or where the GPU is the
slower of both; a job that stalls holds none. Blocks that would fill the memory are given back first.

Jobs of layout_sweep.csv that did not stall held 20 to 30 layers' worth with 16, 28, 32 and 80 layers, over 2 to 32
tensor ranks and 1 to 32 stages.
"""

from __future__ import annotations

import numpy as np

from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.communication import flat_stalled_share, spans_nodes
from mfu.predict.training.compute import tokens
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.step import busy_seconds, host_seconds, micro_batches


def gathered_bytes(case: TrainingCase, c: TrainingConstants) -> Array:
    """Bytes held so on one GPU: two inputs of the hidden width a layer.

    Llama-3.1-8B, 4,096 tokens, 22 layers: 22 · 2 · 4096 · 4096 · 2 bytes = 1.48 GB.
    """
    if not np.any(case.stack.keeps_gathered):
        return np.zeros(np.shape(case.layout.tensor))
    layers = np.where(case.layout.pipeline > 1.0, _in_pipeline(case, c), _alone(case, c))
    layer = 2.0 * case.model.hidden * tokens(case) * case.machine.activation_bytes
    held = layers * layer * case.stack.keeps_gathered * (case.layout.tensor > 1.0)
    return np.where(held > c["gathered_room"] * case.machine.memory, 0.0, held)


def _alone(case: TrainingCase, c: TrainingConstants) -> Array:
    layers: Array = c["gathered_layers"] * (1.0 - flat_stalled_share(case, c))
    return layers


def _in_pipeline(case: TrainingCase, c: TrainingConstants) -> Array:
    """The more of both: the micro-batches in flight but the two that overlap, or half of those that are still to come
    where the GPU is the slower of both."""
    layout, batches = case.layout, micro_batches(case)
    stage = case.model.layers / layout.pipeline
    beginning = stage * np.maximum(np.minimum(layout.pipeline, batches) - 2.0, 0.0)
    ratio = busy_seconds(case, c) / np.maximum(host_seconds(case, c), 1e-12)
    slower = np.clip(ratio / c["gathered_busy"] - 1.0, 0.0, 1.0)
    ahead = np.minimum(np.maximum(beginning, slower * stage * (batches - 1.0) / 2.0), c["gathered_layers"])
    nodes = case.machine.gpus / case.machine.node
    steady = 1.0 - np.minimum(nodes / c["stall_nodes"], 1.0) ** c["gathered_growth"]
    layers: Array = ahead * np.where(nodes > 1.0, steady, 1.0) * ~spans_nodes(case)
    return layers
