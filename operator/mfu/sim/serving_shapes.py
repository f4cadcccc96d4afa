"""Counters of a serving engine: recorded prefill and recorded decode, mixed by the time that each must take."""

from __future__ import annotations

from typing import Final

import numpy as np

from mfu.hardware.types import GPU
from mfu.sim.recordings import NVML_UTILS, PCIE, SHARES, Column, Floats, load
from mfu.sim.replay import IDLE_POWER, clock_ceiling, consistent, steady, throttled
from mfu.sim.truth import Fault, InvalidPlan, Truth

_TENSOR: Final = (Column.TENSOR, Column.HMMA)
_SERVING_FAULTS: Final = frozenset(
    {Fault.NONE, Fault.LOW_CONCURRENCY, Fault.REQUEST_VARIABILITY, Fault.THROTTLED_CLOCK}
)
_LONGEST_PREFILL: Final = 0.95
"""Largest share of time that prefill may take while there is decode to do; beyond it its kernels are faster."""


def serving_shape(truth: Truth, gpu: GPU, prefill_share: float) -> Floats:
    """[1, PERIOD_SECONDS, COLUMNS] of an engine that does `prefill_share` of its model FLOPs in prefill.

    Prefill runs at the MFU that was recorded for it and decode takes the rest of the busy time, so that a lower planted
    MFU is decode with fewer sequences: it computes whole tiles and reads all weights however few there are.
    """
    if truth.fault not in _SERVING_FAULTS:
        raise InvalidPlan("fault", f"{truth.fault} is a fault of training, the mode is {truth.mode}")
    mixed = _busy(truth.mfu / truth.load, prefill_share)
    if truth.mbu is not None:
        mixed[..., Column.DRAM] *= truth.mbu / truth.load / mixed[..., Column.DRAM].mean()
    if truth.fault is Fault.THROTTLED_CLOCK:
        mixed = _slower_clock(mixed, truth.strength)
    return consistent(_part_of_the_time(_within_clocks(mixed, gpu), truth.load), _TENSOR)


def _busy(mfu: float, prefill_share: float) -> Floats:
    prefill, prefill_mfu = _prefill()
    decode, decode_mfu = steady("decode-b64")
    if prefill_share > 1 - 1e-9:
        return _with_tensor(prefill, mfu / prefill_mfu)
    time = min(_LONGEST_PREFILL, prefill_share * mfu / prefill_mfu)
    faster = prefill_share * mfu / (prefill_mfu * time) if time else 1.0
    decoding_mfu = (1 - prefill_share) * mfu / (1 - time)
    mixed = time * _with_tensor(prefill, faster) + (1 - time) * _with_tensor(
        decode, max(1.0, decoding_mfu / decode_mfu)
    )
    mixed[..., Column.EVENTS] = decode[..., Column.EVENTS]
    return mixed


def _prefill() -> tuple[Floats, float]:
    """Prefill was recorded as a whole-run average: its seconds vary as the healthy training run's do."""
    average, mfu = load()["prefill"].values[0, 0], load()["prefill"].mfu
    healthy, _ = steady("healthy")
    means = healthy.mean(axis=1, keepdims=True)
    wobble = np.divide(healthy, means, out=np.ones_like(healthy), where=means > 0)
    rows = np.clip(average * wobble, 0.0, None)
    rows[..., Column.EVENTS] = average[Column.EVENTS]
    return rows, mfu


def _with_tensor(shape: Floats, factor: float) -> Floats:
    scaled = shape.copy()
    scaled[..., list(_TENSOR)] *= factor
    return scaled


def _slower_clock(shape: Floats, strength: float) -> Floats:
    slowed = throttled(shape, strength)
    return _with_tensor(slowed, shape[..., Column.CLOCK].mean() / slowed[..., Column.CLOCK].mean())


def _within_clocks(shape: Floats, gpu: GPU) -> Floats:
    capped = shape.copy()
    capped[..., Column.CLOCK] = np.minimum(shape[..., Column.CLOCK], clock_ceiling(gpu))
    return _with_tensor(capped, shape[..., Column.CLOCK].mean() / capped[..., Column.CLOCK].mean())


def _part_of_the_time(shape: Floats, load_share: float) -> Floats:
    waiting = shape.copy()
    for columns in (SHARES, NVML_UTILS, PCIE):
        waiting[..., columns] *= load_share
    waiting[..., Column.POWER] = IDLE_POWER + (shape[..., Column.POWER] - IDLE_POWER) * load_share
    return waiting
