"""What a judgement says beside status: annotations for people and tools, and events on transitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mfu.api.conditions import ConditionStatus, ConditionType
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.names import (
    RECOMMENDED_AFFINITY_ANNOTATION,
    RECOMMENDED_MIG_PROFILE_ANNOTATION,
    RECOMMENDED_REPLICAS_ANNOTATION,
    decision_annotation,
)
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.plan import Event
from mfu.engine.say.conditions import Verdict
from mfu.engine.say.text import compact_json
from mfu.observe.drift import Drift
from mfu.units import percent

ANNOTATIONS: Final[Mapping[str, DecisionType]] = {
    **{decision_annotation(kind): kind for kind in DecisionType},
    RECOMMENDED_AFFINITY_ANNOTATION: DecisionType.PLACEMENT,
    RECOMMENDED_REPLICAS_ANNOTATION: DecisionType.SCALING,
    RECOMMENDED_MIG_PROFILE_ANNOTATION: DecisionType.MIG,
}
"""Every annotation that the operator writes, and the decision that it tells of."""
_TOLD: Final = (ConditionType.ACCEPTED, ConditionType.FITS_MEMORY, ConditionType.INTENT_CONSISTENT)


def annotated(decided: Sequence[Decision]) -> dict[str, str]:
    """Decisions that a policy lets us recommend. Those in mode Observe stand in status alone."""
    notes: dict[str, str] = {}
    for each in decided:
        if each.mode is DecisionMode.OBSERVE:
            continue
        notes[decision_annotation(each.type)] = f"{each.outcome}: {each.message}"
        notes |= _hints(each.hint or {})
    return notes


def _hints(hint: Mapping[str, Any]) -> dict[str, str]:
    notes = {}
    if "nodeAffinity" in hint:
        notes[RECOMMENDED_AFFINITY_ANNOTATION] = compact_json(hint)
    if "replicas" in hint:
        notes[RECOMMENDED_REPLICAS_ANNOTATION] = str(hint["replicas"])
    if "migProfile" in hint:
        notes[RECOMMENDED_MIG_PROFILE_ANNOTATION] = str(hint["migProfile"])
    return notes


def frozen_annotations(before: Mapping[str, str], policy: EffectivePolicy) -> dict[str, str]:
    """What was annotated stays while decisions are frozen, but for kinds that a policy now only observes."""
    return {
        name: text
        for name, text in before.items()
        if name in ANNOTATIONS and policy.mode_of(ANNOTATIONS[name]) is not DecisionMode.OBSERVE
    }


def frozen_decisions(before: Sequence[Mapping[str, Any]], policy: EffectivePolicy) -> list[dict[str, Any]]:
    """The decisions of before under the modes of now: a policy binds at once, whatever telemetry does."""
    kinds = {str(kind): kind for kind in DecisionType}
    return [
        {**each, "mode": str(policy.mode_of(kinds[each["type"]])) if each.get("type") in kinds else each.get("mode")}
        for each in before
    ]


def events(verdicts: Sequence[Verdict], before: Mapping[str, Any]) -> tuple[Event, ...]:
    """On a turn to the bad of a condition that somebody can mend; the status tells the rest."""
    known = {each.get("type"): each.get("status") for each in before.get("conditions") or ()}
    return tuple(
        Event("Warning", str(each.reason), each.message)
        for each in verdicts
        if each.type in _TOLD and each.status is ConditionStatus.FALSE and known.get(str(each.type)) != "False"
    )


def drift_events(found: Drift | None) -> tuple[Event, ...]:
    if found is None:
        return ()
    worse = found.after < found.before
    reason = "EfficiencyDropped" if worse else "EfficiencyRose"
    message = (
        f"reference MFU {percent(found.before)} → {percent(found.after)} against its "
        f"{found.against.lower()}; kind of change: {found.kind}"
    )
    return (Event("Warning" if worse else "Normal", reason, message),)


def fleet_events(standing: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[Event, ...]:
    """The fleet's figure went, or came back; said once, on the change. Silent where no report stood before."""
    before, now = (each.get("summary", {}).get("mfu") for each in (standing, told))
    if before is None or now is None or (before == "Unknown") == (now == "Unknown"):
        return ()
    coverage = told["summary"]["coverage"]
    if now == "Unknown":
        message = f"less than half of the GPUs in use can be measured (coverage {coverage}): the fleet's MFU is unknown"
        return (Event("Warning", "FleetUnknown", message),)
    return (Event("Normal", "FleetKnown", f"the fleet's MFU is known again: {now}, coverage {coverage}"),)
