"""The nearest change that makes a job fit: one step in one field at a time, the one that costs least speed first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mfu.predict.training.arrays import TrainingCase, stack
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.peak_memory import training_memory

_STEPS = 7
_LEAN = "microBatchSize: 1, recompute: Full"


def memory_advice(case: TrainingCase, c: TrainingConstants) -> str | None:
    """First of these that fits: smaller micro-batch, selective then full recomputation, sharded weights, wider tensor
    or pipeline cut; None where none alone is enough."""
    found = _candidates(case)
    rows = replace(
        case,
        layout=stack([changed.layout for _, changed in found]),
        machine=replace(case.machine, gpus=np.array([float(changed.machine.gpus) for _, changed in found])),
    )
    fits = training_memory(rows, c).total <= case.machine.memory * c["headroom"]
    return found[int(np.argmax(fits))][0] if bool(np.any(fits)) else None


def _candidates(case: TrainingCase) -> list[tuple[str, TrainingCase]]:
    layout = case.layout
    found: list[tuple[str, TrainingCase]] = []
    for micro in _halves(float(layout.micro_batch)):
        found.append((f"microBatchSize: {micro:g}", _with(case, micro_batch=micro)))
    if float(layout.recompute) < 1.0:
        found.append(("recompute: Selective", _with(case, recompute=1.0)))
    if float(layout.recompute) < 2.0:
        found.append(("recompute: Full", _with(case, recompute=2.0)))
        found.append(("microBatchSize: 1 and recompute: Full", _with(case, recompute=2.0, micro_batch=1.0)))
    if float(layout.zero) < 1.0:
        found.append(("sharding: ZeRO1", _with(case, zero=1.0)))
    if float(layout.zero) < 3.0:
        found.append(("sharding: ZeRO3", _with(case, zero=3.0)))
        found.append(("sharding: ZeRO3 and recompute: Full", _with(case, zero=3.0, recompute=2.0)))
    return found + _wider(case)


def _wider(case: TrainingCase) -> list[tuple[str, TrainingCase]]:
    """More GPUs per replica out of the data-parallel ones, then more GPUs."""
    layout, found = case.layout, []
    for power in range(1, _STEPS):
        factor = 2.0**power
        if float(layout.data) % factor == 0.0:
            data = float(layout.data) / factor
            tensor, pipeline = float(layout.tensor) * factor, float(layout.pipeline) * factor
            if tensor <= float(case.machine.node) and float(case.model.heads) % tensor == 0.0:
                change = _with(case, tensor=tensor, data=data, recompute=2.0, micro_batch=1.0)
                found.append((f"parallelism: tensor {tensor:g}, data {data:g}, {_LEAN}", change))
            if pipeline <= float(case.model.layers):
                sharded = min(float(layout.zero), 2.0)
                change = _with(case, pipeline=pipeline, data=data, zero=sharded, recompute=2.0, micro_batch=1.0)
                found.append((f"parallelism: pipeline {pipeline:g}, data {data:g}, {_LEAN}", change))
    for power in range(1, _STEPS + 3):
        gpus = float(case.machine.gpus) * 2.0**power
        change = _with(case, zero=3.0, data=float(layout.data) * 2.0**power, recompute=2.0, micro_batch=1.0)
        text = f"accelerators.count: {gpus:g} with sharding: ZeRO3, {_LEAN}"
        found.append((text, replace(change, machine=replace(case.machine, gpus=np.asarray(gpus)))))
    return found


def _halves(value: float) -> list[float]:
    found = []
    while value > 1 and value % 2 == 0:
        value /= 2
        found.append(value)
    return found


def _with(case: TrainingCase, **changes: float) -> TrainingCase:
    """The case with parts of its layout changed; whoever replicates also shards, so that group follows."""
    layout = replace(case.layout, **{name: np.asarray(value) for name, value in changes.items()})
    if "data" in changes:
        layout = replace(layout, shard=layout.data * layout.context)
    return replace(case, layout=layout)
