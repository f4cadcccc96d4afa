"""The ladder's verdict as a decision: in the same words while it is announced, in a dry run, and when it is done."""

from __future__ import annotations

from datetime import UTC, datetime

from mfu.api.powers import ReclaimAction
from mfu.decide.ladder import ReclaimMemory, Stage
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Outcome
from mfu.decide.workload.reclaim import lasting
from mfu.sentence import amount, sentence

TAKEN_UP = "spec.suspend: false takes it up again (with Kueue: spec.active: true of its Workload)"
OBJECT = "work, or an objection in spec.reclaim.exemptUntil, stops it"
_REASONS = {
    Stage.NOTHING: (Outcome.KEEP, "InUse", "its GPUs are in use, or not idle for long enough"),
    Stage.UNKNOWN: (
        Outcome.NONE,
        "NoReadings",
        "too little was read of its GPUs in the window: nothing follows from it",
    ),
}


def reclaim(memory: ReclaimMemory, policy: EffectivePolicy) -> Decision | None:
    """None where the policy takes nothing back."""
    verdict = memory.said
    if not policy.reclaim.rungs:
        return None
    if memory.suspended_at is not None:
        since = f"suspended since {_when(memory.suspended_at)}; {TAKEN_UP}"
        return _decision(policy, Outcome.KEEP, "Suspended", since)
    if verdict.stage is Stage.EXEMPT:
        idle = amount(verdict.idle_seconds, lasting(verdict.idle_seconds))
        words = sentence("idle for {}; its owner objects, which holds until its term is over", idle)
        return _decision(policy, Outcome.KEEP, "Exempt", words)
    if verdict.action is None:
        return _decision(policy, *_REASONS[verdict.stage])
    if verdict.stage is Stage.ANNOUNCED:
        at = _when(verdict.takes_at or 0.0)
        return _decision(policy, Outcome.NOTICE, "Announced", f"{verdict.words}, at {at}; {OBJECT}")
    if verdict.action is ReclaimAction.SUSPEND:
        return _decision(policy, Outcome.SUSPEND, "Idle", verdict.words)
    return _decision(policy, Outcome.NOTICE, "Idle", f"{verdict.words}; {OBJECT}")


def _decision(policy: EffectivePolicy, outcome: Outcome, reason: str, message: str) -> Decision:
    return Decision(DecisionType.RECLAIM, outcome, reason, message, policy.mode_of(DecisionType.RECLAIM))


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
