"""What a policy says Enforce for, and what of it is done: an honest answer until every rung acts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType

ACTING: Final[frozenset[ActionType]] = frozenset()
"""Actions that this version takes where a policy lists them. None yet: everything is recommended only."""

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
        DecisionType.SHARING: (ActionType.MIG_LAYOUT,),
        DecisionType.RECLAIM: (ActionType.SUSPEND,),
        DecisionType.OVERSUBSCRIPTION: (ActionType.KUEUE_CHECK,),
    }
)


def in_name_only(spec: PolicySpec, acting: frozenset[ActionType] = ACTING) -> tuple[str, ...]:
    """One line for each kind of decision that is Enforce and that nothing carries out.

    `modes.scaling is Enforce but actions lists none of Scale, PodDeletionCost: nothing is done, as with Recommend`.
    """
    enforced = (kind for kind in DecisionType if spec.modes.of(kind) is DecisionMode.ENFORCE)
    return tuple(line for kind in enforced if (line := _line(kind, spec, acting)) is not None)


def _line(kind: DecisionType, spec: PolicySpec, acting: frozenset[ActionType]) -> str | None:
    able = CARRIED_OUT_BY[kind]
    listed = [each.type for each in spec.actions if each.type in able]
    if acting & set(listed):
        return None
    why = f"actions lists none of {', '.join(able)}"
    if listed:
        why = f"this version does not take {', '.join(listed)} yet"
    return f"modes.{kind.lower()} is Enforce but {why}: nothing is done, as with Recommend"
