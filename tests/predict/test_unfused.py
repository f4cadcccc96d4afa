"""What programs pay that fuse nothing by hand: scores, the update, odd rows of the head, and a slow host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.communication import data_seconds
from mfu.predict.training.compute import attention, compute, weight_widening
from mfu.predict.training.constants import shipped
from mfu.predict.training.engines import engine
from mfu.predict.training.optimizer import optimizer_seconds
from mfu.predict.training.predict import predict_training
from mfu.predict.training.stack import fused_attention
from mfu.predict.training.step import host_seconds
from mfu.predict.training.unfused import frozen_bytes, score_bytes, unfused_bytes
from mfu.predict.types import (
    AttentionKernel,
    Compilation,
    FusedKernels,
    Method,
    Optimizer,
    Parallelism,
    Placement,
    Precisions,
    Problem,
    Recompute,
    Sharding,
    Training,
)
from mfu.workload.architecture import Architecture
from mfu.workload.presets import preset

GPT2 = Architecture(
    name="gpt2-124m", layers=12, hidden=768, heads=12, kv_heads=12, head_dim=64, ffn=3072, vocab=50257, gated_ffn=False
)
PARAMETERS = 12 * 12 * 768**2 + 2 * 50257 * 768


def on(key: str) -> Placement:
    return Placement(Device(load().gpus[key]), 1, 1)


A100 = on("a100-sxm4-40gb")


def job(**changes: Any) -> Training:
    base = Training(
        architecture=GPT2,
        precisions=Precisions(Precision.BF16),
        sequence_length=1024,
        global_batch_size=8,
        micro_batch_size=8,
        parallelism=Parallelism(),
        sharding=Sharding.DDP,
        engine="PyTorch",
        compilation=Compilation.NONE,
    )
    return replace(base, **changes)


def case(placement: Placement = A100, **changes: Any) -> TrainingCase:
    found = case_of(job(**changes), placement, shipped())
    assert found is not None
    return found


def test_scores_cross_memory_once_for_each_operation_between_the_products() -> None:
    """1.2e9 scores: 26 bytes between the products in 24 ms, and what the products take."""
    c = shipped()
    _, forward, backward = attention(case(attention=AttentionKernel.EAGER), c)
    passing = 8.0 * 12 * 12 * 1024**2 * 26.0 / (1.555e12 * c["bandwidth_share"])
    assert passing == pytest.approx(23.8e-3, rel=0.01)
    assert passing + 10e-3 < float(forward + backward) < passing + 15e-3


@pytest.mark.parametrize(
    ("engine", "cast", "compute", "found"),
    [
        ("PyTorch", False, Precision.BF16, (12.0, 14.0)),
        ("Transformers", False, Precision.BF16, (20.0, 20.0)),
        ("Transformers", False, Precision.FP32, (12.0, 14.0)),
        ("PyTorch", True, Precision.FP16, (28.0, 32.0)),
        ("Megatron-LM-2021", False, Precision.FP16, (0.0, 0.0)),
    ],
)
def test_who_raises_the_softmax(engine: str, cast: bool, compute: Precision, found: tuple[float, float]) -> None:
    setup = job(engine=engine, precisions=Precisions(compute))
    assert score_bytes(setup, cast=cast, compiled=False) == found
    assert score_bytes(setup, cast=cast, compiled=True) == (0.0, 0.0)


def test_scores_of_four_bytes_move_twice_as_much() -> None:
    c = shipped()
    half, whole = (case(attention=AttentionKernel.EAGER, precisions=Precisions(each)) for each in _FORMATS)
    between = [float(attention(each, c)[1]) for each in (half, whole)]
    assert between[1] - between[0] > 12.0 * 8 * 12 * 12 * 1024**2 / (1.555e12 * c["bandwidth_share"])


_FORMATS = (Precision.BF16, Precision.TF32)


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({"engine": "Transformers", "engine_version": "4.21.0"}, False),
        ({"engine": "Transformers", "engine_version": "4.36"}, True),
        ({"engine": "Transformers"}, True),
        ({"engine": "PyTorch", "engine_version": "1.13.1"}, False),
        ({"engine": "PyTorch", "engine_version": "2.0"}, True),
        ({"engine": "Transformers", "engine_version": "4.21", "attention": AttentionKernel.FLASH}, True),
        ({"engine": "torchtitan", "engine_version": "0.1"}, True),
    ],
)
def test_releases_without_fused_attention_write_their_scores(changes: dict[str, Any], fused: bool) -> None:
    assert fused_attention(job(**changes)) is fused


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, 52.0),
        ({"fused_optimizer": True}, 0.0),
        ({"engine": "Transformers"}, 0.0),
        ({"engine": "Transformers", "engine_version": "4.40.1"}, 52.0),
        ({"engine": "Transformers", "engine_version": "5.1"}, 0.0),
        ({"engine": "Transformers", "fused_optimizer": False}, 52.0),
        ({"engine": "NeMo"}, 0.0),
        ({"optimizer": Optimizer.SGD}, 0.0),
        ({"precisions": Precisions(Precision.FP16)}, 60.0),
        ({"precisions": Precisions(Precision.FP16), "fused_optimizer": True}, 8.0),
        ({"precisions": Precisions(Precision.FP16), "engine": "NeMo"}, 0.0),
    ],
)
def test_thirteen_more_values_where_the_update_is_not_one_kernel(changes: dict[str, Any], found: float) -> None:
    assert unfused_bytes(job(**changes), 4.0) == found


def test_an_update_operation_by_operation_takes_its_traffic() -> None:
    """163e6 parameters, 52 bytes each: 6.4 ms more."""
    c, formats = shipped(), Precisions(Precision.BF16, Precision.FP32)
    slow, fast = (
        float(optimizer_seconds(case(precisions=formats, fused_optimizer=fused), c)) for fused in (False, True)
    )
    traffic = PARAMETERS * 52.0 / (1.555e12 * c["bandwidth_share"])
    assert traffic == pytest.approx(6.4e-3, rel=0.02)
    assert slow - fast == pytest.approx(c["optimizer_passes"] * traffic, rel=0.02)


@pytest.mark.parametrize(
    ("vocab", "changes", "factor"),
    [
        (50257, {}, 2.0),
        (50304, {}, 1.0),
        (50257, {"compilation": Compilation.FULL}, 1.0),
        (50257, {"engine": "Megatron-LM"}, 1.0),
        (50257, {"precisions": Precisions(Precision.FP32)}, 1.0),
        (50260, {"precisions": Precisions(Precision.TF32)}, 1.0),
        (50260, {}, 2.0),
    ],
)
def test_a_vocabulary_that_nobody_padded_halves_the_rate_of_the_head(
    vocab: int, changes: dict[str, Any], factor: float
) -> None:
    odd, even = replace(GPT2, vocab=vocab), replace(GPT2, vocab=50304)
    heads = [compute(case(architecture=each, **changes), shipped()).head for each in (odd, even)]
    assert float(heads[0].shaped / heads[1].shaped) == pytest.approx(factor, rel=2e-3)
    assert float(heads[0].ideal / heads[1].ideal) == pytest.approx(1.0, rel=2e-3)


def test_grace_launches_at_less_than_half_of_the_pace() -> None:
    grace, xeon = (float(host_seconds(case(on(key)), shipped())) for key in ("gh200-96gb", "h100-sxm5-80gb"))
    assert grace / xeon == pytest.approx(2.5)


def test_a_host_whose_pace_is_known_is_taken_at_it() -> None:
    usual, known = on("h100-sxm5-80gb"), replace(on("h100-sxm5-80gb"), host_pace=1.0)
    assert float(host_seconds(case(usual), shipped()) / host_seconds(case(known), shipped())) == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"method": Method.LORA, "precisions": Precisions(Precision.BF16, Precision.INT4)}, 0.5625),
        ({"method": Method.LORA, "precisions": Precisions(Precision.BF16, Precision.FP8)}, 1.0),
        ({"method": Method.LORA}, 0.0),
        ({"precisions": Precisions(Precision.BF16, Precision.INT4)}, 0.0),
        ({"method": Method.LORA, "precisions": Precisions(Precision.FP8, Precision.FP8)}, 0.0),
    ],
)
def test_frozen_weights_that_are_kept_narrow(changes: dict[str, Any], found: float) -> None:
    assert frozen_bytes(job(**changes)) == found


def tuned(model: str, weights: Precision, gpus: int = 1, **changes: Any) -> tuple[Training, Placement]:
    setup = job(
        architecture=preset(model),
        engine="Transformers",
        method=Method.LORA,
        precisions=Precisions(Precision.BF16, weights),
        sequence_length=2048,
        micro_batch_size=1,
        global_batch_size=gpus,
        parallelism=Parallelism(data=gpus),
        recompute=Recompute.FULL,
    )
    return replace(setup, **changes), Placement(Device(load().gpus["h100-sxm5-80gb"]), gpus, gpus)


def test_adapters_over_70b_in_four_bits_fit_where_sixteen_do_not() -> None:
    """68.5e9 weights of layers at 0.5625 bytes and 2.1e9 beside them at 2: 42.7 GB (QLoRA tunes 65B on 48 GB)."""
    narrow, wide = (predict_training(*tuned("llama-3.1-70b", each)) for each in (Precision.INT4, Precision.BF16))
    assert not isinstance(narrow, Problem)
    assert not isinstance(wide, Problem)
    assert (narrow.memory.fits, wide.memory.fits) == (True, False)
    assert narrow.memory.terms["weights"] == pytest.approx(42.7e9, rel=0.01)


def test_weights_are_widened_in_each_pass() -> None:
    """17.9 GB a pass of 8B: forward, again where layers are recomputed, and backward."""
    c = shipped()
    found = case_of(*tuned("llama-3.1-8b", Precision.INT4), c)
    assert found is not None
    once = float(weight_widening(found, c))
    assert once == pytest.approx(6.3e-3, rel=0.01)
    narrow, wide = (predict_training(*tuned("llama-3.1-8b", each)) for each in (Precision.INT4, Precision.BF16))
    assert not isinstance(narrow, Problem)
    assert not isinstance(wide, Problem)
    assert narrow.step_seconds - wide.step_seconds > 3.0 * once


def test_sharded_weights_of_four_bits_cross_the_links_as_such() -> None:
    c = shipped()
    kept = (Precision.BF16, Precision.INT4)
    slow, fast = (case_of(*tuned("llama-3.1-8b", each, 2, sharding=Sharding.ZERO3), c) for each in kept)
    assert slow is not None
    assert fast is not None
    waits = [float(data_seconds(each, c, np.asarray(0.0), np.asarray(1.0))) for each in (slow, fast)]
    saved = 2.0 * 8.03e9 * (2.0 - 0.5625) / 2.0 / float(slow.machine.link)
    assert waits[0] - waits[1] == pytest.approx(saved, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"engine": "Transformers", "fused_kernels": FusedKernels.FULL}, 8.0 * 768 / 50257),
        ({"engine": "Unsloth"}, 8.0 * 768 / 50257),
        ({"engine": "LLM.Q"}, 8.0 * 768 / 50257),
        ({"engine": "Transformers"}, 12.0),
        ({"engine": "NeMo", "fused_kernels": FusedKernels.FULL}, shipped()["logit_bytes"]),
    ],
)
def test_a_loss_in_chunks_holds_no_logits_wider_than_the_states(changes: dict[str, Any], held: float) -> None:
    """GPT-2, 8,192 tokens: 8192 · 768 · 8 bytes = 50 MB where FP32 logits hold 4.9 GB."""
    found = case(**changes)
    assert float(found.stack.logit_bytes) == pytest.approx(held)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("torchtune", "PyTorch"),
        ("OLMo-core", "PyTorch"),
        ("nanoGPT", "PyTorch"),
        ("KellerJordan/modded-nanogpt (llm.c)", "Unknown"),
        ("ms-swift", "Transformers"),
        ("llama-recipes", "Transformers"),
        ("GPT-NeoX", "Megatron-DeepSpeed"),
        ("FlagScale", "Megatron-LM"),
        ("Lit-GPT", "Lightning"),
    ],
)
def test_programs_by_the_names_that_people_write(said: str, name: str) -> None:
    assert engine(said).name == name
