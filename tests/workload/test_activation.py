"""Activations that a model's code writes out operation by operation: read from the config, else its class's habit."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.workload.huggingface import from_config

GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
}
ROWS: dict[str, tuple[dict[str, Any], bool]] = {
    "GPT-2 as its class has it": (GPT2, True),
    "GPT-2 with one kernel": (GPT2 | {"activation_function": "gelu"}, False),
    "a kernel of PyTorch by another name": (GPT2 | {"activation_function": "gelu_pytorch_tanh"}, False),
    "gated, whatever the name": (LLAMA | {"hidden_act": "gelu_new"}, False),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_written_in_python(name: str) -> None:
    config, written = ROWS[name]
    assert from_config(config).written_activation is written
