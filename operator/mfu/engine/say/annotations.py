"""What stands on the object beside its status: decisions for people, and hints ready for other tools."""

from __future__ import annotations

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
from mfu.sentence import Sentence, sentence

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


def sentences(said: Iterable[api.Decision], decided: Iterable[Decision] = ()) -> dict[str, str]:
    """Decisions as status says them, with the figures of those `decided` that say just that.

    Those in mode Observe stand in status alone.
    """
    known = {each.type: sentence("{}: {}", each.outcome, each.message) for each in decided}
    texts = {each.type: f"{each.outcome}: {each.message}" for each in said if each.mode is not DecisionMode.OBSERVE}
    return {decision_annotation(kind): known[kind] if known.get(kind) == text else text for kind, text in texts.items()}


def restated(said: Mapping[str, str], now: Mapping[str, str], *, waits: bool = False) -> dict[str, str]:
    """`now`, but for sentences that say what was `said` before with figures that hardly moved: those stay.

    While the status `waits` with its words, every sentence that this process has said stays. Counts are exact.

    >>> from mfu.sentence import Value
    >>> before, after = (sentence("expected {} on 8 GPUs", Value(x, f"{x:.1%}")) for x in (0.311, 0.312))
    >>> restated({"a": before}, {"a": after})
    {'a': 'expected 31.1% on 8 GPUs'}
    """
    return {name: said[name] if _stands(said.get(name), text, waits=waits) else text for name, text in now.items()}


def _stands(said: str | None, now: str, *, waits: bool) -> bool:
    """What carries no figures was read from the cluster, where anybody may have written it."""
    if not isinstance(said, Sentence):
        return False
    return waits or (isinstance(now, Sentence) and said.alike(now, RELATIVE))


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
