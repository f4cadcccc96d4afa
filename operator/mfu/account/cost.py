"""Money: what a workload costs, what of that is lost, and what a token and a step come to."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.hardware.price import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Cost:
    """All in the policy's currency; None where a price or a rate is not known."""

    per_hour: float | None = None
    lost_per_hour: float | None = None
    """What the gap between expected and observed costs (runtime loss)."""
    improvable_per_hour: float | None = None
    """What the gap between attainable and expected costs (configuration loss)."""
    per_million_tokens: float | None = None
    per_step: float | None = None


def lost(cost: float | None, reached: float | None, possible: float | None) -> float | None:
    """The part of `cost` that bought nothing: cost · (1 − reached / possible), never negative.

    $512/h at 14.5 % where 41.2 % were expected loses $331.81/h: `round(lost(512, 0.145, 0.412), 2) == 331.81`.
    """
    if cost is None or reached is None or not possible:
        return None
    return cost * max(0.0, 1.0 - reached / possible)


def per_step(cost: float | None, step_seconds: float | None) -> float | None:
    """`per_step(36.0, 2.0) == 0.02`."""
    if cost is None or step_seconds is None:
        return None
    return cost * step_seconds / SECONDS_PER_HOUR
