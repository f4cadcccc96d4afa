"""From a planted truth and a product to the counters that its GPUs show: recorded shapes, scaled, never computed.

Two numbers tie a shape to a truth. The recording's own ratio of counted MFU to tensor activity × clock says how much
activity the planted MFU costs; the fault's recording says how everything else moves with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mfu.hardware.catalog import device_peak
from mfu.hardware.types import GPU, Device, Precision
from mfu.sim.recordings import NVLINK, PCIE, SHARES, Column, Floats
from mfu.sim.replay import IDLE_POWER, clock_ceiling, consistent, idle_shape, steady, throttled
from mfu.sim.serving_shapes import serving_shape
from mfu.sim.truth import Fault, InvalidPlan, Truth, TruthMode

_FAULT_SCENARIO: Final = {
    Fault.SMALL_BATCH: ("small-batch", "small-batch"),
    Fault.SLOW_LINK: ("ddp-comm-pcie", "ddp-comm-pcie"),
    Fault.COMMUNICATION: ("ddp-comm-nvlink", "ddp-comm-nvlink"),
    Fault.STARVED_INPUT: ("starved-steady", "ddp-starved-nvlink"),
    Fault.WRONG_PRECISION: ("fp32", "fp32"),
    Fault.STRAGGLER: ("ddp-straggler-nvlink", "ddp-straggler-nvlink"),
    Fault.RECOMPUTE: ("recompute", "recompute"),
    Fault.MEMORY_BOUND: ("naive-attention", "naive-attention"),
}
"""Scenario replayed for one GPU and for several. Throttling was not recorded: see `replay.throttled`."""

_DUTY: Final = {
    Fault.STARVED_INPUT: 1.0,
    Fault.IDLE: 1.0,
    Fault.STRAGGLER: 0.5,
    Fault.SLOW_LINK: 0.5,
    Fault.SMALL_BATCH: 0.5,
}
"""How much of a lower MFU shows as less of everything (SM, DRAM, power) and not only as less tensor work: a starved
GPU waits longer (1), a small kernel fills fewer SMs for as long (½), a merely slower healthy kernel keeps them (0)."""

STRAGGLING_ROLE: Final = 1
"""GPU of the straggler recording that was late; the other one waits for it."""


def shape_of(truth: Truth, device: Device, gpus: int, prefill_share: float = 0.0) -> Floats:
    """Counters of a workload on `gpus` devices, relative to the product, [roles, PERIOD_SECONDS, COLUMNS].

    `prefill_share`: share of the model FLOPs that prefill does (serving only). Raises InvalidPlan where the planted
    MFU would need more tensor activity than there is.
    """
    if truth.fault is Fault.IDLE or truth.mfu == 0:
        return idle_shape()
    if truth.mode is not TruthMode.TRAINING:
        return serving_shape(truth, device.gpu, prefill_share)
    base = _base(truth, gpus)
    slowdown = truth.mfu * _peak_ratio(truth, device) / base.mfu
    shape = _with_duty(base.rows, slowdown, _DUTY.get(truth.fault, 0.0))
    if truth.fault is Fault.THROTTLED_CLOCK:
        shape = throttled(shape, truth.strength)
    return _fitted(shape, base.activity * slowdown, device.gpu, _pipes(truth))


def peak(device: Device, precision: Precision) -> float:
    """Dense peak of the device; InvalidPlan where the product has none at that precision."""
    value = device_peak(device, precision)
    if value is None:
        raise InvalidPlan("precision", f"{device.label} has no {precision} peak")
    return value


def _peak_ratio(truth: Truth, device: Device) -> float:
    return peak(device, truth.precision) / peak(device, truth.executed_precision)


@dataclass(frozen=True, slots=True)
class _Base:
    """Recorded rows before scaling, the MFU that was counted for them, and what it cost in pipe activity × clock."""

    rows: Floats
    mfu: float
    activity: float


def _base(truth: Truth, gpus: int) -> _Base:
    pipes = _pipes(truth)
    healthy = _recorded("healthy" if gpus == 1 else "ddp-healthy-nvlink", pipes)
    scenario = _FAULT_SCENARIO.get(truth.fault)
    if scenario is None:
        return healthy
    faulty = _recorded(scenario[0] if gpus == 1 else scenario[1], pipes)
    return faulty if truth.fault is Fault.WRONG_PRECISION else _between(healthy, faulty, truth.strength)


def _recorded(scenario: str, pipes: Sequence[Column]) -> _Base:
    rows, mfu = steady(scenario)
    return _Base(rows, mfu, _activity(rows, pipes))


def _between(healthy: _Base, faulty: _Base, strength: float) -> _Base:
    """So much of the time faulty, the rest healthy. Activity × clock is mixed as a product: the clocks differ."""
    roles = max(len(healthy.rows), len(faulty.rows))
    mixed = (1 - strength) * _spread(healthy.rows, roles) + strength * _spread(faulty.rows, roles)
    mixed[..., Column.EVENTS] = _spread((faulty if strength >= 0.5 else healthy).rows, roles)[..., Column.EVENTS]
    return _Base(
        mixed,
        (1 - strength) * healthy.mfu + strength * faulty.mfu,
        (1 - strength) * healthy.activity + strength * faulty.activity,
    )


def _pipes(truth: Truth) -> tuple[Column, ...]:
    return (Column.FP32,) if truth.executed_precision is Precision.FP32 else (Column.TENSOR, Column.HMMA)


def _spread(shape: Floats, roles: int) -> Floats:
    return shape if len(shape) == roles else np.repeat(shape[:1], roles, axis=0)


def _with_duty(base: Floats, slowdown: float, exponent: float) -> Floats:
    """Less of everything but tensor work (fitted later), by slowdown ** exponent; never more than recorded."""
    shape = base.copy()
    duty = min(1.0, slowdown) ** exponent
    shape[..., SHARES] *= duty
    shape[..., [Column.GPU_UTIL, Column.MEM_UTIL]] *= duty
    shape[..., Column.POWER] = IDLE_POWER + (shape[..., Column.POWER] - IDLE_POWER) * duty
    # Bytes on the links belong to steps; a link that is the bottleneck stays as busy as it was recorded.
    shape[..., NVLINK] *= min(slowdown, 1.0)
    shape[..., PCIE] *= min(slowdown, 1.0) if exponent == 1.0 else 1.0
    return shape


def _fitted(shape: Floats, activity: float, gpu: GPU, pipes: Sequence[Column]) -> Floats:
    """Scale the working pipe so that its activity × clock is what the recordings say the planted MFU costs."""
    fitted = shape.copy()
    fitted[..., Column.CLOCK] = np.minimum(fitted[..., Column.CLOCK], clock_ceiling(gpu))
    fitted[..., list(pipes)] *= activity / _activity(fitted, pipes)
    return consistent(fitted, pipes)


def _activity(shape: Floats, pipes: Sequence[Column]) -> float:
    return float(shape[..., pipes[0]].mean() * shape[..., Column.CLOCK].mean())
