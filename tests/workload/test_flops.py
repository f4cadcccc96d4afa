"""Model FLOPs against published figures, and the conventions: causal half, windows, head, LoRA, decode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfu.workload.architecture import Architecture
from mfu.workload.flops import (
    AttentionMask,
    decode_curve,
    decode_flops_per_token,
    forward_curve,
    forward_flops_per_token,
    layer_flops,
    mean_context,
    own_mask,
    prefill_flops,
    training_flops_per_token,
)
from mfu.workload.presets import names, preset

LENGTHS = np.array([1.0, 7.0, 128.0, 1000.0, 4096.0, 8192.0, 131072.0])


def test_llama_70b_at_8k_is_what_megatron_counts() -> None:
    """Megatron-Bridge (causal half): 449.1 GFLOP a token; NeMo 24.07 (full): 481.6."""
    arch = preset("llama-3.1-70b")
    assert training_flops_per_token(arch, 8192) / 1e9 == pytest.approx(449.1, rel=0.001)
    full = 3 * forward_flops_per_token(arch, 8192, attention="full").total
    assert full / 1e9 == pytest.approx(481.6, rel=0.002)


def test_korthikanti_formula_for_gpt3() -> None:
    """72·B·s·L·h²·(1 + s/6h + V/12Lh) (arXiv 2205.05198, appendix A, no recomputation), attention in full."""
    arch = replace(preset("gpt-3-175b"), vocab=51200)
    s, layers, h, v = 2048, 96, 12288, 51200
    formula = 72 * layers * h**2 * (1 + s / (6 * h) + v / (12 * layers * h))
    assert 3 * forward_flops_per_token(arch, s, attention="full").total == pytest.approx(formula, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "tokens", "giga_multiply_adds"),
    [
        pytest.param("dit-xl-2", 256, 118.64, id="DiT-XL/2 at 256 pixels: arXiv 2212.09748 table 4"),
        pytest.param("dit-l-2", 256, 80.71, id="DiT-L/2 at 256 pixels: arXiv 2212.09748 table 4"),
        pytest.param("vit-b-16", 197, 17.56, id="ViT-B/16 at 224 pixels: torchvision model table"),
        pytest.param("vit-h-14", 257, 167.29, id="ViT-H/14 at 224 pixels: torchvision model table"),
        pytest.param("vit-l-16", 197, 61.55, id="ViT-L/16 at 224 pixels: torchvision model table"),
    ],
)
def test_image_models_match_their_papers(name: str, tokens: int, giga_multiply_adds: float) -> None:
    assert prefill_flops(preset(name), tokens) / 2e9 == pytest.approx(giga_multiply_adds, rel=0.001)


def test_worked_numbers() -> None:
    arch = preset("llama-3.1-8b")
    assert forward_flops_per_token(arch, 8192).total == 2 * 7_504_658_432 + 32 * 4 * 4096 * 4096
    assert training_flops_per_token(arch, 8192) / 1e9 == pytest.approx(51.47, abs=0.005)
    assert prefill_flops(arch, 2048) / 1e12 == pytest.approx(29.69, abs=0.005)
    layer = layer_flops(arch, 4096)
    assert layer.scores_values / 1e6 == pytest.approx(67.1, abs=0.05)
    assert (layer.total - layer.scores_values) / 1e6 == pytest.approx(436.2, abs=0.05)


@pytest.mark.parametrize(
    ("length", "window", "expected"),
    [
        (8192.0, 0, 4096.0),
        (8192.0, 4096, 3072.0),
        (4096.0, 4096, 2048.0),
        (1024.0, 4096, 512.0),
        (131072.0, 128, 127.9375),
    ],
)
def test_mean_context(length: float, window: int, expected: float) -> None:
    assert mean_context(length, window=window) == expected
    assert mean_context(length, window=window, mask=AttentionMask.FULL) == length


def test_mean_context_is_the_limit_of_the_sum() -> None:
    """Summed token by token, a window of W gives W - W²/2S plus half a token for the diagonal."""
    length, window = 5000, 700
    summed = sum(min(position, window) for position in range(1, length + 1)) / length
    assert mean_context(float(length), window=window) == pytest.approx(summed, abs=0.5)


def test_a_window_cuts_only_the_sliding_layers() -> None:
    gemma = preset("gemma-3-27b")
    assert (gemma.full_attention_layers, gemma.sliding_layers) == (10, 52)
    within = forward_flops_per_token(gemma, 1024)
    assert within.total == pytest.approx(forward_flops_per_token(replace(gemma, window=0), 1024).total, rel=1e-12)
    beyond, unlimited = forward_flops_per_token(gemma, 32768), forward_flops_per_token(replace(gemma, window=0), 32768)
    share = (10 * 16384 + 52 * (1024 - 1024**2 / 65536)) / (62 * 16384)
    assert beyond.attention_core == pytest.approx(share * unlimited.attention_core, rel=1e-12)


def test_decode_reads_at_most_the_window() -> None:
    arch = preset("mistral-7b")
    assert decode_flops_per_token(arch, 4096) == decode_flops_per_token(arch, 100_000)
    assert decode_flops_per_token(arch, 100) < decode_flops_per_token(arch, 4096)


def test_prefill_has_the_head_once() -> None:
    arch = preset("llama-3.2-1b")
    head = forward_flops_per_token(arch, 100).terms["head"]
    assert prefill_flops(arch, 100) == pytest.approx(forward_flops_per_token(arch, 100).total * 100 - 99 * head)


def test_an_embedding_encoder_has_no_head() -> None:
    terms = forward_flops_per_token(preset("bert-large"), 512).terms
    assert prefill_flops(preset("bert-large"), 512) == pytest.approx((sum(terms.values()) - terms["head"]) * 512)


def test_multi_token_prediction_adds_to_training_only() -> None:
    with_mtp, without = preset("deepseek-v3"), replace(preset("deepseek-v3"), mtp_layers=0)
    assert training_flops_per_token(with_mtp, 4096) > training_flops_per_token(without, 4096)
    assert decode_flops_per_token(with_mtp, 4096) == decode_flops_per_token(without, 4096)
    assert prefill_flops(with_mtp, 4096) == prefill_flops(without, 4096)


def test_multi_token_prediction_is_a_projection_a_layer_and_a_head() -> None:
    """DeepSeek-V3 (arXiv 2412.19437, section 2.2): 2h → h, one MoE layer, the shared head; 10.2 of 260.6 GFLOP."""
    arch = preset("deepseek-v3")
    projection, head = 2 * 2 * 7168 * 7168, 2 * 7168 * 129280
    layer = layer_flops(arch, 2048, moe=True).total
    served = 3 * forward_flops_per_token(arch, 4096).total
    assert training_flops_per_token(arch, 4096) - served == pytest.approx(3 * (projection + head + layer))


def test_lora_is_about_two_thirds() -> None:
    arch = preset("llama-2-70b")
    ratio = training_flops_per_token(arch, 4096, method="LoRA") / training_flops_per_token(arch, 4096)
    assert 2 / 3 < ratio < 0.70


def test_lora_adapters_grow_with_rank() -> None:
    """Rank 16 on q, k, v, o and the three dense matrices: inputs plus outputs counted by hand."""
    arch = preset("llama-2-70b")
    lean, rich = (training_flops_per_token(arch, 4096, method="LoRA", lora_rank=rank) for rank in (0, 16))
    inputs_and_outputs = 2 * (8192 + 8192) + 2 * (8192 + 1024) + 3 * (8192 + 28672)
    assert rich - lean == pytest.approx(3 * 2 * 16 * 80 * inputs_and_outputs)


@pytest.mark.parametrize("name", names())
def test_curves_are_the_scalars_at_array_speed(name: str) -> None:
    arch = preset(name)
    forward = [forward_flops_per_token(arch, length).total for length in LENGTHS]
    np.testing.assert_allclose(forward_curve(arch).over(LENGTHS, mask=own_mask(arch)), forward, rtol=1e-12)
    if arch.causal:
        decode = [decode_flops_per_token(arch, length) for length in LENGTHS]
        np.testing.assert_allclose(decode_curve(arch).at(LENGTHS), decode, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in names() if preset(name).causal and not preset(name).window])
def test_layers_and_head_make_the_model(name: str) -> None:
    arch = preset(name)
    dense, moe = (layer_flops(arch, 2048, moe=moe).total for moe in (False, True))
    head = forward_flops_per_token(arch, 4096).terms["head"]
    layers = arch.dense_layer_count * dense + arch.moe_layer_count * moe
    assert forward_flops_per_token(arch, 4096).total == pytest.approx(layers + head, rel=1e-12)


def test_latent_attention_decodes_on_the_compressed_cache() -> None:
    """DeepSeek-V3: a key costs 2·128·(576 + 512) absorbed, 2·128·(192 + 128) expanded, a layer."""
    arch = preset("deepseek-v3")
    assert decode_curve(arch).per_key == 61 * 2 * 128 * (576 + 512)
    assert forward_curve(arch).per_key == 61 * 2 * 128 * (192 + 128)


def test_unknown_mask_is_refused() -> None:
    arch: Architecture = preset("llama-3.1-8b")
    with pytest.raises(ValueError, match="sideways"):
        forward_flops_per_token(arch, 128, attention="sideways")
