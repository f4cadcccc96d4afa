"""Which policies are in force where, and what their status says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mfu.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from mfu.api.mfupolicy import PolicySpec
from mfu.decide.policy import DEFAULT, Named, effective, governing, problem
from mfu.decide.types import EffectivePolicy
from mfu.engine.plan import PolicyPlan
from mfu.engine.say import status
from mfu.engine.say.text import moment, pruned
from mfu.engine.views import PolicyView


@dataclass(frozen=True, slots=True)
class InForce:
    """Effective policy by namespace, the default for all others, and every policy's status."""

    by_namespace: Mapping[str, EffectivePolicy]
    plans: tuple[PolicyPlan, ...]
    cluster: EffectivePolicy = DEFAULT
    """Prices for what belongs to no namespace (idle GPUs): the policy that governs most namespaces."""
    accepted: Mapping[str, PolicySpec] = field(default_factory=dict)
    """The spec of each policy that is valid, or was when it was last valid, by uid."""

    def of(self, namespace: str) -> EffectivePolicy:
        return self.by_namespace.get(namespace, DEFAULT)


def in_force(
    policies: Sequence[PolicyView],
    namespaces: Mapping[str, Mapping[str, str]],
    now: float,
    accepted: Mapping[str, PolicySpec] | None = None,
) -> InForce:
    """The valid ones by precedence. An invalid one says why; its last accepted spec, if any, stays in force."""
    known = accepted or {}
    problems = {each.uid: each.invalid or (problem(each.spec) if each.spec else "has no spec") for each in policies}
    specs = {each.uid: each.spec if problems[each.uid] is None else known.get(each.uid) for each in policies}
    kept = {uid: spec for uid, spec in specs.items() if spec is not None}
    valid = [Named(each.name, kept[each.uid]) for each in policies if each.uid in kept]
    governed = governing(valid, namespaces)
    made = {each.name: effective(each) for each in valid}
    matched = Counter(each.name for each in governed.values())
    plans = tuple(
        _plan(each, _Standing(problems[each.uid], each.uid in kept, matched[each.name]), now) for each in policies
    )
    most = min(matched, key=lambda name: (-matched[name], name), default=None)
    return InForce(
        {namespace: made[each.name] for namespace, each in governed.items()},
        plans,
        made[most] if most is not None else DEFAULT,
        kept,
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """How one policy stands: what is wrong with its present spec, and what is in force of it."""

    invalid: str | None
    kept: bool
    matched: int

    @property
    def word(self) -> str:
        if self.invalid is not None:
            return "Invalid"
        return "InForce" if self.matched else "Overruled"


def _plan(view: PolicyView, standing: _Standing, now: float) -> PolicyPlan:
    before, word = view.status, standing.word
    accepted = (ConditionStatus.TRUE, Reason.POLICY_VALID, "the policy is valid")
    if standing.invalid is not None:
        accepted = (ConditionStatus.FALSE, Reason.INVALID_POLICY, standing.invalid)
    said = {
        "observedGeneration": view.generation,
        "matchedNamespaces": standing.matched,
        "summary": word,
        "lastAppliedAt": _applied_at(before, word, generation=view.generation, now=now),
        "conditions": status.conditions(
            [
                _condition(ConditionType.ACCEPTED, accepted, view.generation, now),
                _condition(ConditionType.READY, _in_force(standing), view.generation, now),
            ],
            before.get("conditions") or (),
        ),
    }
    return PolicyPlan(view.name, view.uid, pruned(said))


def _applied_at(before: Mapping[str, Any], word: str, *, generation: int, now: float) -> str | None:
    """An invalid generation never came into force: the time of the one before stays, if there was one."""
    known: str | None = before.get("lastAppliedAt")
    if word == "Invalid":
        return known
    same = (before.get("observedGeneration"), before.get("summary")) == (generation, word)
    return known if same and known is not None else moment(now)


def _in_force(standing: _Standing) -> tuple[ConditionStatus, Reason, str]:
    if standing.word == "InForce":
        return ConditionStatus.TRUE, Reason.READY, f"governs {standing.matched} namespaces"
    if standing.word == "Overruled":
        message = "governs no namespace: none matches, or a policy with higher priority governs those that do"
        return ConditionStatus.FALSE, Reason.OVERLAPS, message
    if standing.kept:
        message = f"the last accepted spec stays in force and governs {standing.matched} namespaces"
        return ConditionStatus.FALSE, Reason.NOT_READY, message
    return ConditionStatus.FALSE, Reason.NOT_READY, "an invalid policy changes nothing, and no spec was accepted before"


def _condition(
    kind: ConditionType, said: tuple[ConditionStatus, Reason, str], generation: int, now: float
) -> Condition:
    state, reason, message = said
    return Condition(
        type=kind,
        status=state,
        reason=reason,
        message=message[:2048],
        last_transition_time=moment(now),
        observed_generation=generation,
    )
