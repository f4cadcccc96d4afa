"""The way of a placement from decision to deed: decided, allowed, sent, seen. Each step as far as it can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfu.api.conditions import Condition, ConditionType
from mfu.api.decisions import Decision, DecisionMode, DecisionType
from mfu.engine.acting import SENT, WITHDRAWN
from mfu.show.figures import UNKNOWN


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """One event of the operator about a workload."""

    at: str
    """RFC 3339."""
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class SeenPod:
    """One pod of a workload that passed our gate, or waits behind it."""

    name: str
    node: str | None
    hint: str
    """What was written on it with the hint; empty where none went with it."""
    gated: bool


@dataclass(frozen=True, slots=True)
class Traces:
    """What a cluster holds of the way; None where the asker may not read it."""

    events: Sequence[ToldEvent] | None = None
    pods: Sequence[SeenPod] | None = None


@dataclass(frozen=True, slots=True)
class WayPoint:
    step: str
    words: str


def way(decisions: Sequence[Decision], traces: Traces, conditions: Sequence[Condition] = ()) -> tuple[WayPoint, ...]:
    """Empty where nothing was decided and nothing was done. `conditions` say what the policy's Enforce comes to."""
    decision = next((each for each in decisions if each.type is DecisionType.PLACEMENT), None)
    done = [each for each in traces.events or () if each.reason in (SENT, WITHDRAWN)]
    touched = [each for each in traces.pods or () if each.gated or each.hint]
    if decision is None and not done and not touched:
        return ()
    return (
        WayPoint("decided", _decided(decision)),
        WayPoint("allowed", _allowed(decision, conditions)),
        WayPoint("sent", UNKNOWN if traces.events is None else _sent(done)),
        WayPoint("seen", UNKNOWN if traces.pods is None else _seen(touched)),
    )


def _decided(decision: Decision | None) -> str:
    if decision is None:
        return "nothing more: all its pods have a node, or none waits"
    since = f" since {decision.evaluated_at}" if decision.evaluated_at else ""
    return f"{decision.outcome} ({decision.reason}){since}"


def _allowed(decision: Decision | None, conditions: Sequence[Condition]) -> str:
    if decision is None:
        return UNKNOWN
    if decision.mode is not DecisionMode.ENFORCE:
        return f"no: modes.placement is {decision.mode}, so nothing is sent"
    empty = next((each for each in conditions if each.type == ConditionType.ENFORCED and each.status == "False"), None)
    if empty is not None and "modes.placement" in empty.message:
        return f"no: {empty.message}"
    return "by the mode (Enforce) and the policy's actions, where the operator has them switched on (the policy tells)"


def _sent(done: Sequence[ToldEvent]) -> str:
    """The last word counts: what was taken back stands no more."""
    if not done:
        return "nothing in the last hour or so, as long as events are kept"
    last = max(done, key=lambda each: each.at)
    return f"{last.at} {last.words}" if last.reason == SENT else f"taken back {last.at}: {last.words}"


def _seen(touched: Sequence[SeenPod]) -> str:
    if not touched:
        return "no pod that was behind the gate"
    hinted = [each for each in touched if each.hint]
    there = sum(1 for each in hinted if each.node is not None)
    held = sum(1 for each in touched if each.gated)
    parts = [f"{there} of {len(hinted)} pods with the hint have a node ({_nodes(hinted)})" if hinted else ""]
    parts.append(f"{held} behind the gate" if held else "")
    return ", ".join(filter(None, parts))


def _nodes(hinted: Sequence[SeenPod]) -> str:
    names = sorted({each.node for each in hinted if each.node is not None})
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "none yet"
