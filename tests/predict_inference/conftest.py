"""Builders with defaults: one serving setup and one placement, every field replaceable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.types import Inference, Parallelism, Phase, Placement, Precisions
from mfu.workload.presets import preset

_LAYOUT = {"tensor", "pipeline", "data", "expert"}
_PRECISION = {"compute", "weights", "kv_cache"}


@pytest.fixture
def serving() -> Callable[..., Inference]:
    def build(model: str = "llama-3.1-8b", **changes: Any) -> Inference:
        base = Inference(preset(model), Precisions(), Phase.MIXED, 2048.0, 256.0, 32.0, Parallelism(), engine="vLLM")
        layout = {name: changes.pop(name) for name in tuple(changes) if name in _LAYOUT}
        precision = {name: Precision(changes.pop(name)) for name in tuple(changes) if name in _PRECISION}
        parallelism, precisions = replace(base.parallelism, **layout), replace(base.precisions, **precision)
        return replace(base, parallelism=parallelism, precisions=precisions, **changes)

    return build


@pytest.fixture
def on() -> Callable[..., Placement]:
    def build(product: str = "H100-SXM5", gpus: int = 1, **changes: Any) -> Placement:
        gpu = load().by_api_name(product)
        assert isinstance(gpu, GPU)
        return Placement(Device(gpu), gpus, **changes)

    return build
