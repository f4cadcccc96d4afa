"""What a published row declares in words that no column holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Precision
from mfu.predict.types import AttentionKernel, Compilation, FusedKernels, Placement
from mfu.predict.validate.notes import (
    attention,
    compilation,
    dispatched_once,
    engine_version,
    fused_kernels,
    fused_optimizer,
    power_limit,
    weights,
)
from mfu.predict.validate.rows import placement_of
from mfu.predict.validate.training import engine_name, with_activation
from mfu.workload.architecture import Architecture

B200: GPU = load().gpus["b200-sxm"]


@pytest.mark.parametrize(
    ("row", "watts"),
    [
        ({"notes": "torch.compile, FSDP2"}, None),
        ({"power_limit_w": "600", "notes": "power-limited"}, 600.0),
        ({"notes": "750 W power limit; compile"}, 750.0),
        ({"notes": "Power cap 650W"}, 650.0),
        ({"notes": "power-limited B200; torch.compile"}, 750.0),
        ({"notes": "rowwise; power-throttled"}, 750.0),
    ],
)
def test_a_row_that_tells_of_a_limit(row: dict[str, str], watts: float | None) -> None:
    assert power_limit(row, B200) == watts


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"notes": "eager, AC every 2nd layer"}, Compilation.NONE),
        ({"notes": "; torch.compile, FSDP2"}, Compilation.REGIONAL),
        ({"notes": "compile; batch 1"}, Compilation.REGIONAL),
        ({"notes": "compiler flags unknown"}, None),
        ({"notes": "eager", "compilation": "compile"}, Compilation.REGIONAL),
        ({}, None),
    ],
)
def test_a_row_that_tells_whether_it_was_compiled(row: dict[str, str], found: Compilation | None) -> None:
    assert compilation(row) is found


@pytest.mark.parametrize(
    ("notes", "kept", "fused"),
    [
        ("autocast over FP32 weights, Adam", Precision.FP32, None),
        ("weights and states in BF16", Precision.BF16, None),
        ("fused AdamW; two micro-batches", Precision.BF16, True),
        ("AdamW not fused", Precision.BF16, False),
        ("", Precision.BF16, None),
    ],
)
def test_a_row_that_tells_of_weights_and_their_update(notes: str, kept: Precision, fused: bool | None) -> None:
    row = {"notes": notes}
    assert (weights(row), fused_optimizer(row)) == (kept, fused)


@pytest.mark.parametrize(
    ("row", "engine", "found"),
    [
        ({"source": "a/b README.md (transformers 4.21)"}, "Transformers", "4.21"),
        ({"source": "a/b (HF Trainer)", "notes": "PyTorch 1.12; transformers 4.33.1"}, "Transformers", "4.33.1"),
        ({"notes": "PyTorch 2.0 nightly"}, "PyTorch", "2.0"),
        ({"notes": "PyTorch 1.12"}, "llm-foundry", None),
        ({}, "PyTorch", None),
    ],
)
def test_a_row_that_tells_of_the_release(row: dict[str, str], engine: str, found: str | None) -> None:
    assert engine_version(row, engine) == found


@pytest.mark.parametrize(
    ("row", "written"),
    [
        ({"model": "GPT-2 XL", "source": "a/b (HF Trainer)"}, True),
        ({"model": "GPT-2 XL", "source": "a/b (PyTorch)"}, False),
        ({"model": "GPT-NeoX-20B", "source": "a/b (HF Trainer)"}, False),
        ({"model": "OPT-1.3B", "source": "a/b (HF Trainer)"}, False),
    ],
)
def test_models_of_transformers_that_write_their_activation_out(row: dict[str, str], written: bool) -> None:
    arch = Architecture(
        name="", layers=1, hidden=64, heads=1, kv_heads=1, head_dim=64, ffn=256, vocab=8, gated_ffn=False
    )
    assert with_activation(row, arch).written_activation is written
    gated = replace(arch, gated_ffn=True)
    assert not with_activation(row, gated).written_activation


def test_a_publisher_whose_cards_are_its_own() -> None:
    row = {"gpu": "H100-SXM5-80GB", "source": "pytorch/ao@36027d82 docs (torchtitan)"}
    found = placement_of(row, 8)
    assert isinstance(found, Placement)
    assert found.device.label == "H100-SXM5-96GB"
    others = placement_of({**row, "source": "huggingface/nanotron"}, 8)
    assert isinstance(others, Placement)
    assert others.device.label == "H100-SXM5"


@pytest.mark.parametrize(
    ("notes", "kernel", "once"),
    [
        ("FlashAttention 2; two micro-batches", AttentionKernel.FLASH, None),
        ("FlashAttention 3", None, None),
        ("no FlashAttention", AttentionKernel.EAGER, None),
        ("tp2 ep32 A2A", None, False),
        ("tp2 ep32 DeepEP", None, True),
        ("", None, None),
    ],
)
def test_a_row_that_names_its_kernels(notes: str, kernel: AttentionKernel | None, once: bool | None) -> None:
    assert attention({"notes": notes}) is kernel
    assert dispatched_once({"notes": notes}) is once


@pytest.mark.parametrize(
    ("notes", "fused"),
    [
        ("pure bf16, Liger kernels, gradient checkpointing", FusedKernels.FULL),
        ("fused operations and kernels; pure bf16", FusedKernels.FULL),
        ("fused norm, SwiGLU, rotary and loss kernels", FusedKernels.FULL),
        ("fused AdamW; configuration of the commit", None),
        ("", None),
    ],
)
def test_a_row_that_tells_of_fused_kernels(notes: str, fused: FusedKernels | None) -> None:
    assert fused_kernels({"notes": notes}) is fused


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hiyouga/LLaMA-Factory measured in IST-DASLab/llmq@b77d969 4090x1.md (HF Trainer)", "Transformers"),
        ("invergent-ai/surogate@1097702 benchmarks/speed.md (Unsloth, LoRA)", "Unsloth"),
        ("IST-DASLab/llmq@b77d969 README.md (LLM.Q)", "LLM.Q"),
        ("NVIDIA/bionemo-framework@3a9d005 README.md Megatron baseline (Megatron-LM)", "Megatron-LM"),
        ("NVIDIA/NeMo@8e3d65dcfe docs (measured)", "NeMo"),
    ],
)
def test_who_measures_is_not_always_who_wrote_the_engine(source: str, name: str) -> None:
    assert engine_name({"source": source}) == name
