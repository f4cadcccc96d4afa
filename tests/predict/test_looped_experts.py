"""Experts that run one after the other: who does it, what it takes, and what the answer says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import Device, Precision
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.compute import linear
from mfu.predict.training.constants import shipped
from mfu.predict.training.engines import ENGINES
from mfu.predict.training.looped import LOOP_OPERATIONS, hit_experts, loops_over_experts, wide_experts
from mfu.predict.training.predict import predict_training
from mfu.predict.training.step import host_seconds
from mfu.predict.types import Parallelism, Placement, Precisions, Problem, Sharding, Training
from mfu.workload.presets import preset

H200 = Placement(Device(load().gpus["h200-sxm-141gb"]), 1, 1)


def job(**changes: Any) -> Training:
    base = Training(
        architecture=preset("qwen3-30b-a3b"),
        precisions=Precisions(Precision.BF16),
        sequence_length=2048,
        global_batch_size=1,
        micro_batch_size=1,
        parallelism=Parallelism(),
        sharding=Sharding.DDP,
        engine="Transformers",
    )
    return replace(base, **changes)


def case(**changes: Any) -> TrainingCase:
    found = case_of(job(**changes), H200, shipped())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "loops"),
    [
        ({}, False),
        ({"engine_version": "4.57.1"}, True),
        ({"engine_version": "v4.40"}, True),
        ({"engine_version": "5.0.0"}, False),
        ({"engine_version": "main"}, False),
        ({"looped_experts": True, "engine_version": "5.17"}, True),
        ({"looped_experts": False, "engine_version": "4.57"}, False),
        ({"engine": "PyTorch", "engine_version": "2.11"}, False),
        ({"engine": "PyTorch", "looped_experts": True}, True),
        ({"architecture": preset("llama-3.1-8b"), "engine_version": "4.57"}, False),
        ({"architecture": preset("llama-3.1-8b"), "looped_experts": True}, False),
    ],
)
def test_the_release_decides_unless_it_is_declared(changes: dict[str, Any], loops: bool) -> None:
    assert loops_over_experts(job(**changes)) is loops


def test_each_expert_costs_the_host_its_operations() -> None:
    """128 experts of 48 layers: 128 · 48 · 78 · 8.6 µs · 1.3 = 5.4 s."""
    c = shipped()
    more = float(host_seconds(case(looped_experts=True), c) - host_seconds(case(), c))
    assert more == pytest.approx(128.0 * 48.0 * LOOP_OPERATIONS * c["host_operation"] * 1.3)


def test_experts_without_a_token_cost_nothing() -> None:
    """One row of one token takes eight of 128, two take 15.5."""
    few = case(sequence_length=2)
    assert float(hit_experts(case(sequence_length=1))) == pytest.approx(8.0)
    assert float(hit_experts(few)) == pytest.approx(128.0 * (1.0 - (120.0 / 128.0) ** 2))
    assert float(hit_experts(replace(few, layout=replace(few.layout, expert=np.asarray(4.0))))) == pytest.approx(
        32.0 * (1.0 - (120.0 / 128.0) ** 2)
    )


def test_the_gpu_waits_at_each_expert_even_where_it_is_the_slower_of_both() -> None:
    """Two rows of 32,768 tokens: half of the launches of the loop are lost beside all that is computed."""
    long = {"sequence_length": 32768, "micro_batch_size": 2, "global_batch_size": 2}
    loop, grouped = (predict_training(job(looped_experts=each, **long), H200) for each in (True, False))
    assert not isinstance(loop, Problem)
    assert not isinstance(grouped, Problem)
    assert loop.step_seconds - grouped.step_seconds > 128.0 * 48.0 * LOOP_OPERATIONS * shipped()["host_operation"] * 0.6


AUTOCAST = Precisions(Precision.BF16, Precision.FP32)


@pytest.mark.parametrize(
    ("changes", "wide"),
    [
        ({"precisions": AUTOCAST}, True),
        ({}, False),
        ({"precisions": AUTOCAST, "sharding": Sharding.ZERO3}, False),
        ({"precisions": AUTOCAST, "looped_experts": True}, False),
        ({"precisions": AUTOCAST, "engine": "Megatron-LM"}, False),
        ({"precisions": AUTOCAST, "architecture": preset("llama-3.1-8b")}, False),
        ({"precisions": Precisions(Precision.FP32, Precision.FP32)}, False),
    ],
)
def test_autocast_leaves_grouped_products_of_fp32_weights_as_they_are(changes: dict[str, Any], wide: bool) -> None:
    assert wide_experts(job(**changes)) is wide


def test_experts_in_fp32_take_as_long_as_the_units_differ() -> None:
    """Products of Qwen3-30B-A3B are experts for the most part: 12 times as long where compute sets the pace."""
    much = {"micro_batch_size": 16, "global_batch_size": 16, "sequence_length": 4096}
    narrow, wide = (case(precisions=each, **much) for each in (Precisions(Precision.BF16), AUTOCAST))
    slower = float(narrow.machine.peak * narrow.machine.ceiling / narrow.machine.peak_wide)
    assert slower == pytest.approx(12.0, rel=0.05)
    ratio = float(linear(wide, shipped())[0].shaped / linear(narrow, shipped())[0].shaped)
    assert slower / 2.0 < ratio < slower


def test_whoever_wrote_the_program_the_host_is_the_same() -> None:
    plain = ("Transformers", "DeepSpeed", "Lightning", "PyTorch", "torchtitan", "NeMo-Automodel", "Modalities")
    assert {ENGINES[name.lower()].host_slowness for name in plain} == {1.3}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "experts in grouped products, as in the latest release"),
        ({"engine_version": "4.57"}, "experts one after the other,"),
        ({"engine_version": "5.1"}, "experts in grouped products,"),
    ],
)
def test_the_answer_says_which_was_assumed(changes: dict[str, Any], said: str) -> None:
    found = predict_training(job(**changes), H200)
    assert not isinstance(found, Problem)
    assert said in " ".join(found.notes)


def test_what_was_declared_is_not_said_again() -> None:
    found = predict_training(job(looped_experts=True), H200)
    assert not isinstance(found, Problem)
    assert "experts" not in " ".join(found.notes)
