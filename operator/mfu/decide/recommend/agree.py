"""What else is said about a workload follows the list: the same change is never said in two ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mfu.api.causes import Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.reasons import Why
from mfu.decide.recommend.recommended import NextStep, Recommended, first_of
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.hardware.labels import MIG_PREFIX
from mfu.observe.assessment import Finding
from mfu.predict.types import Attainable, Change
from mfu.sentence import sentence

_FIELDS = {
    Cause.SMALL_BATCH: "batch",
    Cause.LOW_CONCURRENCY: "concurrency",
    Cause.RECOMPUTE: "recompute",
    Cause.PRECISION: "precision",
    Cause.PIPELINE_BUBBLE: "parallelism",
    Cause.WRONG_LAYOUT: "parallelism",
    Cause.COMMUNICATION: "batch",
    Cause.MEMORY_BOUND: "concurrency",
}
"""Word in the field of spec that a configuration loss is mended by."""


def shown_attainable(best: Attainable | None, recommended: Sequence[Recommended]) -> Attainable | None:
    """Attainable on the same GPUs, with its changes only where they are what is recommended."""
    if best is None:
        return None
    listed = [_named(each.step) for each in recommended if each.kind is Kind.SETTING]
    same = all(_change(each) in listed for each in best.changes)
    return best if same else replace(best, changes=())


def _change(each: Change) -> tuple[str, str, str]:
    return each.field, each.before, each.after


def _named(step: NextStep) -> tuple[str, str, str]:
    return step.field, step.before, step.after


def agreeing_findings(findings: Sequence[Finding], recommended: Sequence[Recommended]) -> tuple[Finding, ...]:
    """A configuration loss that the list mends is told to do what the list says; one that it does not, that it is not
    recommended."""
    return tuple(_agreeing(each, recommended) for each in findings)


def _agreeing(finding: Finding, recommended: Sequence[Recommended]) -> Finding:
    word = _FIELDS.get(finding.cause)
    if finding.explains is not Explains.CONFIGURATION or word is None or not finding.action:
        return finding
    settings = [each for each in recommended if each.kind is Kind.SETTING]
    mine = [each.step.action for each in settings if word in each.step.field.lower()]
    if mine:
        return replace(finding, action=f"{', '.join(mine)}: see the recommendations")
    if not finding.wasted:
        return finding
    return replace(finding, action=f"{finding.action}; not recommended: spec.tunable, memory or slo do not allow it")


def on_the_list(decision: Decision, subject: Subject) -> Decision:
    """A rule's answer, or the one that the list gives in its place."""
    if decision.type is DecisionType.MIG:
        return _slice_of_list(decision, subject)
    if decision.type is DecisionType.PLACEMENT and decision.outcome is Outcome.MOVE:
        return _layout_of_list(decision, subject)
    return decision


def _slice_of_list(decision: Decision, subject: Subject) -> Decision:
    """Taking a slice has to pay once everything else on the list is done."""
    found = first_of(subject.recommended, Kind.SLICE)
    if found is not None:
        name, words = found.step.after, f"{found.step.action}: serves as much for less"
        hint = {"migProfile": name, "resource": f"{MIG_PREFIX}{name}"}
        reason = Why.SMALLER_PROFILE_FITS
        return replace(decision, outcome=Outcome.RESHAPE, reason=reason, message=words, hint=hint)
    if decision.outcome is not Outcome.RESHAPE:
        return decision
    label = subject.placement.device.label
    message = sentence("{}, but {} serves more for as much", decision.message, label)
    return replace(decision, outcome=Outcome.KEEP, reason=Why.RIGHT_SIZED, message=message, hint=None)


def _layout_of_list(decision: Decision, subject: Subject) -> Decision:
    """Nobody has to move where another layout is recommended instead."""
    settings = [each.step for each in subject.recommended if each.kind is Kind.SETTING]
    relaid = next((each.action for each in settings if "parallelism" in each.field), None)
    if relaid is None or first_of(subject.recommended, Kind.MOVE) is not None:
        return decision
    message = f"nobody has to move: with {relaid} its groups suit the nodes that it has"
    return replace(decision, outcome=Outcome.KEEP, reason=Why.LAYOUT_SUITS_NODES, message=message)


def scaled_later(decision: Decision, subject: Subject) -> Decision:
    """A number of replicas that holds for the present setting says what it becomes once the list is done."""
    wanted = subject.desired_replicas
    if wanted is None or not subject.recommended:
        return decision
    later = subject.recommended[-1].reach.replicas
    if later == wanted or subject.recommended[-1].kind is Kind.RELEASE:
        return decision
    message = sentence("{}; {} once the recommendations are followed", decision.message, later)
    return replace(decision, message=message)
