"""Small kernels and their launches: what a layer takes beside its products, and what the GPU waits for its host."""

from __future__ import annotations

import numpy as np

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.shape import Number

_REFERENCE_BANDWIDTH = 3.35e12
"""H100's memory."""
_AHEAD = 3.0
"""How sharply the time of the GPU and that of a host that launches for it combine."""


def small_kernels(case: ServingCase, prompts: Number, constants: ServingConstants) -> Number:
    """Faster on faster memory and clocks, slower outside CUDA graphs, which hold no prompts."""
    shape = case.shape
    pace = (case.chip.bandwidth / _REFERENCE_BANDWIDTH) ** -constants.layer_speed
    pace = pace * case.chip.clock**-constants.layer_clock * case.layout.tensor**-constants.layer_split
    layer = constants.layer_seconds * (shape.hidden / 4096) ** constants.layer_growth * pace
    eager = np.where(np.asarray(prompts) > 0, constants.eager_layer_seconds, 0.0)
    layer = layer + case.chip.amd * constants.amd_layer_seconds + eager
    seconds: Number = shape.layers * layer + shape.moe_layers * constants.moe_layer_seconds
    return seconds


def waited(case: ServingCase, busy: Number, constants: ServingConstants) -> Number:
    """What the GPU waits, beyond the `busy` seconds of its own work, for a host that launches each kernel from Python.

    The host runs ahead of the GPU but for where the program asks it for a value: a smooth maximum of both. 28 layers of
    0.88 ms: 24.6 ms a token, be the model of 1.5 or of 7 billion parameters (A100: 25.2 and 24.8 ms).
    """
    looped = case.load.eager * case.shape.moe_layers * case.shape.experts
    layers = case.eager * case.shape.layers
    python = layers * constants.python_layer_seconds + looped * constants.python_expert_seconds
    both: Number = (busy**_AHEAD + python**_AHEAD) ** (1.0 / _AHEAD)
    return both - busy
