"""Which policies are in force where, and what their status says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mfu.api.conditions import ConditionStatus, ConditionType, Reason
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.api.powers import ActionType
from mfu.decide.enforcing import EVERY_ACTION, in_name_only
from mfu.decide.policy import DEFAULT, NamedPolicy, effective, governing, problem
from mfu.decide.types import EffectivePolicy
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover, PolicyPlan
from mfu.engine.say.conditions import Aspect, conditions
from mfu.engine.say.events import on_enforcement
from mfu.engine.say.hysteresis import novelty
from mfu.engine.text import moment
from mfu.engine.views import PolicyView

_NOTHING: Final = Handover()


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
    before: Handover = _NOTHING,
    *,
    switched_on: frozenset[ActionType] = EVERY_ACTION,
) -> InForce:
    """The valid ones by precedence. An invalid one says why; its last accepted spec, if any, stays in force.

    `switched_on` are the actions that this operator carries out: of Enforce for others it is said that nothing is done.
    """
    known = before.accepted
    problems = {each.uid: each.invalid or (problem(each.spec) if each.spec else "has no spec") for each in policies}
    specs = {each.uid: each.spec if problems[each.uid] is None else known.get(each.uid) for each in policies}
    kept = {uid: spec for uid, spec in specs.items() if spec is not None}
    valid = [NamedPolicy(each.name, kept[each.uid]) for each in policies if each.uid in kept]
    governed = governing(valid, namespaces)
    made = {each.name: effective(each) for each in valid}
    matched = Counter(each.name for each in governed.values())
    forces = {
        each.uid: _Force(
            problems[each.uid], each.uid in kept, matched[each.name], _idle(kept.get(each.uid), switched_on)
        )
        for each in policies
    }
    plans = tuple(_plan(each, forces[each.uid], before.policies.get(each.uid), now) for each in policies)
    most = min(matched, key=lambda name: (-matched[name], name), default=None)
    return InForce(
        {namespace: made[each.name] for namespace, each in governed.items()},
        plans,
        made[most] if most is not None else DEFAULT,
        kept,
    )


@dataclass(frozen=True, slots=True)
class _Force:
    """How one policy stands: what is wrong with its present spec, and what is in force of it."""

    invalid: str | None
    kept: bool
    matched: int
    idle: tuple[str, ...] | None = None
    """What of its Enforce nothing carries out; None where nothing is to be enforced."""

    @property
    def word(self) -> str:
        if self.invalid is not None:
            return "Invalid"
        return "InForce" if self.matched else "Overruled"


def _idle(spec: PolicySpec | None, switched_on: frozenset[ActionType]) -> tuple[str, ...] | None:
    if spec is None or not any(spec.modes.of(kind) is DecisionMode.ENFORCE for kind in DecisionType):
        return None
    return in_name_only(spec, switched_on)


def _plan(view: PolicyView, force: _Force, before: PolicyPlan | None, now: float) -> PolicyPlan:
    stands = view.status.read()
    aspects = [_accepted(force), *_enforced(force), _in_force(force)]
    said = PolicyStatus(
        observed_generation=view.generation,
        matched_namespaces=force.matched,
        summary=force.word,
        last_applied_at=_applied_at(stands, force.word, generation=view.generation, now=now),
        conditions=conditions(aspects, stands.conditions, generation=view.generation, now=now),
    )
    # Its sentences follow from the spec and from what the status counts: other words are news.
    status = Packed.of(said) if novelty(stands, said) else view.status
    # What was planned last counts as said: a write under way, or one that fails, must not repeat its event.
    told = before.status.read() if before is not None else stands
    return PolicyPlan(view.name, view.uid, status, on_enforcement(aspects, told.conditions))


def _enforced(force: _Force) -> list[Aspect]:
    if force.idle is None:
        return []
    if not force.idle:
        message = "everything that modes says Enforce for is carried out"
        return [Aspect(ConditionType.ENFORCED, ConditionStatus.TRUE, Reason.CARRIED_OUT, message)]
    message = "; ".join(force.idle)
    return [Aspect(ConditionType.ENFORCED, ConditionStatus.FALSE, Reason.IN_NAME_ONLY, message)]


def _applied_at(before: PolicyStatus, word: str, *, generation: int, now: float) -> str | None:
    """An invalid generation never came into force: the time of the one before stays, if there was one."""
    if word == "Invalid":
        return before.last_applied_at
    same = (before.observed_generation, before.summary) == (generation, word)
    return before.last_applied_at if same and before.last_applied_at is not None else moment(now)


def _accepted(force: _Force) -> Aspect:
    if force.invalid is not None:
        return Aspect(ConditionType.ACCEPTED, ConditionStatus.FALSE, Reason.INVALID_POLICY, force.invalid)
    return Aspect(ConditionType.ACCEPTED, ConditionStatus.TRUE, Reason.POLICY_VALID, "the policy is valid")


def _in_force(force: _Force) -> Aspect:
    kind, governs = ConditionType.READY, f"governs {force.matched} namespaces"
    if force.word == "InForce":
        return Aspect(kind, ConditionStatus.TRUE, Reason.READY, governs)
    if force.word == "Overruled":
        message = "governs no namespace: none matches, or a policy with higher priority governs those that do"
        return Aspect(kind, ConditionStatus.FALSE, Reason.OVERLAPS, message)
    kept = f"the last accepted spec stays in force and {governs}"
    never = "an invalid policy changes nothing, and no spec was accepted before"
    return Aspect(kind, ConditionStatus.FALSE, Reason.NOT_READY, kept if force.kept else never)
