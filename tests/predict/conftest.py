"""Builders with defaults: one training job and one placement, every field replaceable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.types import Parallelism, Placement, Precisions, Recompute, Sharding, Training
from mfu.workload.presets import preset

_CUT = {"tensor", "pipeline", "context", "data", "expert", "virtual_pipeline"}


@pytest.fixture
def job() -> Callable[..., Training]:
    """`job(data=8, micro_batch_size=2)`: Llama-3.1-8B over 8 GPUs of one node unless told otherwise."""

    def build(model: str = "llama-3.1-8b", compute: Precision = Precision.BF16, **changes: Any) -> Training:
        cut = Parallelism(**{"data": 8, **{name: changes.pop(name) for name in list(changes) if name in _CUT}})
        base = Training(
            architecture=preset(model),
            precisions=Precisions(compute),
            sequence_length=8192,
            global_batch_size=128,
            micro_batch_size=1,
            parallelism=cut,
            sharding=Sharding.ZERO1,
            recompute=Recompute.NONE,
            engine="NeMo",
        )
        return replace(base, **changes)

    return build


@pytest.fixture
def on() -> Callable[..., Placement]:
    """`on("H100-SXM5", 8)`."""

    def build(product: str = "H100-SXM5", gpus: int = 8, **changes: Any) -> Placement:
        gpu = load().by_api_name(product)
        assert isinstance(gpu, GPU)
        return replace(Placement(Device(gpu), gpus), **changes)

    return build
