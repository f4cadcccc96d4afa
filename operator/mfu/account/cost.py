"""Money. Prices are per GPU-hour; a MIG slice costs its share of the streaming multiprocessors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mfu.hardware.types import Device

SECONDS_PER_HOUR = 3600.0


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


def price_per_hour(prices: Mapping[str, float], device: Device | None, gpus: float) -> float | None:
    """`gpus` devices for an hour: `price_per_hour({"H100-SXM5": 2.5}, h100, 8) == 20.0`; None without a price.

    A tenth of a time-sliced GPU is 0.1 GPUs.
    """
    if device is None:
        return None
    price = prices.get(device.gpu.api_name)
    if price is None:
        return None
    share = device.mig.sm_fraction if device.mig else 1.0
    return price * share * gpus


def lost(cost: float | None, reached: float | None, possible: float | None) -> float | None:
    """The part of `cost` that bought nothing: cost · (1 − reached / possible), never negative.

    $512/h at 14.5 % where 41.2 % were expected loses $331.81/h: `round(lost(512, 0.145, 0.412), 2) == 331.81`.
    """
    if cost is None or reached is None or not possible:
        return None
    return cost * max(0.0, 1.0 - reached / possible)


def per_million_tokens(cost: float | None, tokens_per_s: float | None) -> float | None:
    """`per_million_tokens(36.0, 1000.0) == 10.0`: $36/h at 1,000 tokens/s."""
    if cost is None or not tokens_per_s:
        return None
    return cost / (tokens_per_s * SECONDS_PER_HOUR) * 1e6


def per_step(cost: float | None, step_seconds: float | None) -> float | None:
    """`per_step(36.0, 2.0) == 0.02`."""
    if cost is None or step_seconds is None:
        return None
    return cost * step_seconds / SECONDS_PER_HOUR
