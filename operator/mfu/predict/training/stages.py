"""How many layers the stages of a pipeline hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfu.predict.training.arrays import Array, TrainingCase


@dataclass(frozen=True, slots=True)
class StageLayers:
    """Layers of the first stage, of the fullest stage but the last, and of the last one."""

    first: Array
    inner: Array
    inner_index: Array
    """Which stage is the first of the fullest ones."""
    last: Array


def stage_layers(case: TrainingCase, head_layers: Array) -> StageLayers:
    """Equal stages where layers divide, else the cut whose busiest stage has least; one engine has a rule of its own.

    Where chunks of layers do not divide, planners give every stage but the last the same whole number and the last one
    what is left, with the head (Megatron-Core `account_for_loss_in_pipeline_split`): 94 layers and a head of 0.8 over
    32 stages are 31 times 3 and 1, at most 3 where the mean is 2.96.
    """
    stages, layers = case.layout.pipeline, case.model.layers
    even = np.ceil(layers / stages)
    several = (np.mod(layers, stages * case.layout.virtual) != 0.0) & (stages > 1.0)
    inner = np.ceil((layers + head_layers) / stages - 1e-9)
    room = np.maximum(np.floor(inner - head_layers + 1e-9), 0.0)
    inner = np.where((stages - 1.0) * inner + room < layers, inner + 1.0, inner)
    inner = np.maximum(np.minimum(inner, layers), 1.0)
    last = np.maximum(layers - (stages - 1.0) * inner, 0.0)
    best = StageLayers(
        first=np.where(several, inner, even),
        inner=np.where(several, inner, even),
        inner_index=np.ones_like(even),
        last=np.where(several, last, even),
    )
    return _by_threshold(case, head_layers, best)


def _by_threshold(case: TrainingCase, head_layers: Array, other: StageLayers) -> StageLayers:
    """The cut of engines that count the head as layers: stage r of p ends where (r+1)·(L+head)/p is crossed.

    The block that crosses the threshold goes to the stage that it began in (huggingface/nanotron models/base.py,
    `build_model`: `cumulative_cost > threshold`), one layer more: 28 layers and a head of 3.6 over 2 stages are 16
    and 12. A block that ends on it ends the stage: 16 layers and a head of 4 over 4 stages are 5, 5, 5 and 1 (by their
    memory in layout_sweep.csv, 5 layers and not 6 for each further micro-batch).
    """
    stages, layers = case.layout.pipeline, case.model.layers
    share = (layers + head_layers) / stages
    low = np.ceil(share - 1e-9) - 1.0
    inner = np.where((share - low) * (stages - 1.0) >= 1.0, low + 1.0, low)
    last = np.maximum(layers - np.ceil((stages - 1.0) * share - 1e-9) + 1.0, 0.0)
    extra = np.maximum(np.ceil(1.0 / np.maximum(share - low, 1e-9) - 1e-9) - 1.0, 1.0)
    several = (case.stack.balances_head > 0.5) & (stages > 1.0)
    return StageLayers(
        first=np.where(several, np.minimum(np.maximum(low + 1.0, 1.0), layers), other.first),
        inner=np.where(several, np.minimum(np.maximum(inner, 1.0), layers), other.inner),
        inner_index=np.where(several & (inner > low), extra, 1.0),
        last=np.where(several, np.maximum(last - 1.0, 0.0), other.last),
    )


def head_as_layers(case: TrainingCase) -> Array:
    """The head in units of one layer, by matrix-product FLOPs."""
    model = case.model
    head = 2.0 * model.hidden * model.vocab
    return head / np.maximum((model.model_flops - model.attention_flops - head) / model.layers, 1.0)
