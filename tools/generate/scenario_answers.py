"""Answers of the scenarios' page, and short ways to ask: a row is a question, its band and the figure beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict import predict
from mfu.predict.inference.prediction import predict_inference
from mfu.predict.spread import band
from mfu.predict.types import (
    Inference,
    Method,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Prediction,
    Recompute,
    Setup,
    Sharding,
    Training,
)
from mfu.workload.presets import preset

GIB, GB = 2.0**30, 1e9
DERIVED = 0.10
"""How near a hand-derived figure the model's own must come: it leaves out small terms."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: the model's value with its band, and the figure beside it."""

    scenario: str
    asked: str
    unit: str
    predicted: float
    low: float
    high: float
    reference: float | None
    """What was published or counted; None where the band is the pair of hand-derived bounds of the prediction."""
    source: str

    @property
    def holds(self) -> bool:
        value = self.predicted if self.reference is None else self.reference
        return self.low <= value <= self.high


def on(product: str = "H100-SXM5", gpus: int = 1) -> Placement:
    gpu = load().by_api_name(product)
    assert isinstance(gpu, GPU), gpu
    return Placement(Device(gpu), gpus)


def asked(setup: Setup, placement: Placement) -> Prediction:
    found = predict_inference(setup, placement) if isinstance(setup, Inference) else predict(setup, placement)
    assert isinstance(found, Prediction), found
    return found


def serve(
    model: str, *, engine: str = "vLLM", weights: Precision = Precision.BF16, concurrency: float | None = 1.0,
    inputs: float = 1024.0, outputs: float = 256.0, phase: Phase = Phase.MIXED, tensor: int = 1,
) -> Inference:  # fmt: skip
    cache = Precision.FP8 if weights is Precision.FP8 else Precision.BF16
    precisions = Precisions(weights, weights, cache)
    return Inference(
        preset(model), precisions, phase, inputs, outputs, concurrency, Parallelism(tensor=tensor), engine=engine
    )


def train(
    model: str, *, batch: int, sequence: int, engine: str | None = None, weights: Precision = Precision.BF16,
    sharding: Sharding = Sharding.ZERO1, recompute: Recompute = Recompute.NONE, method: Method = Method.FULL,
    **cut: Any,
) -> Training:  # fmt: skip
    return Training(
        preset(model), Precisions(compute=weights), sequence, batch, 1, Parallelism(**cut), sharding, recompute,
        method=method, engine=engine,
    )  # fmt: skip


def rate(
    scenario: str, question: str, unit: str, value: float, found: Prediction, reference: float, source: str
) -> Answer:
    low, high = band(value, found.doubt.total)
    return Answer(scenario, question, unit, value, low * found.doubt.tail, high, reference, source)


def derived(scenario: str, question: str, unit: str, value: float, reference: float, source: str) -> Answer:
    return Answer(scenario, question, unit, value, value * (1 - DERIVED), value * (1 + DERIVED), reference, source)


def states(scenario: str, job: Training, placement: Placement, least_bytes: float, capacity_gb: float) -> Answer:
    found = asked(job, placement)
    total = found.memory.total_bytes / GB
    source = (
        f"by hand: 16 bytes a parameter, to half as much again for activations; above {capacity_gb:g} GB: does not fit"
    )
    assert not found.memory.fits
    return Answer(scenario, "memory a GPU", "GB", total, least_bytes / GB, 1.5 * least_bytes / GB, None, source)


def fits(scenario: str, found: Prediction, reference: bool) -> Answer:
    fits = float(found.memory.fits)
    used = f"fits ({found.memory.total_bytes / GIB:.0f} of {found.memory.capacity_bytes / GIB:.0f} GiB)"
    return Answer(scenario, used, "yes = 1", fits, fits, fits, float(reference), "people run it")
