"""What stands on the object beside its status: decisions for people, and hints ready for other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mfu.api import decisions as api
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.names import (
    RECOMMENDED_AFFINITY_ANNOTATION,
    RECOMMENDED_MIG_PROFILE_ANNOTATION,
    RECOMMENDED_REPLICAS_ANNOTATION,
    decision_annotation,
)
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.say.hysteresis import RELATIVE
from mfu.engine.text import compact_json

HINTS: Final[Mapping[str, DecisionType]] = {
    RECOMMENDED_AFFINITY_ANNOTATION: DecisionType.PLACEMENT,
    RECOMMENDED_REPLICAS_ANNOTATION: DecisionType.SCALING,
    RECOMMENDED_MIG_PROFILE_ANNOTATION: DecisionType.MIG,
}
ANNOTATIONS: Final[Mapping[str, DecisionType]] = {
    **{decision_annotation(kind): kind for kind in DecisionType},
    **HINTS,
}
"""Every annotation that the operator writes, and the decision that it tells of."""
_FIGURE: Final = re.compile(r"\d+(?:,\d{3})*\.\d+|\d+(?:,\d{3})+")


def sentences(said: Iterable[api.Decision]) -> dict[str, str]:
    """Decisions as status says them. Those in mode Observe stand in status alone."""
    return {
        decision_annotation(each.type): f"{each.outcome}: {each.message}"
        for each in said
        if each.mode is not DecisionMode.OBSERVE
    }


def restated(said: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """`now`, but for sentences that say what was `said` before with figures that hardly moved: those stay.

    >>> restated({"a": "expected 31.1% on 8 GPUs"}, {"a": "expected 31.2% on 8 GPUs"})
    {'a': 'expected 31.1% on 8 GPUs'}
    >>> restated({"a": "expected 31.1% on 8 GPUs"}, {"a": "expected 31.1% on 9 GPUs"})
    {'a': 'expected 31.1% on 9 GPUs'}
    """
    return {name: said[name] if _alike(said.get(name), text) else text for name, text in now.items()}


def _alike(said: str | None, now: str) -> bool:
    """Counts are exact; a figure with a point or in thousands may move by what is no news in a status."""
    if said is None or said == now:
        return said == now
    if _FIGURE.sub("#", said) != _FIGURE.sub("#", now):
        return False
    pairs = zip(_FIGURE.findall(said), _FIGURE.findall(now), strict=True)
    return all(_near(float(mine.replace(",", "")), float(theirs.replace(",", ""))) for mine, theirs in pairs)


def _near(mine: float, theirs: float) -> bool:
    return abs(mine - theirs) <= RELATIVE * abs(mine)


def hints(decided: Sequence[Decision]) -> dict[str, str]:
    """What a policy lets us recommend, ready to paste."""
    notes: dict[str, str] = {}
    for each in decided:
        if each.mode is not DecisionMode.OBSERVE:
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


def frozen_hints(before: Mapping[str, str], policy: EffectivePolicy) -> dict[str, str]:
    """Hints stay while decisions are frozen, but for kinds that a policy now only observes."""
    return {
        name: text
        for name, text in before.items()
        if name in HINTS and policy.mode_of(HINTS[name]) is not DecisionMode.OBSERVE
    }
