"""What a policy says Enforce for, and what of it is done: an honest answer where a rung does not act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.mfupolicy import PolicySpec, ScalingDelivery
from mfu.api.powers import ActionType

EVERY_ACTION: Final = frozenset(ActionType)

CARRIED_OUT_BY: Final[Mapping[DecisionType, tuple[ActionType, ...]]] = MappingProxyType(
    {
        DecisionType.ADMISSION: (ActionType.KUEUE_CHECK,),
        DecisionType.PLACEMENT: (
            ActionType.PREFERRED_AFFINITY,
            ActionType.REQUIRED_AFFINITY,
            ActionType.NODE_SELECTOR,
            ActionType.TOPOLOGY_ANNOTATION,
            ActionType.PREFER_NO_SCHEDULE,
        ),
        DecisionType.MIG: (ActionType.MIG_RESOURCE, ActionType.MIG_LAYOUT),
        DecisionType.SCALING: (ActionType.SCALE, ActionType.POD_DELETION_COST),
        DecisionType.SHARING: (),
        DecisionType.RECLAIM: (ActionType.SUSPEND,),
        DecisionType.OVERSUBSCRIPTION: (),
    }
)
"""Sharing and oversubscription are told and never done."""

_LEFT_TO_AUTOSCALERS: Final = (
    "modes.scaling is Enforce and actions lists Scale but scaling.delivery is Metric: an autoscaler is to follow the "
    "metric, the operator scales nothing"
)


def in_name_only(spec: PolicySpec, switched_on: frozenset[ActionType] = EVERY_ACTION) -> tuple[str, ...]:
    """One line for each kind of decision that is Enforce and that nothing carries out.

    `modes.scaling is Enforce but actions lists none of Scale, PodDeletionCost: nothing is done, as with Recommend`.
    """
    enforced = [kind for kind in DecisionType if spec.modes.of(kind) is DecisionMode.ENFORCE]
    listed = [each.type for each in spec.actions]
    lines = not_carried_out(enforced, listed, switched_on)
    follows = spec.scaling.delivery is ScalingDelivery.METRIC and ActionType.SCALE in {*listed} & switched_on
    return (*lines, _LEFT_TO_AUTOSCALERS) if follows and DecisionType.SCALING in enforced else lines


def not_carried_out(
    enforced: Iterable[DecisionType], actions: Sequence[ActionType], switched_on: frozenset[ActionType] = EVERY_ACTION
) -> tuple[str, ...]:
    """The same of kinds of decision that are Enforce where these actions are listed."""
    return tuple(line for kind in enforced if (line := _line(kind, actions, switched_on)) is not None)


def _line(kind: DecisionType, actions: Sequence[ActionType], switched_on: frozenset[ActionType]) -> str | None:
    able = CARRIED_OUT_BY[kind]
    listed = [each for each in actions if each in able]
    if switched_on & set(listed):
        return None
    why = f"actions lists none of {', '.join(able)}" if able else "no action carries it out"
    if listed:
        why = f"this operator has {', '.join(listed)} switched off (`actions` of its configuration)"
    return f"modes.{kind.lower()} is Enforce but {why}: nothing is done, as with Recommend"
