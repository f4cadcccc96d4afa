"""What is decided of one workload alone, in order. A rule that has nothing to say about it answers None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend.agree import on_the_list, scaled_later, shown_attainable
from mfu.decide.recommend.ranking import recommend
from mfu.decide.recommend.recommended import Recommended, first_of
from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.types import Decision, Subject
from mfu.decide.workload.admission import admission
from mfu.decide.workload.grouping import grouping
from mfu.decide.workload.knee import knee
from mfu.decide.workload.mig import mig
from mfu.decide.workload.scaling import scaling

Rule = Callable[[Subject], Decision | None]
RULES: Final[tuple[Rule, ...]] = (admission, grouping, mig, knee)


@dataclass(frozen=True, slots=True)
class Alone:
    """Everything that is said to one workload without looking at the others: one list, and decisions that agree with
    it."""

    decisions: tuple[Decision, ...] = ()
    recommended: tuple[Recommended, ...] = ()
    scaled: ScalingMemory = field(default_factory=ScalingMemory)
    """What scaling remembers of it for the next time."""


def decide(subject: Subject) -> Alone:
    """What every rule says of one workload. Pure: the same subject gives the same answer."""
    replicas, scaled = scaling(subject)
    informed = _with_list(subject, replicas)
    found = [on_the_list(each, informed) for rule in RULES if (each := rule(informed)) is not None]
    last = () if replicas is None else (scaled_later(replicas, informed),)
    return Alone((*found, *last), informed.recommended, scaled)


def _with_list(subject: Subject, replicas: Decision | None) -> Subject:
    wanted = replicas.hint.get("replicas") if replicas is not None and replicas.hint else None
    asked = replace(subject, desired_replicas=wanted)
    listed = recommend(asked)
    better = subject.alternatives if first_of(listed, Kind.PRODUCT) or not subject.expected.memory.fits else ()
    best = shown_attainable(subject.attainable, listed)
    return replace(asked, recommended=listed, attainable=best, alternatives=better)
