"""What devices cost. Prices are per GPU-hour; a MIG slice costs its share of the streaming multiprocessors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mfu.hardware.types import Device

SECONDS_PER_HOUR = 3600.0
PETA = 1e15


@dataclass(frozen=True, slots=True)
class LabelledPrice:
    """What a GPU-hour costs on nodes with that label: spot, reserved, another zone."""

    label: str
    value: str
    per_gpu_hour: float


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


@dataclass(frozen=True, slots=True)
class PriceBook:
    """What devices cost, and what whoever holds them pays for that; all per GPU-hour, by product API name."""

    prices: Mapping[str, float] = field(default_factory=dict)
    on_nodes: Mapping[str, tuple[LabelledPrice, ...]] = field(default_factory=dict)
    """Go before `prices` where the node carries the label, the first that does."""
    charges: Mapping[str, float] = field(default_factory=dict)
    charge_per_million_tokens: float | None = None
    """What a service's written tokens bring; its GPU-hours bring nothing then."""
    charge_per_million_input_tokens: float | None = None
    """What the prompt tokens that it reads bring, likewise."""

    @property
    def sells_tokens(self) -> bool:
        """Are services charged by tokens, rather than by GPU-hours?"""
        return self.charge_per_million_tokens is not None or self.charge_per_million_input_tokens is not None

    def cost_per_hour(self, device: Device | None, gpus: float, labels: Mapping[str, str]) -> float | None:
        """`gpus` devices for an hour on a node with those labels; None without a price.

        Listed at 2.5, and at 1.1 on spot nodes, eight on a spot node cost 8.8.
        """
        rows = self.on_nodes.get(device.gpu.api_name, ()) if device else ()
        found = next((row.per_gpu_hour for row in rows if labels.get(row.label) == row.value), None)
        if device is None or found is None:
            return price_per_hour(self.prices, device, gpus)
        return price_per_hour({device.gpu.api_name: found}, device, gpus)


def per_useful_pflop(cost: float | None, model_flops_per_s: float | None) -> float | None:
    """Money per hour ÷ model PFLOPs (1e15 operations) per hour; None where no work is known.

    $20/h for eight GPUs that do 3.2e15 model FLOP/s: `round(per_useful_pflop(20.0, 3.2e15) or 0, 6) == 0.001736`.
    """
    if cost is None or not model_flops_per_s or model_flops_per_s <= 0:
        return None
    return cost / (model_flops_per_s * SECONDS_PER_HOUR / PETA)


def per_million_tokens(cost: float | None, tokens_per_s: float | None) -> float | None:
    """`per_million_tokens(36.0, 1000.0) == 10.0`: $36/h at 1,000 tokens/s."""
    if cost is None or not tokens_per_s:
        return None
    return cost / (tokens_per_s * SECONDS_PER_HOUR) * 1e6
