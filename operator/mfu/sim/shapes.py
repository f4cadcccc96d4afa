"""From a planted truth and a product to the counters that its GPUs show: recorded shapes, scaled, never computed.

Two numbers tie a shape to a truth. The recording's own ratio of counted MFU to tensor activity × clock says how much
activity the planted MFU costs; the fault's recording says how everything else moves with it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.hardware.catalog import device_peak
from mfu.hardware.types import GPU, Device, Precision
from mfu.sim.recordings import COLUMNS, NVLINK, PCIE, SHARES, Column, Floats, load
from mfu.sim.truth import Fault, InvalidPlan, Mode, Truth

PERIOD_SECONDS: Final = 14
"""Every recording has at least so many steady seconds; they are replayed in a circle."""

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
"""Scenario replayed for one GPU and for several. Throttling and low concurrency were not recorded: see below."""

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

_IDLE_POWER: Final = 0.12
_IDLE_CLOCK: Final = 345 / 1830
_IDLE_EVENTS: Final = 1.0
_SW_THERMAL_SLOWDOWN: Final = 0x20
_MOST_ACTIVE: Final = 0.97


def idle_shape() -> Floats:
    """An allocated or free GPU that does nothing, [1, PERIOD_SECONDS, COLUMNS]. Power and clock are assumptions."""
    shape = np.zeros((1, PERIOD_SECONDS, COLUMNS))
    shape[..., Column.POWER] = _IDLE_POWER
    shape[..., Column.CLOCK] = _IDLE_CLOCK
    shape[..., Column.EVENTS] = _IDLE_EVENTS
    return shape


def shape_of(truth: Truth, device: Device, gpus: int, prefill_share: float = 0.0) -> Floats:
    """Counters of a workload on `gpus` devices, relative to the product, [roles, PERIOD_SECONDS, COLUMNS].

    `prefill_share`: share of the model FLOPs that prefill does (serving only). Raises InvalidPlan where the planted
    MFU would need more tensor activity than there is.
    """
    if truth.fault is Fault.IDLE or truth.mfu == 0:
        return idle_shape()
    base, base_mfu = _base(truth, gpus, prefill_share)
    executed = truth.mfu * _peak_ratio(truth, device)
    shape = _with_duty(base, executed / base_mfu, _DUTY.get(truth.fault, _mode_duty(truth)))
    if truth.fault is Fault.THROTTLED_CLOCK:
        shape = _throttled(shape, truth.strength)
    return _fit_clock_and_tensor(shape, base, base_mfu, executed, device.gpu, truth)


def peak(device: Device, precision: Precision) -> float:
    """Dense peak of the device; InvalidPlan where the product has none at that precision."""
    value = device_peak(device, precision)
    if value is None:
        raise InvalidPlan("precision", f"{device.label} has no {precision} peak")
    return value


def _peak_ratio(truth: Truth, device: Device) -> float:
    return peak(device, truth.precision) / peak(device, truth.executed_precision)


def _mode_duty(truth: Truth) -> float:
    # An engine without requests stands still; a trainer never does.
    return 0.0 if truth.mode is Mode.TRAINING or truth.fault is Fault.LOW_CONCURRENCY else 1.0


def _base(truth: Truth, gpus: int, prefill_share: float) -> tuple[Floats, float]:
    """Recorded rows before scaling and the MFU that they stand for."""
    healthy, healthy_mfu = _healthy(truth, gpus, prefill_share)
    scenario = _FAULT_SCENARIO.get(truth.fault)
    if scenario is None:
        return healthy, healthy_mfu
    if truth.fault is Fault.WRONG_PRECISION:
        return _steady(scenario[0])
    faulty, faulty_mfu = _steady(scenario[0] if gpus == 1 else scenario[1])
    roles = max(len(healthy), len(faulty))
    mixed = (1 - truth.strength) * _spread(healthy, roles) + truth.strength * _spread(faulty, roles)
    mixed[..., Column.EVENTS] = _spread(faulty if truth.strength >= 0.5 else healthy, roles)[..., Column.EVENTS]
    return mixed, (1 - truth.strength) * healthy_mfu + truth.strength * faulty_mfu


def _healthy(truth: Truth, gpus: int, prefill_share: float) -> tuple[Floats, float]:
    if truth.mode is Mode.TRAINING:
        return _steady("healthy" if gpus == 1 else "ddp-healthy-nvlink")
    prefill, prefill_mfu = _prefill()
    decode, decode_mfu = _steady("decode-b64")
    # Time shares follow from FLOP shares: each phase does its FLOPs at its own recorded MFU.
    prefill_time, decode_time = prefill_share / prefill_mfu, (1 - prefill_share) / decode_mfu
    share = prefill_time / (prefill_time + decode_time)
    mixed = share * prefill + (1 - share) * decode
    mixed[..., Column.EVENTS] = decode[..., Column.EVENTS]
    return mixed, 1 / (prefill_time + decode_time)


def _prefill() -> tuple[Floats, float]:
    """Prefill was recorded as a whole-run average: its seconds vary as the healthy training run's do."""
    average, mfu = load()["prefill"].values[0, 0], load()["prefill"].mfu
    healthy, _ = _steady("healthy")
    means = healthy.mean(axis=1, keepdims=True)
    wobble = np.divide(healthy, means, out=np.ones_like(healthy), where=means > 0)
    rows = np.clip(average * wobble, 0.0, None)
    rows[..., Column.EVENTS] = average[Column.EVENTS]
    return rows, mfu


