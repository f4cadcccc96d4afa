"""Bytes of weights and caches against published and worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from mfu.hardware.types import Precision
from mfu.workload.parameters import count
from mfu.workload.presets import preset
from mfu.workload.stored_bytes import kv_bytes, kv_bytes_per_token, weight_bytes, weight_bytes_read


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("llama-3.1-70b", Precision.BF16, 327_680),
        ("llama-3.1-8b", Precision.FP8, 65_536),
        ("llama-2-7b", Precision.FP16, 524_288),
        ("deepseek-v3", Precision.BF16, 70_272),
        ("deepseek-v2-lite", Precision.BF16, 27 * 576 * 2),
        ("falcon-7b", Precision.BF16, 32 * 2 * 64 * 2),
        ("bert-large", Precision.BF16, 0),
        ("dit-xl-2", Precision.BF16, 0),
    ],
)
def test_cache_per_token(name: str, precision: Precision, expected: float) -> None:
    assert kv_bytes_per_token(preset(name), precision) == expected


def test_weights() -> None:
    assert weight_bytes(preset("llama-3.1-8b"), Precision.BF16) / 1e9 == pytest.approx(16.06, abs=0.005)
    assert weight_bytes(preset("llama-3.1-8b"), Precision.INT4) / 1e9 == pytest.approx(4.015, abs=0.001)


def test_sliding_layers_keep_their_window() -> None:
    arch = preset("gpt-oss-20b")
    row = 2 * 8 * 64 * 2
    assert kv_bytes(arch, Precision.BF16, 10_000.0) == row * (12 * 10_000 + 12 * 128)
    assert kv_bytes(arch, Precision.BF16, 100.0) == 100 * kv_bytes_per_token(arch, Precision.BF16)


def test_cache_of_many_contexts_at_once() -> None:
    arch = preset("gemma-3-27b")
    contexts = np.array([10.0, 1024.0, 50_000.0])
    single = [kv_bytes(arch, Precision.BF16, float(context)) for context in contexts]
    np.testing.assert_allclose(kv_bytes(arch, Precision.BF16, contexts), single)


def test_one_token_reads_its_experts() -> None:
    arch = preset("mixtral-8x7b")
    active = count(arch).active - arch.vocab * arch.hidden
    assert weight_bytes_read(arch, Precision.BF16, 1.0) == pytest.approx(2 * active, rel=1e-12)


def test_many_tokens_read_all_experts() -> None:
    arch = preset("mixtral-8x7b")
    everything = count(arch).total - arch.vocab * arch.hidden
    assert weight_bytes_read(arch, Precision.BF16, 1000.0) == pytest.approx(2 * everything, rel=1e-6)


def test_a_dense_model_reads_the_same_for_any_batch() -> None:
    arch = preset("llama-3.2-1b")
    tokens = np.array([1.0, 64.0])
    everything = 2.0 * count(arch).total
    np.testing.assert_allclose(weight_bytes_read(arch, Precision.BF16, tokens), [everything, everything])
