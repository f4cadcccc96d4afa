"""What devices cost. Prices are per GPU-hour; a MIG slice costs its share of the streaming multiprocessors."""

from __future__ import annotations

from collections.abc import Mapping

from mfu.hardware.types import Device

SECONDS_PER_HOUR = 3600.0


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


def per_million_tokens(cost: float | None, tokens_per_s: float | None) -> float | None:
    """`per_million_tokens(36.0, 1000.0) == 10.0`: $36/h at 1,000 tokens/s."""
    if cost is None or not tokens_per_s:
        return None
    return cost / (tokens_per_s * SECONDS_PER_HOUR) * 1e6
