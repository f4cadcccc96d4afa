"""Engines' own latency histograms → how many answers were timed, and how many of them came within the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Final

from mfu.observe.readings import Counter, Gauge
from mfu.telemetry.text.series import Series, read

_VLLM: Final = ("vllm:", "ray_vllm:", "ray_vllm_", "vllm_")
_OTHERS: Final = ("sglang:", "sglang_", "trtllm_", "trtllm:", "dynamo_frontend_", "")
"""NIM serves its engine's names without a prefix."""
FIRST_TOKEN: Final = (
    *(f"{prefix}time_to_first_token_seconds" for prefix in (*_VLLM, *_OTHERS)),
    "nv_inference_first_response_histogram_ms",
)
EACH_TOKEN: Final = (
    *(f"{prefix}request_time_per_output_token_seconds" for prefix in _VLLM),
    *(f"{prefix}inter_token_latency_seconds" for prefix in (*_VLLM, *_OTHERS)),
    *(f"{prefix}time_per_output_token_seconds" for prefix in (*_VLLM, *_OTHERS)),
    "tgi_request_mean_time_per_token_duration",
)
"""Of a whole request where the engine keeps that, else between two tokens."""
_RANKS: Final = ("tp_rank", "pp_rank", "moe_ep_rank")
_NAMES: Final = frozenset(f"{name}_bucket" for name in (*FIRST_TOKEN, *EACH_TOKEN))


@dataclass(frozen=True, slots=True)
class LatencyLimits:
    """What spec.inference.slo promises; None where it promises nothing."""

    first_token_seconds: float | None = None
    each_token_seconds: float | None = None

    def __bool__(self) -> bool:
        return self.first_token_seconds is not None or self.each_token_seconds is not None


@dataclass(frozen=True, slots=True)
class Timed:
    """What a page says of the limits: counters, and beside each pair the limit that it was counted by."""

    counters: Mapping[Counter, float]
    gauges: Mapping[Gauge, float]


def timed(body: bytes, limits: LatencyLimits) -> Timed:
    """Both objectives, as far as the page has a histogram that reaches the limit. One that is declared twice or cut
    short is unknown, as any counter is.
    """
    series = read(body, _NAMES)
    counters: dict[Counter, float] = {}
    gauges: dict[Gauge, float] = {}
    for names, limit, counted, in_time, told in (
        (
            FIRST_TOKEN,
            limits.first_token_seconds,
            Counter.FIRST_TOKENS_TIMED,
            Counter.FIRST_TOKENS_IN_TIME,
            Gauge.FIRST_TOKEN_LIMIT_SECONDS,
        ),
        (
            EACH_TOKEN,
            limits.each_token_seconds,
            Counter.TOKENS_TIMED,
            Counter.TOKENS_IN_TIME,
            Gauge.TOKEN_LIMIT_SECONDS,
        ),
    ):
        found = None if limit is None else within(_buckets(series, names), limit)
        if found is not None and limit is not None:
            counters |= {counted: found[0], in_time: found[1]}
            gauges[told] = limit
    return Timed(counters, gauges)


def within(buckets: Mapping[float, float], limit_seconds: float) -> tuple[float, float] | None:
    """All that were timed, and those within the limit: even within a bucket, as `histogram_quantile` takes them.

    `within({0.1: 40, 0.3: 90, inf: 100}, 0.2) == (100, 65)`. None where the limit lies above the last finite bound:
    nothing tells how many of the rest keep it.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != inf or limit_seconds > bounds[-2]:
        return None
    for lower, upper in pairwise((0.0, *bounds)):
        if limit_seconds <= upper:
            below = buckets.get(lower, 0.0)
            part = (limit_seconds - lower) / (upper - lower) if upper > lower else 1.0
            return buckets[inf], below + part * (buckets[upper] - below)
    return None


def _buckets(series: Series, names: tuple[str, ...]) -> dict[float, float]:
    """Cumulative counts by upper bound in seconds, of the first histogram that is there; empty where it is broken."""
    name = next((name for name in names if f"{name}_bucket" in series.names()), None)
    if name is None:
        return {}
    scale = 1e-3 if name.endswith("_ms") else 1.0
    bounds = {value for labels in series.by_name[f"{name}_bucket"] for key, value in labels if key == "le"}
    found = {bound: series.total(f"{name}_bucket", ignoring=_RANKS, where=("le", bound)) for bound in bounds}
    if any(count is None for count in found.values()):
        return {}
    try:
        return {float(bound) * scale: count for bound, count in found.items() if count is not None}
    except ValueError:
        return {}
