"""The ranked list in the types of the API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mfu.api.recommendations import Recommendation
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.types import EffectivePolicy
from mfu.engine.text import MOST_WORDS
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
