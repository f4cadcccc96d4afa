"""The counters meter: tensor-pipe activity × clock, corrected to model FLOPs. Arrays in, arrays out.

MFU = pipe activity × (SM clock ÷ clock of the peak) × pipe yield ÷ executed-per-model. The yield is what a perfect
product gets out of an active pipe; it is lower while the board sits at its power limit, where NVML's clock samples
read high. Both constants are fitted on recordings of H200s and an H100 (see docs/diagnosis.md), nothing else is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfu.hardware.types import Device, Precision
from mfu.observe.executed import UNDECLARED, Executed
from mfu.observe.readings import Floats, Metric

PIPE_YIELD = 0.97
"""Model FLOPs of a full product over active pipe cycles, clock steady."""
CAPPED_YIELD = 0.975
"""Further factor at the power limit: a sampled clock over-reads the clock that the work really saw."""
FREE_CLOCK = 0.99
"""Share of the highest clock from which nothing holds the board back, whatever it draws."""
CAP_FROM, CAP_FULL = 0.80, 0.95
"""Power over limit where the board starts to be held back, and where it is for good."""
FMA_TENSOR_FLOOR = 0.004
"""Tensor activity above which attention of an FP32 run is on the tensor pipe and off the FMA pipe."""
QUIET_TENSOR = 0.10
"""Tensor activity that is attention alone while all other products are on the FP32 pipe (3.6 % recorded)."""


@dataclass(frozen=True, slots=True)
class CountersMFU:
    """`mfu` over the declared precision's peak, `tensor` the raw activity × clock ratio; shaped like the input."""

    mfu: Floats
    tensor: Floats
    relative_sd: float


def counters_mfu(
    values: Floats, device: Device, precision: Precision, *, intent: Executed | None, tensor_cores: bool = True
) -> CountersMFU:
    """Counters MFU of readings [..., METRICS] of one product; NaN where a reading is missing.

    `tensor_cores` False: the products were seen on the FP32 pipe though another precision is declared.

    H200 at 73.3 % tensor activity, 1522 MHz and 693 W: 0.733·1522/1830 = 0.610 raw, ·0.97·0.975/1.030 = 0.560.
    """
    told = intent or UNDECLARED
    tensor = values[..., Metric.TENSOR_ACTIVE] * clock_ratio(values, device.gpu.reference_clock_mhz)
    usable = pipe_yield(values, device)
    if precision is Precision.FP32:
        return CountersMFU(_fma(values, device, told) * usable, tensor, told.relative_sd)
    mfu = np.asarray(tensor * usable / told.ratio, dtype=np.float64)
    if not tensor_cores:
        own, wide = device.gpu.peaks.get(precision), device.gpu.peaks.get(Precision.FP32)
        on_fma = _fma(values, device, told) * usable * (wide / own if own and wide else np.nan)
        mfu = np.where(values[..., Metric.TENSOR_ACTIVE] < QUIET_TENSOR, on_fma, mfu)
    return CountersMFU(mfu, tensor, told.relative_sd)


def _fma(values: Floats, device: Device, intent: Executed) -> Floats:
    """FP32 work outside the tensor cores. Its datasheet peak is stated at the maximum clock, not at the tensor one."""
    active = values[..., Metric.FP32_ACTIVE] * clock_ratio(values, device.gpu.max_clock_mhz)
    on_tensor = values[..., Metric.TENSOR_ACTIVE] > FMA_TENSOR_FLOOR
    kept = np.where(on_tensor, 1 - intent.attention_share, 1.0)
    return np.asarray(active / (kept * intent.recompute * intent.tiles), dtype=np.float64)


def clock_ratio(values: Floats, reference_mhz: float | None) -> Floats:
    """SM clock over the clock that the peak is stated at; NaN where either is unknown."""
    reference = np.nan if reference_mhz is None else reference_mhz * 1e6
    return np.asarray(values[..., Metric.SM_CLOCK] / reference, dtype=np.float64)


def pipe_yield(values: Floats, device: Device) -> Floats:
    """PIPE_YIELD, down to PIPE_YIELD·CAPPED_YIELD at the power limit; in between where power is not known."""
    maximum = np.nan if device.gpu.max_clock_mhz is None else device.gpu.max_clock_mhz * 1e6
    return _yield(values, device.gpu.tdp_watts or np.nan, maximum)


def _yield(values: Floats, power_limit: Floats | float, max_clock_hz: Floats | float) -> Floats:
    limit = values[..., Metric.POWER_LIMIT]
    limit = np.where(np.isfinite(limit) & (limit > 0), limit, power_limit)
    held = np.clip((values[..., Metric.POWER] / limit - CAP_FROM) / (CAP_FULL - CAP_FROM), 0.0, 1.0)
    held = np.where(values[..., Metric.SM_CLOCK] >= FREE_CLOCK * max_clock_hz, 0.0, held)
    return np.asarray(PIPE_YIELD * CAPPED_YIELD ** np.where(np.isfinite(held), held, 0.5), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class PeakTable:
    """Per device, NaN unknown: clocks of the 16-bit peak and the highest, power limit. Built when devices change."""

    reference_clock_hz: Floats
    max_clock_hz: Floats
    power_limit_watts: Floats


def peak_table(devices: tuple[Device | None, ...]) -> PeakTable:
    """`None` for a product that is not known: its MFU is NaN."""
    gpus = [None if each is None else each.gpu for each in devices]
    return PeakTable(
        reference_clock_hz=_column([None if each is None else each.reference_clock_mhz for each in gpus]) * 1e6,
        max_clock_hz=_column([None if each is None else each.max_clock_mhz for each in gpus]) * 1e6,
        power_limit_watts=_column([None if each is None else each.tdp_watts for each in gpus]),
    )


def fleet_counters_mfu(values: Floats, peaks: PeakTable) -> Floats:
    """Reference MFU of [devices, METRICS] without any intent: 16-bit assumed, labelled estimated. NaN is unknown.

    For GPU pods without a ModelWorkload and for node and namespace roll-ups; a few array operations whatever the size.
    """
    usable = _yield(values, peaks.power_limit_watts, peaks.max_clock_hz)
    raw = values[:, Metric.TENSOR_ACTIVE] * values[:, Metric.SM_CLOCK] / peaks.reference_clock_hz
    return np.asarray(raw * usable / UNDECLARED.ratio, dtype=np.float64)


def _column(values: Sequence[float | None]) -> Floats:
    return np.asarray([np.nan if each is None else each for each in values], dtype=np.float64)
