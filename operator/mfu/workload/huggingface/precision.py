"""The number formats that `quantization_config` names, as the API's precisions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mfu.hardware.types import Precision

_DTYPES = {
    "bfloat16": Precision.BF16,
    "float16": Precision.FP16,
    "half": Precision.FP16,
    "float8_e4m3fn": Precision.FP8,
}
_BY_NAME = (
    ("NVFP4", Precision.FP4, Precision.FP4),
    ("MXFP4", Precision.FP4, None),
    ("W4A8", Precision.INT4, Precision.FP8),
    ("W4A16", Precision.INT4, None),
    ("INT4", Precision.INT4, None),
    ("W8A8", Precision.INT8, Precision.INT8),
    ("W8A16", Precision.INT8, None),
    ("INT8", Precision.INT8, Precision.INT8),
    ("FP8", Precision.FP8, Precision.FP8),
    ("FP4", Precision.FP4, Precision.FP4),
)
_WEIGHTS_ALONE = re.compile(r"A16|WO$|WEIGHTONLY")
"""Algorithms that multiply in 16 bits whatever the weights are stored in: NVFP4A16, FP8_PB_WO."""


@dataclass(frozen=True, slots=True)
class StoredPrecision:
    """Formats of one checkpoint; None where the config does not say. `problem` says what was not understood."""

    compute: Precision | None = None
    weights: Precision | None = None
    kv_cache: Precision | None = None
    problem: str = ""


def precision_of(config: Mapping[str, Any], text: Mapping[str, Any]) -> StoredPrecision:
    """What the checkpoint is stored in and multiplied in. gpt-oss (`mxfp4`): weights FP4, compute BF16."""
    dtype = _dtype(config, text)
    found = _quantization(config) or _quantization(text)
    if not found:
        return StoredPrecision(compute=dtype, weights=dtype)
    read = _read(found)
    # What was quantized in a way that is not understood is of no known format: least of all of the one it had before.
    weights = read.weights or (None if read.problem else dtype)
    return StoredPrecision(read.compute or dtype or _plain(read), weights, read.kv_cache, read.problem)


def _plain(read: StoredPrecision) -> Precision | None:
    return None if read.problem else Precision.BF16


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("quantization_config", "quantization", "compression_config"):
        value = config.get(key)
        if isinstance(value, Mapping) and value:
            return value
    return {}


def _dtype(config: Mapping[str, Any], text: Mapping[str, Any]) -> Precision | None:
    """FP32 is how small models are stored, not how they are run: it is left to the declaration."""
    for each in (text, config):
        name = each.get("torch_dtype") or each.get("dtype")
        if isinstance(name, str):
            return _DTYPES.get(name.removeprefix("torch."))
    return None


def _read(found: Mapping[str, Any]) -> StoredPrecision:
    method = str(found.get("quant_method") or found.get("quant_algo") or "").lower()
    groups = found.get("config_groups")
    if isinstance(groups, Mapping) and not found.get("quant_algo"):
        return _grouped(found, groups) if groups else _cache_alone(found)
    reader = _METHODS.get(method or _method_by_keys(found))
    if reader is not None:
        return reader(found)
    return _named(found, method)


def _method_by_keys(found: Mapping[str, Any]) -> str:
    """Files of old tools and of MLX name no method."""
    if found.get("load_in_4bit") or found.get("load_in_8bit"):
        return "bitsandbytes"
    mode = str(found.get("mode") or "")
    return "mxfp4" if mode == "mxfp4" else "gptq" if "bits" in found and mode in ("", "affine") else ""


def _cache_alone(found: Mapping[str, Any]) -> StoredPrecision:
    """compressed-tensors without a group: a quantized cache, or weights with zeros in a pattern."""
    sparse = found.get("sparsity_config") or {}
    pattern = sparse.get("sparsity_structure") if isinstance(sparse, Mapping) else None
    problem = f"weights are sparse ({pattern}): counted as if they were dense" if pattern else ""
    return StoredPrecision(kv_cache=_cache_scheme(found), problem=problem)


def _named(found: Mapping[str, Any], method: str) -> StoredPrecision:
    """ModelOpt and others that name the algorithm; a mixture of them is read as the one of most layers."""
    algorithm = str(found.get("quant_algo") or method).upper().replace("-", "").replace("_", "")
    if "MIXED" in algorithm:
        algorithm = _most_layers(found)
    cache = str(found.get("kv_cache_quant_algo") or "").upper()
    kept = next((weights for name, weights, _ in _BY_NAME if name in cache), None) if cache else _cache_scheme(found)
    for name, weights, compute in _BY_NAME:
        if name in algorithm:
            return StoredPrecision(None if _WEIGHTS_ALONE.search(algorithm) else compute, weights, kept)
    return StoredPrecision(kv_cache=kept, problem=f"quantization {method or algorithm!r} is not understood")


def _most_layers(found: Mapping[str, Any]) -> str:
    layers = found.get("quantized_layers")
    entries = layers.values() if isinstance(layers, Mapping) else ()
    named = Counter(str(each.get("quant_algo", "")) for each in entries if isinstance(each, Mapping))
    return named.most_common(1)[0][0].upper().replace("_", "") if named else "MIXED"


def _grouped(found: Mapping[str, Any], groups: Mapping[str, Any]) -> StoredPrecision:
    """compressed-tensors: formats of weights and inputs by group; the widest group of weights does not matter."""
    read = [_group(each) for each in groups.values() if isinstance(each, Mapping)]
    known = [each for each in read if each[0] is not None]
    if not known:
        return StoredPrecision(kv_cache=_cache_scheme(found), problem="no weight group of config_groups is understood")
    weights, inputs = min(known, key=lambda each: _bits(each[0]))
    return StoredPrecision(inputs, weights, _cache_scheme(found))


def _group(group: Mapping[str, Any]) -> tuple[Precision | None, Precision | None]:
    return _format(group.get("weights")), _format(group.get("input_activations"))


def _format(scheme: Any) -> Precision | None:
    if not isinstance(scheme, Mapping):
        return None
    kind = str(scheme.get("type", "int"))
    wanted = {("int", 4): Precision.INT4, ("float", 4): Precision.FP4, ("int", 8): Precision.INT8}
    bits = scheme.get("num_bits")
    return Precision.FP8 if (kind, bits) == ("float", 8) else wanted.get((kind, bits if isinstance(bits, int) else 0))


def _bits(precision: Precision | None) -> int:
    return 4 if precision in (Precision.FP4, Precision.INT4) else 8


def _cache_scheme(found: Mapping[str, Any]) -> Precision | None:
    return _format(found.get("kv_cache_scheme"))


_BIT_KEYS = ("bits", "w_bit", "nbits", "weights")


def _integer_weights(found: Mapping[str, Any]) -> StoredPrecision:
    """GPTQ, AWQ, AutoRound, HQQ, Quanto: integer weights under 16-bit arithmetic. AWQ alone is always of 4 bits."""
    nested = (found.get("quant_config") or {}).get("weight_quant_params") or {}
    usual = 4 if found.get("quant_method") == "awq" else None
    bits = next((each[key] for each in (found, nested) for key in _BIT_KEYS if key in each), usual)
    if bits in ("float8", "fp8"):
        return StoredPrecision(weights=Precision.FP8)
    if isinstance(bits, str) and bits.removeprefix("int").isdecimal():
        bits = int(bits.removeprefix("int"))
    weights = {4: Precision.INT4, 8: Precision.INT8}.get(bits if isinstance(bits, int) else 0)
    problem = "" if weights else f"weights of {bits} bits have no precision of ours: declare precision.weights"
    return StoredPrecision(weights=weights, problem=problem)


def _bitsandbytes(found: Mapping[str, Any]) -> StoredPrecision:
    if found.get("load_in_8bit") or found.get("_load_in_8bit"):
        return StoredPrecision(weights=Precision.INT8)
    if not (found.get("load_in_4bit") or found.get("_load_in_4bit")):
        return StoredPrecision(problem="bitsandbytes without load_in_4bit or load_in_8bit")
    named = str(found.get("bnb_4bit_compute_dtype", "")).removeprefix("torch.")
    compute = Precision.FP32 if named == "float32" else _DTYPES.get(named)
    return StoredPrecision(compute=compute, weights=Precision.FP4)


def _fp8(found: Mapping[str, Any]) -> StoredPrecision:
    scheme = str(found.get("activation_scheme") or "dynamic")
    compute = None if scheme in ("none", "weight_only") else Precision.FP8
    weights = Precision.FP4 if found.get("expert_dtype") == "fp4" else Precision.FP8
    return StoredPrecision(compute, weights, _cache_scheme(found))


def _quark(found: Mapping[str, Any]) -> StoredPrecision:
    """AMD Quark: number formats of weights and inputs by name."""
    scheme = found.get("global_quant_config") or {}
    weights, inputs = (_dtype_of(scheme.get(part) or {}) for part in ("weight", "input_tensors"))
    if weights is None:
        return StoredPrecision(problem="quark without a weight format that is known")
    return StoredPrecision(inputs, weights)


def _dtype_of(scheme: Mapping[str, Any]) -> Precision | None:
    text = str(scheme.get("dtype", "")).lower()
    names = (("fp8", Precision.FP8), ("fp4", Precision.FP4), ("int8", Precision.INT8), ("int4", Precision.INT4))
    return next((precision for name, precision in names if name in text), None)


def _torchao(found: Mapping[str, Any]) -> StoredPrecision:
    kind = str(found.get("quant_type", "")).lower()
    if "float8" in kind or "fp8" in kind:
        weight_only = "weightonly" in kind or "weight_only" in kind
        return StoredPrecision(None if weight_only else Precision.FP8, Precision.FP8)
    if "int4" in kind:
        return StoredPrecision(weights=Precision.INT4)
    if "int8" in kind:
        dynamic = "dynamic" in kind
        return StoredPrecision(Precision.INT8 if dynamic else None, Precision.INT8)
    return StoredPrecision(problem=f"torchao {kind[:60]!r} is not understood")


_METHODS: Mapping[str, Callable[[Mapping[str, Any]], StoredPrecision]] = {
    **dict.fromkeys(("gptq", "awq", "hqq", "quanto", "marlin", "gptq_marlin", "awq_marlin"), _integer_weights),
    **dict.fromkeys(("auto-round", "autoround", "auto_round", "intel/auto-round", "moe_wna16"), _integer_weights),
    **dict.fromkeys(("fp8", "fbgemm_fp8"), _fp8),
    "bitsandbytes": _bitsandbytes,
    "torchao": _torchao,
    "quark": _quark,
    "eetq": lambda found: StoredPrecision(weights=Precision.INT8),
    "mxfp4": lambda found: StoredPrecision(weights=Precision.FP4),
}
