"""`spec.model` and `spec.precision` from what is known of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from mfu.api.base import api_name
from mfu.hardware.types import Precision
from mfu.workload.architecture import Architecture, Block, MoE
from mfu.workload.huggingface.precision import StoredPrecision

_DEFAULTS: Mapping[type, Mapping[str, Any]] = {
    type_: {field.name: field.default for field in fields(type_) if field.default is not MISSING}
    for type_ in (Architecture, MoE, Block)
}


def dimensions(architecture: Architecture) -> dict[str, Any]:
    """`spec.model.architecture`; fields at their default are left out."""
    kept = _kept(Architecture, {key: value for key, value in asdict(architecture).items() if key != "name"})
    if architecture.moe is not None:
        kept["moe"] = _kept(MoE, asdict(architecture.moe))
    if architecture.mla is not None:
        kept["mla"] = {api_name(key): value for key, value in asdict(architecture.mla).items()}
    if architecture.blocks:
        kept["blocks"] = [_kept(Block, asdict(each)) for each in architecture.blocks]
    return kept


def _kept(type_: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """API names of what differs from the default."""
    known = _DEFAULTS[type_]
    kept = {key: value for key, value in values.items() if key not in known or value != known[key]}
    return {api_name(key): str(value) if isinstance(value, str) else value for key, value in kept.items()}


def model_block(architecture: Architecture) -> dict[str, Any]:
    """`spec.model` with a name to show and explicit dimensions."""
    return {"name": architecture.name[:128] or "custom", "architecture": dimensions(architecture)}


def precision_block(stored: StoredPrecision) -> dict[str, str]:
    """`spec.precision`, what equals the API's own default left out."""
    compute = stored.compute or Precision.BF16
    block = {"compute": str(compute)} if compute is not Precision.BF16 else {}
    if stored.weights is not None and stored.weights is not compute:
        block = {"compute": str(compute), "weights": str(stored.weights)}
    if stored.kv_cache is not None:
        block |= {"kvCache": str(stored.kv_cache)}
    return block
