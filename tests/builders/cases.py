"""Builders of what is decided about: one healthy training job and one replica, to be varied by keyword."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mfu.api.modelworkload import WorkloadSpec
from mfu.decide.types import EffectivePolicy, NodeView, Subject
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict import attainable, predict
from mfu.predict.declared import from_spec
from mfu.predict.types import Attainable, Memory, Placement, Prediction, Problem, Tunable


def gpu(name: str = "H100-SXM5") -> GPU:
    found = load().by_api_name(name)
    assert isinstance(found, GPU)
    return found


def node(name: str, *, product: str = "NVIDIA-H100-80GB-HBM3", used: int = 0, **fields: Any) -> NodeView:
    device = load().resolve(product)
    assert isinstance(device, Device)
    made = NodeView(name, product, device, 8, used={"nvidia.com/gpu": used}, labels={})
    return replace(made, **fields)


TRAINING: dict[str, Any] = {
    "mode": "Training",
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 8, "products": ["H100-SXM5"]},
    "training": {
        "sequenceLength": 4096,
        "globalBatchSize": 64,
        "parallelism": {"tensor": 2, "data": 4},
        "sharding": "ZeRO1",
    },
}
NAMED: dict[str, Any] = {**TRAINING, "runtime": {"engine": "Megatron-LM"}}
"""The same with an engine that others may have as well."""
SERVING: dict[str, Any] = {
    "mode": "Inference",
    "model": {"preset": "llama-3.2-1b"},
    "accelerators": {"count": 1, "products": ["H100-SXM5"]},
    "inference": {
        "inputTokens": {"mean": 512},
        "outputTokens": {"mean": 128},
        "concurrency": 16,
        "replicas": {"min": 1, "max": 8},
    },
}


def case(document: dict[str, Any] = TRAINING, *, gpus_per_node: int = 8, **fields: Any) -> Subject:
    """A real prediction of that spec on whole H100s; `fields` override parts of it."""
    spec = WorkloadSpec.model_validate(document)
    setup = from_spec(spec)
    assert not isinstance(setup, Problem), setup
    where = Placement(Device(gpu()), spec.accelerators.count, gpus_per_node)
    expected = predict(setup, where)
    best = attainable(setup, where, frozenset(Tunable))
    assert isinstance(expected, Prediction), expected
    assert isinstance(best, Attainable), best
    made = Subject("team-a/w", spec, setup, where, expected, best, None, EffectivePolicy())
    return replace(made, **fields)


def too_large(each: Subject) -> Subject:
    """The same case with a memory need of twice the GPU."""
    capacity = each.expected.memory.capacity_bytes
    memory = Memory({"weights": 2 * capacity}, 2 * capacity, capacity, "raise training.parallelism.tensor 2 → 4")
    return replace(each, expected=replace(each.expected, memory=memory))
