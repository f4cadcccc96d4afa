"""How many replicas? Work that arrives ÷ what one replica should carry, within the declared and the policy's bounds."""

from __future__ import annotations

from math import ceil

from mfu.decide.types import Case, Decision, DecisionType, Outcome
from mfu.predict.types import Inference

TARGET_UTILISATION = 0.8
"""Replicas are sized so that each runs at this share of its expected rate: room for bursts."""


def scaling(case: Case) -> Decision | None:
    """None for training. Without fresh progress the present number stays: unknown changes nothing."""
    if not isinstance(case.setup, Inference) or case.spec.inference is None:
        return None
    if not case.trusted or case.replicas_running == 0:
        return _decision(case, Outcome.NONE, "NotMeasured", "no trusted load is measured, replicas stay", None)
    demand = _demand_tokens_per_s(case)
    if demand is None:
        return _decision(case, Outcome.NONE, "NotMeasured", "no request rate is reported, replicas stay", None)
    capacity = case.expected.tokens_per_s_per_gpu * case.spec.accelerators.count
    bounds = case.spec.inference.replicas
    desired = desired_replicas(demand, capacity, low=_low(case, bounds.min), high=_high(case, bounds.max))
    message = (
        f"{demand:,.0f} tokens/s arrive, one replica is expected to carry {capacity:,.0f}: "
        f"{desired} replicas at {TARGET_UTILISATION:.0%} (now {case.replicas_running})"
    )
    if desired == case.replicas_running:
        return _decision(case, Outcome.KEEP, "RightSized", message, desired)
    reason = "LoadAboveCapacity" if desired > case.replicas_running else "LoadBelowCapacity"
    return _decision(case, Outcome.SCALE, reason, message, desired)


def desired_replicas(demand: float, capacity: float, *, low: int, high: int) -> int:
    """⌈demand / (0.8 · capacity)⌉ within [low, high]. 10,000 tokens/s at 4,000 a replica:

    >>> desired_replicas(10_000, 4_000, low=1, high=8)
    4
    """
    if capacity <= 0:
        return low
    return min(high, max(low, ceil(demand / (TARGET_UTILISATION * capacity))))


def _demand_tokens_per_s(case: Case) -> float | None:
    """What the running replicas deliver together, plus what waits: a queue as long as the batch doubles the demand."""
    load = case.load
    if load.tokens_per_s is None:
        return None
    running, waiting = load.running_requests, load.waiting_requests
    backlog = waiting / running if running and waiting else 0.0
    return load.tokens_per_s * (1.0 + backlog)


def _low(case: Case, declared: int) -> int:
    return max(declared, case.policy.scaling_min_replicas or 0)


def _high(case: Case, declared: int) -> int:
    limit = case.policy.scaling_max_replicas
    return declared if limit is None else min(declared, limit)


def _decision(case: Case, outcome: Outcome, reason: str, message: str, replicas: int | None) -> Decision:
    hint = None if replicas is None else {"replicas": replicas}
    mode = case.policy.mode_of(DecisionType.SCALING)
    return Decision(DecisionType.SCALING, outcome, reason, message, mode, hint)
