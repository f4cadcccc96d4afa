"""Matrix counts against the workload room, which counts the same models on its own."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.predict.inference.shape import shape_of, stack
from mfu.workload.flops import decode_flops_per_token
from mfu.workload.parameters import count
from mfu.workload.presets import preset

DECODERS = (
    "llama-2-7b",
    "llama-3.1-8b",
    "llama-3.1-405b",
    "mixtral-8x7b",
    "qwen3-235b-a22b",
    "deepseek-r1",
    "gpt-oss-120b",
    "llama-4-maverick",
    "gemma-2-27b",
    "falcon-40b",
    "gpt-3-175b",
)


@pytest.mark.parametrize("name", DECODERS)
def test_weights_add_up_to_the_parameter_count(name: str) -> None:
    assert shape_of(preset(name)).total_weights == pytest.approx(count(preset(name)).total, rel=0.004)


@pytest.mark.parametrize("name", DECODERS)
def test_one_token_costs_what_the_workload_room_says(name: str) -> None:
    shape, context = shape_of(preset(name)), 1000.0
    reach = (1 - shape.sliding_share) * context + shape.sliding_share * min(context, shape.window)
    flops = 2 * (shape.active_weights + shape.head_weights) + shape.layers * shape.decode_pair_flops * reach
    assert flops == pytest.approx(decode_flops_per_token(preset(name), context), rel=0.005)


def test_llama_8b_layer() -> None:
    shape = shape_of(preset("llama-3.1-8b"))
    assert (shape.attention_weights, shape.dense_weights) == (41_943_040, 176_160_768)
    assert shape.kv_values == 2 * 8 * 128


def test_latent_cache_holds_one_vector() -> None:
    assert shape_of(preset("deepseek-v3")).kv_values == 512 + 64


def test_every_second_layer_of_maverick_is_a_mixture() -> None:
    shape = shape_of(preset("llama-4-maverick"))
    assert (shape.moe_layers, shape.dense_layers) == (24, 24)


def test_stack_keeps_order() -> None:
    stacked = stack([shape_of(preset(name)) for name in ("llama-3.1-8b", "llama-2-7b")])
    assert np.array_equal(stacked.kv_heads, [8, 32])
