"""The nearest setting that fits: fewest changes from the declared one, no more GPUs than it takes, predicted anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mfu.hardware.products import usual_node_gpus
from mfu.predict.attainable import FIELDS, limits_of, setup_at, space_of
from mfu.predict.inference.prediction import predict_inference
from mfu.predict.training.arrays import TrainingCase, take_case
from mfu.predict.training.case import case_of, layout_of
from mfu.predict.training.constants import shipped
from mfu.predict.training.layouts import Ranked, evaluate, table
from mfu.predict.training.peak_memory import training_memory
from mfu.predict.training.predict import predict_training
from mfu.predict.types import Inference, Placement, Prediction, Setup, Training, Tunable

_FACTORS: Final = (1, 2, 4, 8, 16, 32)
_TRIES: Final = 3
_FREE: Final = frozenset({Tunable.MICRO_BATCH, Tunable.RECOMPUTE, Tunable.LAYOUT})
_ROW: Final = ("tensor", "pipeline", "context", "data", "expert", "virtual", "micro_batch", "recompute", "zero")


@dataclass(frozen=True, slots=True)
class Fitting:
    """A setting that fits, where it would run, what it should reach, and how it differs from the declared one."""

    setup: Setup
    placement: Placement
    prediction: Prediction
    changes: tuple[str, ...]


def nearest_fit(setup: Setup, placement: Placement) -> Fitting | None:
    """The setting with the fewest changes that fits on the fewest GPUs of the same product; None where none does.

    Tensor parallelism never crosses NVLink domains. A job of Llama 3.1 8B on 8 H100 with DDP needs 182 GiB per GPU;
    the nearest that fits changes sharding alone, to ZeRO3.
    """
    return _training(setup, placement) if isinstance(setup, Training) else _inference(setup, placement)


def nvlinked_gpus(placement: Placement) -> int:
    """GPUs of one node that share an NVLink domain: those over which tensor parallelism is advised to go."""
    if placement.device.mig is not None or placement.nvlink is False:
        return 1
    return max(1, min(placement.gpus_per_node, placement.device.gpu.nvlink_domain_gpus))


def _wider(placement: Placement, factor: int) -> Placement:
    gpus = placement.gpus * factor
    usual = usual_node_gpus(placement.device.gpu, gpus)
    return replace(placement, gpus=gpus, gpus_per_node=max(usual, min(gpus, placement.gpus_per_node)))


def _training(setup: Training, placement: Placement) -> Fitting | None:
    return next((found for factor in _FACTORS if (found := _on(setup, _wider(placement, factor), placement))), None)


def _on(setup: Training, wider: Placement, declared: Placement) -> Fitting | None:
    case = case_of(setup, wider, shipped())
    layouts = table(limits_of(setup, wider), space_of(setup, _FREE))
    if case is None or not np.size(layouts.tensor):
        return None
    near = _nearest(replace(case, layout=layouts), setup, wider)
    if near is None:
        return None
    for index in range(len(near.fits)):
        found = setup_at(setup, near, index)
        prediction = predict_training(found, wider)
        if isinstance(prediction, Prediction) and prediction.memory.fits:
            return Fitting(found, wider, prediction, _differences(setup, found, declared, wider))
    return None


def _nearest(rows: TrainingCase, setup: Training, placement: Placement) -> Ranked | None:
    """Of the rows that fit, those with the fewest changed fields, the fastest first.

    Memory is asked of all, time of these alone: somebody waits at a prompt.
    """
    layout, declared = rows.layout, layout_of(setup, placement)
    memory = training_memory(rows, shipped()).total
    fits = memory <= rows.machine.memory * shipped()["headroom"]
    allowed = fits & (np.asarray(layout.tensor) <= nvlinked_gpus(placement))
    if not bool(np.any(allowed)):
        return None
    changed = sum(np.asarray(getattr(layout, name)) != getattr(declared, name) for name in _ROW)
    picked = np.flatnonzero(allowed & (changed == changed[allowed].min()))
    ranked = evaluate(rows, take_case(rows, picked).layout, shipped())
    order = np.argsort(ranked.ranking_seconds, kind="stable")[:_TRIES]
    return evaluate(rows, take_case(ranked.case, order).layout, shipped())


def _differences(declared: Training, found: Training, before: Placement, after: Placement) -> tuple[str, ...]:
    fields = [each for each in FIELDS if each.text(declared) != each.text(found)]
    counts = [f"accelerators.count {before.gpus} → {after.gpus}"] if after.gpus != before.gpus else []
    return (*counts, *(f"{each.name} {each.text(declared)} → {each.text(found)}" for each in fields))


def _inference(setup: Inference, placement: Placement) -> Fitting | None:
    for found, wider, changes in _replicas(setup, placement):
        prediction = predict_inference(found, wider)
        if isinstance(prediction, Prediction) and prediction.memory.fits:
            return Fitting(found, wider, prediction, changes)
    return None


def _replicas(setup: Inference, placement: Placement) -> Iterator[tuple[Inference, Placement, tuple[str, ...]]]:
    """Fewer requests at once; then a wider replica: over its NVLink domain first, then in stages over nodes."""
    if setup.concurrency is not None:
        for part in (2, 4, 8):
            if (fewer := setup.concurrency // part) >= 1:
                changed = (f"concurrency {setup.concurrency:g} → {fewer:g}",)
                yield replace(setup, concurrency=fewer), placement, changed
    cut, heads, layers = setup.parallelism, setup.architecture.heads, setup.architecture.layers
    for factor in (2, 4, 8, 16, 32):
        wider = _wider(placement, factor)
        total = cut.tensor * cut.pipeline * factor
        for tensor in range(min(nvlinked_gpus(wider), total), 0, -1):
            pipeline = total // tensor
            if total % tensor == 0 and heads % tensor == 0 and pipeline <= layers:
                counts = f"accelerators.count {placement.gpus} → {wider.gpus}"
                split = f"parallelism {_split(cut.tensor, cut.pipeline)} → {_split(tensor, pipeline)}"
                yield replace(setup, parallelism=replace(cut, tensor=tensor, pipeline=pipeline)), wider, (counts, split)


def _split(tensor: int, pipeline: int) -> str:
    return f"tensor {tensor}" + (f" pipeline {pipeline}" if pipeline > 1 else "")
