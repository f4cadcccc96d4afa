"""Money: what a workload costs, what of that is lost, and what a token and a step come to."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.account.tokens import TokenCosts
from mfu.hardware.price import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Hours and money for all tokens of a training. The present pace is None where progress is not measured."""

    expected_hours: float | None = None
    expected_cost: float | None = None
    hours: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """All in the policy's currency; None where a price or a rate is not known."""

    per_hour: float | None = None
    lost_per_hour: float | None = None
    """What the gap between expected and observed costs (runtime loss)."""
    improvable_per_hour: float | None = None
    """What the gap between attainable and expected costs (configuration loss)."""
    per_million_tokens: float | None = None
    tokens: TokenCosts | None = None
    """Of a service: prompt and written tokens apart, where both are measured."""
    per_step: float | None = None
    watt_hours_per_million_tokens: float | None = None
    whole_run: RunTotals | None = None
    per_useful_pflop: float | None = None
    """Per 1e15 model operations at the observed rate."""
    revenue_per_hour: float | None = None
    """What its owner is charged, for GPU-hours or for written tokens; None where the policy charges nothing."""


def whole_run(
    total_tokens: float, gpus: float, per_hour: float | None, *, expected: float, present: float | None
) -> RunTotals:
    """All of a training's tokens at the expected and at the present rate (tokens/s per GPU).

    15e12 tokens on 512 GPUs at 400 and 300 tokens/s each, $1,024 an hour:
    `round(whole_run(15e12, 512, 1024.0, expected=400.0, present=300.0).hours or 0) == 27127`.
    """
    hours, now = (_hours(total_tokens, gpus, rate) for rate in (expected, present))
    return RunTotals(hours, _times(hours, per_hour), now, _times(now, per_hour))


def _hours(tokens: float, gpus: float, rate: float | None) -> float | None:
    return None if not rate or gpus <= 0 else tokens / (rate * gpus) / SECONDS_PER_HOUR


def _times(hours: float | None, per_hour: float | None) -> float | None:
    return None if hours is None or per_hour is None else hours * per_hour


def watt_hours_per_million_tokens(watts_per_gpu: float | None, rate: float | None) -> float | None:
    """Of the GPUs alone. 600 W at 400 tokens/s: `round(watt_hours_per_million_tokens(600.0, 400.0) or 0) == 417`."""
    if watts_per_gpu is None or not rate:
        return None
    return watts_per_gpu / rate * 1e6 / SECONDS_PER_HOUR


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
