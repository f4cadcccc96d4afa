"""Parameter counts: every preset against its published figure, groups against the total."""

from __future__ import annotations

import pytest

from mfu.workload.architecture import Architecture
from mfu.workload.errors import UnknownPreset
from mfu.workload.parameters import count
from mfu.workload.presets import entry, names, preset

EXACT = {
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-235b-a22b": 235_093_634_560,
    "gemma-2-9b": 9_241_705_984,
    "phi-4": 14_659_507_200,
    "gpt-2": 124_439_808,
    "gpt-neox-20b": 20_554_567_680,
    "falcon-40b": 41_303_293_952,
    "bloom-176b": 176_247_271_424,
    "starcoder2-15b": 15_957_889_024,
    "bert-large": 335_141_888,
    "vit-l-16": 304_326_632,
}
"""Checkpoints' own counts, to the last parameter."""

ACTIVE_BILLION = {
    "mixtral-8x7b": (12.9, 0.005),
    "dbrx": (36.0, 0.02),
    "qwen3-30b-a3b": (3.3, 0.02),
    "qwen3-235b-a22b": (22.0, 0.01),
    "deepseek-v3": (37.0, 0.02),
    "deepseek-v2": (21.0, 0.02),
    "llama-4-scout": (17.0, 0.02),
    "qwen1.5-moe-a2.7b": (2.7, 0.01),
}
"""What the authors print, which is rounded and counts embeddings differently: hence the wider bands."""


@pytest.mark.parametrize("name", names())
def test_preset_matches_the_published_count(name: str) -> None:
    found = entry(name)
    assert count(found.architecture).total == pytest.approx(found.published_parameters, rel=0.005)
    assert found.source


@pytest.mark.parametrize(("name", "parameters"), EXACT.items())
def test_exact_checkpoint_count(name: str, parameters: int) -> None:
    assert count(preset(name)).total == parameters


@pytest.mark.parametrize(("name", "active"), ACTIVE_BILLION.items())
def test_active_parameters(name: str, active: tuple[float, float]) -> None:
    billion, tolerance = active
    assert count(preset(name)).active / 1e9 == pytest.approx(billion, rel=tolerance)


@pytest.mark.parametrize("name", names())
def test_groups_sum_to_the_total(name: str) -> None:
    parameters = count(preset(name))
    assert sum(parameters.by_group.values()) == parameters.total
    assert parameters.active <= parameters.total <= parameters.trained


def test_active_equals_total_without_experts() -> None:
    assert count(preset("llama-3.1-8b")).active == 8_030_261_248


def test_multi_token_prediction_is_trained_but_not_served() -> None:
    """DeepSeek-V3's checkpoint: 671B and 14B of multi-token prediction, where embedding and head are repeated."""
    repeated = 2 * 129280 * 7168
    assert count(preset("deepseek-v3")).mtp + repeated == pytest.approx(14e9, rel=0.05)


def test_preset_names_ignore_case() -> None:
    assert preset(" Llama-3.1-8B ") == preset("llama-3.1-8b")


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UnknownPreset) as caught:
        preset("lama-3.1-8b")
    assert caught.value.why.field == "model.preset"
    assert "llama-3.1-8b" in caught.value.why.fix


def test_far_off_preset_points_to_the_architecture() -> None:
    with pytest.raises(UnknownPreset) as caught:
        preset("zzz")
    assert "model.architecture" in caught.value.why.fix


def test_at_least_thirty_presets() -> None:
    assert len(names()) >= 30


def test_architectures_are_hashable_keys() -> None:
    table: dict[Architecture, str] = {preset(name): name for name in ("llama-3.1-8b", "mixtral-8x7b")}
    assert table[preset("mixtral-8x7b")] == "mixtral-8x7b"
