"""How many layers the stages of a pipeline hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfu.predict.training.arrays import Array, Case


@dataclass(frozen=True, slots=True)
class StageLayers:
    """Layers of the first stage, of the fullest stage but the last, and of the last one."""

    first: Array
    inner: Array
    inner_index: Array
    """Which stage is the first of the fullest ones."""
    last: Array


def stage_layers(case: Case, head_layers: Array) -> StageLayers:
    """Equal stages where layers divide; else the head counts as `head_layers` layers and cuts fall at equal cost.

    Where layers merely do not divide, stage r of p ends after floor((r+1)·(L+head)/p) layers. An engine that balances
    the head gives the block that crosses the threshold to the stage that it began in (huggingface/nanotron
    models/base.py, `build_model`: `cumulative_cost > threshold`), one layer more: 28 layers and a head of 3.6 over
    2 stages are 16 and 12.
    """
    stages, layers = case.layout.pipeline, case.model.layers
    even = np.ceil(layers / stages)
    balanced = (case.stack.balances_head > 0.5) | (np.mod(layers, stages * case.layout.virtual) != 0.0)
    share = (layers + head_layers) / stages
    low = np.floor(share + 1e-9)
    inner = np.where((share - low) * (stages - 1.0) >= 1.0, low + 1.0, low)
    last = np.maximum(layers - np.floor((stages - 1.0) * share + 1e-9), 0.0)
    extra = np.maximum(np.ceil(1.0 / np.maximum(share - low, 1e-9) - 1e-9) - 1.0, 1.0)
    crossing = np.where(case.stack.balances_head > 0.5, 1.0, 0.0)
    several = balanced & (stages > 1.0)
    return StageLayers(
        first=np.where(several, np.minimum(np.maximum(low + crossing, 1.0), layers), even),
        inner=np.where(several, np.minimum(np.maximum(inner, 1.0), layers), even),
        inner_index=np.where(several & (inner > low), extra, 1.0),
        last=np.where(several, np.maximum(last - crossing, 0.0), even),
    )


def head_as_layers(case: Case) -> Array:
    """The head in units of one layer, by matrix-product FLOPs."""
    model = case.model
    head = 2.0 * model.hidden * model.vocab
    return head / np.maximum((model.model_flops - model.attention_flops - head) / model.layers, 1.0)
