"""The ranked list in the types of the API, and what the owner answered to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mfu.api.recommendations import AdviceAnswer, AnsweredAdvice, Recommendation
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.types import EffectivePolicy
from mfu.engine.text import MOST_WORDS, moment
from mfu.units import decimal

_MOST_CHARACTERS = 256


def recommendations(listed: Sequence[Recommended], policy: EffectivePolicy) -> tuple[Recommendation, ...]:
    return tuple(_rows(listed, policy))


def _rows(listed: Sequence[Recommended], policy: EffectivePolicy) -> Iterator[Recommendation]:
    for rank, each in enumerate(listed, 1):
        step, reach = each.step, each.reach
        yield Recommendation(
            rank=rank,
            kind=step.kind,
            field=step.field[:_MOST_CHARACTERS],
            from_=step.before[:_MOST_CHARACTERS],
            to=step.after[:_MOST_CHARACTERS],
            action=step.action[:MOST_WORDS],
            actor=step.actor,
            gain=decimal(each.gain),
            tokens_per_second=decimal(reach.tokens_per_s, 1),
            cost_per_hour=decimal(reach.cost_per_hour(policy.prices), 2),
            cost_per_million_tokens=decimal(reach.cost_per_million_tokens(policy.prices), 4),
        )


def answered(
    answers: Sequence[AdviceAnswer],
    listed: Sequence[Recommendation],
    before: Sequence[AnsweredAdvice],
    now: float,
) -> tuple[AnsweredAdvice, ...]:
    """Each answer with what was promised when it was first seen: once followed, a recommendation is listed no more."""
    known = {(each.field, each.verdict): each for each in before}
    offered = {each.field: each for each in reversed(listed)}
    return tuple(
        _answered(each, known.get((each.field, each.verdict)), offered.get(each.field), now) for each in answers
    )


def _answered(
    answer: AdviceAnswer, known: AnsweredAdvice | None, offered: Recommendation | None, now: float
) -> AnsweredAdvice:
    if known is not None:
        return known.model_copy(update={"reason": answer.reason})
    return AnsweredAdvice(
        field=answer.field,
        verdict=answer.verdict,
        reason=answer.reason,
        to=offered.to if offered else "",
        gain=offered.gain if offered else None,
        answered_at=moment(now),
    )
