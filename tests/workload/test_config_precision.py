"""`quantization_config` of every common tool gives the formats that the API knows."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.hardware.types import Precision
from mfu.workload.huggingface.precision import precision_of

BF16, FP16, FP8, FP4, INT8, INT4 = (Precision(each) for each in ("BF16", "FP16", "FP8", "FP4", "INT8", "INT4"))


def scheme(bits: int, kind: str) -> dict[str, Any]:
    return {"num_bits": bits, "type": kind}


@pytest.mark.parametrize(
    ("quantization", "compute", "weights", "kv_cache"),
    [
        ({"quant_method": "mxfp4"}, BF16, FP4, None),
        ({"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}, FP8, FP8, None),
        ({"quant_method": "fbgemm_fp8"}, FP8, FP8, None),
        ({"quant_method": "gptq", "bits": 4}, BF16, INT4, None),
        ({"quant_method": "gptq", "bits": 8}, BF16, INT8, None),
        ({"quant_method": "awq", "bits": 4}, BF16, INT4, None),
        ({"quant_method": "awq", "w_bit": 4}, BF16, INT4, None),
        ({"quant_method": "quanto", "bits": "int8"}, BF16, INT8, None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_compute_dtype": "float16"}, FP16, FP4, None),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, BF16, INT8, None),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}, BF16, INT4, None),
        ({"quant_method": "awq"}, BF16, INT4, None),
        (
            {
                "quant_method": "quark",
                "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}, "input_tensors": {"dtype": "fp8_e4m3"}},
            },
            FP8,
            FP8,
            None,
        ),
        ({"quant_method": "torchao", "quant_type": "float8_dynamic_activation_float8_weight"}, FP8, FP8, None),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, BF16, INT4, None),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, FP8, FP8, FP8),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}, FP4, FP4, FP8),
        ({"quant_algo": "W4A16_AWQ"}, BF16, INT4, None),
        ({"quant_algo": "W4A8_AWQ"}, FP8, INT4, None),
        ({"quant_algo": "W8A8_SQ_PER_CHANNEL"}, INT8, INT8, None),
        (
            {
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {"a": {"quant_algo": "NVFP4"}, "b": {"quant_algo": "NVFP4"}},
            },
            FP4,
            FP4,
            None,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": scheme(8, "float"), "input_activations": scheme(8, "float")}},
                "kv_cache_scheme": scheme(8, "float"),
            },
            FP8,
            FP8,
            FP8,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": scheme(4, "int"), "input_activations": None}},
            },
            BF16,
            INT4,
            None,
        ),
    ],
)
def test_formats(
    quantization: dict[str, Any], compute: Precision, weights: Precision, kv_cache: Precision | None
) -> None:
    read = precision_of({"torch_dtype": "bfloat16", "quantization_config": quantization}, {})
    assert (read.compute, read.weights, read.kv_cache, read.problem) == (compute, weights, kv_cache, "")


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "aqlm"},
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "gptq"},
        {"quant_method": "quark"},
    ],
)
def test_what_is_not_understood_is_said(quantization: dict[str, Any]) -> None:
    assert precision_of({"quantization_config": quantization}, {}).problem


def test_a_plain_checkpoint_is_what_it_is_stored_in() -> None:
    assert precision_of({"torch_dtype": "float16"}, {}).weights is FP16
    assert precision_of({}, {"dtype": "bfloat16"}).compute is BF16
    assert precision_of({"torch_dtype": "float32"}, {}).weights is None


def test_the_text_part_may_carry_it() -> None:
    assert precision_of({}, {"quantization_config": {"quant_method": "mxfp4"}}).weights is FP4


@pytest.mark.parametrize(
    ("quantization", "compute", "weights"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}, BF16, FP8),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4A16"}, BF16, FP4),
        ({"quant_method": "modelopt_fp4"}, FP4, FP4),
        ({"quant_method": "awq_marlin", "bits": 4}, BF16, INT4),
        ({"quant_method": "intel/auto-round", "bits": 4}, BF16, INT4),
        ({"quant_method": "quanto", "weights": "float8"}, BF16, FP8),
        ({"load_in_4bit": True, "bnb_4bit_compute_dtype": "float16"}, FP16, FP4),
        ({"group_size": 64, "bits": 4}, BF16, INT4),
    ],
)
def test_more_ways_to_say_it(quantization: dict[str, Any], compute: Precision, weights: Precision) -> None:
    config = {"torch_dtype": "bfloat16", "quantization_config": quantization}
    found = precision_of(config, config)
    assert (found.compute, found.weights, found.problem) == (compute, weights, "")


@pytest.mark.parametrize(
    "quantization",
    [{"quant_method": "gptq", "bits": 3}, {"quant_method": "exl2", "bits": 4.5}, {"quant_method": "aqlm"}],
)
def test_weights_of_an_unknown_format_are_unknown_and_not_16_bits(quantization: dict[str, Any]) -> None:
    config = {"torch_dtype": "bfloat16", "quantization_config": quantization}
    found = precision_of(config, config)
    assert found.weights is None
    assert found.problem


def test_a_quantized_cache_alone_leaves_the_weights_as_they_are() -> None:
    cache = {"quant_method": "compressed-tensors", "config_groups": {}, "kv_cache_scheme": scheme(8, "float")}
    config = {"torch_dtype": "bfloat16", "quantization_config": cache}
    found = precision_of(config, config)
    assert (found.weights, found.kv_cache, found.problem) == (BF16, FP8, "")
