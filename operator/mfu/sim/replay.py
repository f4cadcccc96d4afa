"""Pieces that every shape is made of: steady recorded seconds, an idle GPU, a throttled clock, consistency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mfu.hardware.types import GPU
from mfu.sim.recordings import COLUMNS, SHARES, Column, Floats, load
from mfu.sim.truth import InvalidPlan

PERIOD_SECONDS: Final = 14
"""Every recording has at least so many steady seconds; they are replayed in a circle."""

IDLE_POWER: Final = 0.12
_IDLE_CLOCK: Final = 345 / 1830
_IDLE_EVENTS: Final = 1.0
_SW_THERMAL_SLOWDOWN: Final = 0x20
_DEEPEST_THROTTLE: Final = 0.6
_MOST_ACTIVE: Final = 0.97


def steady(scenario: str) -> tuple[Floats, float]:
    """The scenario's seconds, [GPUs, PERIOD_SECONDS, COLUMNS], and the MFU that was counted for them."""
    recording = load()[scenario]
    return recording.values[:, :PERIOD_SECONDS].copy(), recording.mfu


def idle_shape() -> Floats:
    """An allocated or free GPU that does nothing, [1, PERIOD_SECONDS, COLUMNS]. Power and clock are assumptions."""
    shape = np.zeros((1, PERIOD_SECONDS, COLUMNS))
    shape[..., Column.POWER] = IDLE_POWER
    shape[..., Column.CLOCK] = _IDLE_CLOCK
    shape[..., Column.EVENTS] = _IDLE_EVENTS
    return shape


def throttled(shape: Floats, strength: float) -> Floats:
    """Not recorded: clock and power fall together while the SMs stay as busy, and the mask says why."""
    slowed = shape.copy()
    factor = 1 - _DEEPEST_THROTTLE * strength
    slowed[..., Column.CLOCK] *= factor
    slowed[..., Column.POWER] = IDLE_POWER + (shape[..., Column.POWER] - IDLE_POWER) * factor
    slowed[..., Column.EVENTS] = _SW_THERMAL_SLOWDOWN
    return slowed


def clock_ceiling(gpu: GPU) -> float:
    """Highest clock of the product over its reference clock; without limit where either is unknown."""
    if not gpu.max_clock_mhz or not gpu.reference_clock_mhz:
        return float("inf")
    return gpu.max_clock_mhz / gpu.reference_clock_mhz


def consistent(shape: Floats, pipes: Sequence[Column]) -> Floats:
    """Shares within 0..1, an SM as busy as its pipes, an engine as busy as its SMs.

    Raises InvalidPlan where the working pipe would have to be active for more than there is.
    """
    if shape[..., list(pipes)].mean() > _MOST_ACTIVE:
        raise InvalidPlan("mfu", "it would need a pipe active all the time; plant less")
    shape[..., SHARES] = np.clip(shape[..., SHARES], 0.0, 1.0)
    shape[..., Column.SM] = np.maximum(shape[..., Column.SM], shape[..., list(pipes)].max(axis=-1))
    shape[..., Column.GR_ENGINE] = np.maximum(shape[..., Column.GR_ENGINE], shape[..., Column.SM])
    return shape
