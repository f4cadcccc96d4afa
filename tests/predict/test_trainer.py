"""Recorded runs of the plain Hugging Face Trainer: what a line declares, its step time, its memory by term."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mfu.hardware.types import Precision
from mfu.predict.fit.tables import read
from mfu.predict.training.arrays import TrainingStack
from mfu.predict.training.constants import shipped
from mfu.predict.training.stack import stack_of
from mfu.predict.types import AttentionKernel, Compilation, Optimizer, Problem, Sharding
from mfu.predict.validate.runs import validate_any
from mfu.predict.validate.sweep import allocator_bytes
from mfu.predict.validate.trainer import predicted, question, validate_trainer

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LINES = [json.loads(line) for line in (DATA / "fresh/hf_trainer.jsonl").read_text(encoding="utf-8").splitlines()]
RECORDINGS = Path(__file__).resolve().parents[2] / "e2e" / "recordings"
BY_NAME = {line["scenario"]: line for line in LINES}


def test_what_a_line_declares() -> None:
    found = question(BY_NAME["hf-fsdp-pcie"])
    assert not isinstance(found, Problem)
    setup, placement = found
    assert (setup.precisions.compute, setup.precisions.weights) == (Precision.BF16, Precision.FP32)
    assert (setup.sharding, setup.parallelism.data, placement.nvlink) == (Sharding.ZERO3, 2, False)
    assert (setup.compilation, setup.attention) == (Compilation.NONE, AttentionKernel.SDPA)
    assert setup.global_batch_size == 4


def test_accumulation_and_optimizers_are_read() -> None:
    line = {**BY_NAME["qwen06-accum"], "optim": "adafactor"}
    found = question(line)
    assert not isinstance(found, Problem)
    assert (found[0].global_batch_size, found[0].optimizer) == (16, Optimizer.ADAFACTOR)


def test_step_time_and_memory_of_shared_and_own_recordings() -> None:
    for lines in (LINES, read("trainer.jsonl")):
        found = validate_trainer(lines)
        assert found.mape is not None and found.mape < 0.13
        memory = found.extra["memory_mape"]
        assert memory is not None and memory < 0.06


RECORDED = {
    "h100_trainer.jsonl": (0.09, 0.06),
    "h200_trainer.jsonl": (0.10, 0.06),
    "h200_shards.jsonl": (0.08, 0.06),
    "h100_unseen.jsonl": (0.10, 0.06),
}


@pytest.mark.parametrize("name", RECORDED)
def test_step_time_and_memory_of_runs_that_were_recorded_to_be_predicted(name: str) -> None:
    """Other models and settings on one GPU, DDP and FSDP on two with and without NVLink, sharded programs on four."""
    most, most_memory = RECORDED[name]
    lines = [json.loads(line) for line in (RECORDINGS / name).read_text(encoding="utf-8").splitlines()]
    found = validate_trainer([line for line in lines if "error" not in line])
    assert found.mape is not None and found.mape < most
    memory = found.extra["memory_mape"]
    assert memory is not None and memory < most_memory


def _stack(name: str, file: str = "h200_trainer.jsonl") -> TrainingStack:
    lines = (json.loads(line) for line in (RECORDINGS / file).read_text(encoding="utf-8").splitlines())
    found = question(next(line for line in lines if line["scenario"] == name))
    assert not isinstance(found, Problem)
    return stack_of(found[0], shipped())


def test_the_host_keeps_each_parameter_of_a_sharded_layer() -> None:
    """Nine parameters of a Llama layer: 38 operations a micro-batch and a fourth of 15 a step, 1.3 times as long as on
    the host where they were counted."""
    operation = 1.3 * shipped()["host_operation"]
    sharded = _stack("tinyllama-fsdp-amp-accum")
    assert float(sharded.shard_seconds) / operation == pytest.approx(9 * (38 + 15 / 4))
    assert float(_stack("tinyllama-ddp-amp").shard_seconds) == 0.0


def test_an_activation_written_in_python_moves_more_than_one_kernel() -> None:
    """GPT-2's `gelu_new` under autocast 38 bytes a value, Pythia's `gelu` 2."""
    found = [float(_stack(name).activation_bytes) for name in ("gpt2m-ddp-amp", "pythia1b-ddp-amp-short")]
    assert found == [38.0, 2.0]


def test_runs_slowed_by_what_nothing_declares_are_left_out_and_said() -> None:
    found = validate_any(LINES)
    assert [row.id for row in found.refused] == ["llama1b-loader"]
    assert "data-starvation" in found.refused[0].reason


@pytest.mark.parametrize(
    ("name", "term", "gib"),
    [
        # 1.236e9 parameters: FP32 weights 4 bytes, the copy that products read 2
        ("llama1b-amp", "weights", 1.2358e9 * 6 / 2**30),
        ("llama1b-amp", "optimizer states", 1.2358e9 * 8 / 2**30),
        # three FP32 tensors of 16,384 tokens and 128,256 words
        ("llama1b-amp", "logits", 16384 * 128256 * 12 / 2**30),
        # full recomputation keeps one hidden-wide tensor a layer, and one layer while it is worked on
        ("qwen17-ckpt", "optimizer states", 1.7206e9 * 4 / 2**30),
        # a second micro-batch finds the gradients of the first
        ("qwen06-accum", "gradients", 0.596e9 * 4 / 2**30),
        ("llama1b-amp", "gradients", 0.0),
    ],
)
def test_memory_by_term_as_counted_by_hand(name: str, term: str, gib: float) -> None:
    found = predicted(BY_NAME[name])
    assert not isinstance(found, Problem)
    assert found[2].memory.terms[term] / 2**30 == pytest.approx(gib, rel=0.01, abs=0.01)


def test_grouped_attention_in_fp32_keeps_its_scores() -> None:
    """PyTorch's kernels share keys between queries in 16 bit alone: 4 bytes a score, 32 heads, 2 · 2,048² a layer."""
    found = predicted(BY_NAME["llama1b-fp32"])
    half = predicted({**BY_NAME["llama1b-fp32"], "precision": "bf16", "weights": "bf16"})
    assert not isinstance(found, Problem) and not isinstance(half, Problem)
    scores = 16 * 2 * 32 * 2048**2 * 4
    assert found[2].memory.terms["activations"] - half[2].memory.terms["activations"] > scores
    assert allocator_bytes(found[2]) / 2**30 == pytest.approx(BY_NAME["llama1b-fp32"]["peak_gib"], rel=0.06)


def test_an_unfused_stack_is_slower_and_larger_than_a_compiled_one() -> None:
    line = BY_NAME["llama1b-amp"]
    eager, compiled = predicted(line), predicted({**line, "compiled": True})
    assert not isinstance(eager, Problem) and not isinstance(compiled, Problem)
    assert compiled[2].step_seconds < 0.92 * eager[2].step_seconds
    assert compiled[2].memory.total_bytes < 0.8 * eager[2].memory.total_bytes


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"gpu": "Voodoo2"}, "gpu"),
        ({"config": {"model_type": "abacus"}}, "config.model_type"),
        ({"precision": "float12"}, "precision"),
        ({"micro_batch": "many"}, "line"),
        ({"recompute": "sometimes"}, "sometimes"),
    ],
)
def test_a_line_that_is_not_understood_says_why(change: dict[str, Any], field: str) -> None:
    found = question({**BY_NAME["llama1b-amp"], **change})
    assert isinstance(found, Problem)
    assert found.field == field


def test_a_missing_key_is_named() -> None:
    line = {key: value for key, value in BY_NAME["llama1b-amp"].items() if key != "seq_len"}
    found = question(line)
    assert isinstance(found, Problem)
    assert found.field == "seq_len"