def _steady(scenario: str) -> tuple[Floats, float]:
    recording = load()[scenario]
    return recording.values[:, :PERIOD_SECONDS].copy(), recording.mfu


def _spread(shape: Floats, roles: int) -> Floats:
    return shape if len(shape) == roles else np.repeat(shape[:1], roles, axis=0)


def _with_duty(base: Floats, slowdown: float, exponent: float) -> Floats:
    """Less of everything but tensor work (fitted later), by slowdown ** exponent; never more than recorded."""
    shape = base.copy()
    duty = min(1.0, slowdown) ** exponent
    shape[..., SHARES] *= duty
    shape[..., [Column.GPU_UTIL, Column.MEM_UTIL]] *= duty
    shape[..., Column.POWER] = _IDLE_POWER + (shape[..., Column.POWER] - _IDLE_POWER) * duty
    # Bytes on the links belong to steps; a link that is the bottleneck stays as busy as it was recorded.
    shape[..., NVLINK] *= min(slowdown, 1.0)
    shape[..., PCIE] *= min(slowdown, 1.0) if exponent == 1.0 else 1.0
    return shape


def _throttled(shape: Floats, strength: float) -> Floats:
    """Not recorded: clock and power fall together while the SMs stay as busy, and the mask says why."""
    slowed = shape.copy()
    factor = 1 - 0.6 * strength
    slowed[..., Column.CLOCK] *= factor
    slowed[..., Column.POWER] = _IDLE_POWER + (shape[..., Column.POWER] - _IDLE_POWER) * factor
    slowed[..., Column.EVENTS] = _SW_THERMAL_SLOWDOWN
    return slowed


def _fit_clock_and_tensor(
    shape: Floats, base: Floats, base_mfu: float, executed: float, gpu: GPU, truth: Truth
) -> Floats:
    """Scale the working pipe so that activity × clock costs what the recording says the planted MFU costs."""
    fitted = shape.copy()
    if gpu.max_clock_mhz and gpu.reference_clock_mhz:
        ceiling = gpu.max_clock_mhz / gpu.reference_clock_mhz
        fitted[..., Column.CLOCK] = np.minimum(fitted[..., Column.CLOCK], ceiling)
    wanted = _pipe_activity(base, truth) * executed / base_mfu
    if truth.fault is Fault.LOW_CONCURRENCY:
        # A decode step computes whole tiles however few requests fill them: activity stays, useful work falls.
        wanted = _pipe_activity(base, truth)
    scale = wanted / _pipe_activity(fitted, truth)
    columns = [Column.FP32] if truth.executed_precision is Precision.FP32 else [Column.TENSOR, Column.HMMA]
    fitted[..., columns] *= scale
    if fitted[..., columns].mean() > _MOST_ACTIVE:
        raise InvalidPlan("mfu", f"{truth.mfu:g} would need a pipe active all the time; plant less")
    fitted[..., SHARES] = np.clip(fitted[..., SHARES], 0.0, 1.0)
    fitted[..., Column.SM] = np.maximum(fitted[..., Column.SM], fitted[..., columns].max(axis=-1))
    fitted[..., Column.GR_ENGINE] = np.maximum(fitted[..., Column.GR_ENGINE], fitted[..., Column.SM])
    return fitted


def _pipe_activity(shape: Floats, truth: Truth) -> float:
    column = Column.FP32 if truth.executed_precision is Precision.FP32 else Column.TENSOR
    return float(shape[..., column].mean() * shape[..., Column.CLOCK].mean())
