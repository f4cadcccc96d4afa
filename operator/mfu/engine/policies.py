"""Which policies are in force where, and what their status says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mfu.api.conditions import Condition, ConditionStatus, ConditionType, Reason
from mfu.decide.policy import DEFAULT, Named, effective, governing, problem
from mfu.decide.types import EffectivePolicy
from mfu.engine import status
from mfu.engine.plan import PolicyPlan
from mfu.engine.snapshot import PolicyView
from mfu.engine.text import moment


@dataclass(frozen=True, slots=True)
class InForce:
    """Effective policy by namespace, the default for all others, and every policy's status."""

    by_namespace: Mapping[str, EffectivePolicy]
    plans: tuple[PolicyPlan, ...]
    cluster: EffectivePolicy = DEFAULT
    """Prices for what belongs to no namespace (idle GPUs): the policy that governs most namespaces."""

    def of(self, namespace: str) -> EffectivePolicy:
        return self.by_namespace.get(namespace, DEFAULT)


def in_force(policies: Sequence[PolicyView], namespaces: Mapping[str, Mapping[str, str]], now: float) -> InForce:
    """An invalid policy governs nothing and says why; the rest go by precedence."""
    problems = {each.name: each.invalid or (problem(each.spec) if each.spec else None) for each in policies}
    valid = [Named(each.name, each.spec) for each in policies if each.spec and problems[each.name] is None]
    governed = governing(valid, namespaces)
    made = {each.name: effective(each) for each in valid}
    matched = Counter(each.name for each in governed.values())
    plans = tuple(_plan(each, problems[each.name], matched[each.name], now) for each in policies)
    most = min(matched, key=lambda name: (-matched[name], name), default=None)
    return InForce(
        {namespace: made[each.name] for namespace, each in governed.items()},
        plans,
        made[most] if most is not None else DEFAULT,
    )


def _plan(view: PolicyView, invalid: str | None, matched: int, now: float) -> PolicyPlan:
    before = view.status
    if invalid is not None:
        accepted = (ConditionStatus.FALSE, Reason.INVALID_POLICY, invalid)
        word = "Invalid"
    else:
        accepted = (ConditionStatus.TRUE, Reason.POLICY_VALID, "the policy is valid")
        word = "InForce" if matched else "Overruled"
    force = _in_force(word, matched)
    same = before.get("observedGeneration") == view.generation and before.get("summary") == word
    said = {
        "observedGeneration": view.generation,
        "matchedNamespaces": matched,
        "summary": word,
        "lastAppliedAt": before.get("lastAppliedAt", moment(now)) if same else moment(now),
        "conditions": status.conditions(
            [
                _condition(ConditionType.ACCEPTED, accepted, view.generation, now),
                _condition(ConditionType.READY, force, view.generation, now),
            ],
            before.get("conditions") or (),
        ),
    }
    return PolicyPlan(view.name, view.uid, said)


def _in_force(word: str, matched: int) -> tuple[ConditionStatus, Reason, str]:
    if word == "InForce":
        return ConditionStatus.TRUE, Reason.READY, f"governs {matched} namespaces"
    if word == "Overruled":
        message = "governs no namespace: none matches, or a policy with higher priority governs those that do"
        return ConditionStatus.FALSE, Reason.OVERLAPS, message
    return ConditionStatus.FALSE, Reason.NOT_READY, "an invalid policy changes nothing"


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
