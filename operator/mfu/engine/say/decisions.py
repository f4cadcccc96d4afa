"""Decisions as status says them, and as they stay while nothing that is measured can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

from mfu.api import decisions as api
from mfu.api.decisions import DecisionType
from mfu.decide.types import Decision, EffectivePolicy
from mfu.engine.text import MOST_WORDS, moment


def decisions(made: Iterable[Decision], before: Sequence[api.Decision], now: float) -> tuple[api.Decision, ...]:
    """`evaluatedAt` stays while outcome, reason and mode stay."""
    known = {each.type: each for each in before}
    return tuple(_decision(each, known.get(each.type), now) for each in made)


def _decision(made: Decision, before: api.Decision | None, now: float) -> api.Decision:
    same = before is not None and (before.outcome, before.reason, before.mode) == (made.outcome, made.reason, made.mode)
    since = before.evaluated_at if before is not None and same else None
    return api.Decision(
        type=made.type,
        outcome=made.outcome,
        mode=made.mode,
        reason=made.reason,
        message=made.message[:MOST_WORDS],
        evaluated_at=since or moment(now),
    )


def frozen(before: Sequence[api.Decision], policy: EffectivePolicy) -> tuple[api.Decision, ...]:
    """The decisions of before under the modes of now: a policy binds at once, whatever telemetry does."""
    return tuple(each.model_copy(update={"mode": policy.mode_of(each.type)}) for each in before)


class _Typed(Protocol):
    @property
    def type(self) -> DecisionType: ...


D = TypeVar("D", bound=_Typed)


def in_order(alone: Iterable[D], among_all: Sequence[D]) -> tuple[D, ...]:
    """One of a kind, what was decided over all in place of what was decided alone; in the order of the kinds."""
    kinds = {each.type for each in among_all}
    kept = (*(each for each in alone if each.type not in kinds), *among_all)
    return tuple(sorted(kept, key=lambda each: _ORDER[each.type]))


_ORDER: Final = {kind: place for place, kind in enumerate(DecisionType)}
