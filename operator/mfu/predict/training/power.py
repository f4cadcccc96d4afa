"""What a power limit below the product's own costs: the clock goes down until the board draws what it may.

Dynamic power is activity · f · V², and voltage falls with the clock, so it grows with a power of the clock: 3 where
voltage is proportional to it, 1 on the floor under which voltage does not fall. Memory, links and leakage draw theirs
whatever the clock. A limit L on a board of T watts with an idle share s leaves the matrix units

    clock = ((L - s·T) / (T - s·T)) ** (1 / exponent)

of the clock that lasts at T. A B200 at 750 of 1,000 W: ((750 - 150) / 850) ** (1 / 2) = 0.84. Memory keeps its clock (a
card at its limit for minutes held it in every sample: ashalliants/ninfer-3090, pull request 72), so what memory paces
loses nothing.
"""

from __future__ import annotations

from mfu.hardware.types import Device
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.types import Placement


def held_clock(device: Device, limit_watts: float | None, c: TrainingConstants) -> float:
    """Clock of the matrix units under the limit over the clock that lasts without one; 1 where the product's own limit
    is not known, or is not lowered."""
    board = device.gpu.tdp_watts
    if limit_watts is None or not board or limit_watts >= board:
        return 1.0
    idle = c["power_idle"] * board
    dynamic = max(limit_watts - idle, _LEAST * board) / (board - idle)
    held: float = dynamic ** (1.0 / c.of("power_exponent", device.gpu.architecture))
    return held


_LEAST = 0.05
"""Of the board's watts: drivers allow no limit near what the board draws idle."""


def power_said(placement: Placement, held: float) -> tuple[str, ...]:
    """The note on a lowered limit, none where nothing is lowered."""
    if held >= 1.0:
        return ()
    limit, board = placement.power_limit_watts or 0.0, placement.device.gpu.tdp_watts or 0.0
    return (f"Power limit {limit:,.0f} of {board:,.0f} W: matrix products run at {held:.2f} of their usual clock.",)
