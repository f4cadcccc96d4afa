"""How many replicas? Work that arrives ÷ what one replica should carry, within the declared and the policy's bounds."""

from __future__ import annotations

from math import ceil

from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.predict.types import Inference

TARGET_UTILISATION = 0.8
"""Replicas are sized so that each runs at this share of its expected rate: room for bursts."""


def scaling(subject: Subject) -> Decision | None:
    """None for training. Without fresh progress the present number stays: unknown changes nothing."""
    if not isinstance(subject.setup, Inference) or subject.spec.inference is None:
        return None
    if not subject.trusted or subject.replicas_running == 0:
        return _decision(subject, Outcome.NONE, Why.NOT_MEASURED, "no trusted load is measured, replicas stay", None)
    demand = _demand_tokens_per_s(subject)
    if demand is None:
        return _decision(subject, Outcome.NONE, Why.NOT_MEASURED, "no request rate is reported, replicas stay", None)
    capacity = subject.expected.tokens_per_s_per_gpu * subject.spec.accelerators.count
    bounds = subject.spec.inference.replicas
    desired = desired_replicas(demand, capacity, low=_low(subject, bounds.min), high=_high(subject, bounds.max))
    message = (
        f"{demand:,.0f} tokens/s arrive, one replica is expected to carry {capacity:,.0f}: "
        f"{desired} replicas at {TARGET_UTILISATION:.0%} (now {subject.replicas_running})"
    )
    if desired == subject.replicas_running:
        return _decision(subject, Outcome.KEEP, Why.RIGHT_SIZED, message, desired)
    reason = Why.LOAD_ABOVE_CAPACITY if desired > subject.replicas_running else Why.LOAD_BELOW_CAPACITY
    return _decision(subject, Outcome.SCALE, reason, message, desired)


def desired_replicas(demand: float, capacity: float, *, low: int, high: int) -> int:
    """⌈demand / (0.8 · capacity)⌉ within [low, high]. 10,000 tokens/s at 4,000 a replica:

    >>> desired_replicas(10_000, 4_000, low=1, high=8)
    4
    """
    if capacity <= 0:
        return low
    return min(high, max(low, ceil(demand / (TARGET_UTILISATION * capacity))))


def _demand_tokens_per_s(subject: Subject) -> float | None:
    """What the running replicas deliver together, plus what waits: a queue as long as the batch doubles the demand."""
    load = subject.load
    if load.tokens_per_s is None:
        return None
    running, waiting = load.running_requests, load.waiting_requests
    backlog = waiting / running if running and waiting else 0.0
    return load.tokens_per_s * (1.0 + backlog)


def _low(subject: Subject, declared: int) -> int:
    return max(declared, subject.policy.scaling_min_replicas or 0)


def _high(subject: Subject, declared: int) -> int:
    limit = subject.policy.scaling_max_replicas
    return declared if limit is None else min(declared, limit)


def _decision(subject: Subject, outcome: Outcome, reason: str, message: str, replicas: int | None) -> Decision:
    hint = None if replicas is None else {"replicas": replicas}
    mode = subject.policy.mode_of(DecisionType.SCALING)
    return Decision(DecisionType.SCALING, outcome, reason, message, mode, hint)
