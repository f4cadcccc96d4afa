"""Model families: how all workloads of one family do, and which loss lies in what they are rather than in one job."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.api.causes import Cause, Explains

MOST_OF_THEM: Final = 0.75
LEAST_WORKLOADS: Final = 2
LEAST_SHARE: Final = 0.02
"""Of the family's peak: less is not worth a word."""
_SIZE: Final = re.compile(r"[-_ ]?\d+(x\d+)?(\.\d+)?[bm]\b.*$")


@dataclass(frozen=True, slots=True)
class Member:
    """One workload. Levels are on its own scale; `losses` are wasted shares of its peak by cause."""

    model: str
    gpus: float
    expected: float | None
    observed: float | None
    attainable: float | None
    losses: tuple[tuple[Cause, Explains, float], ...] = ()


@dataclass(frozen=True, slots=True)
class StructuralLoss:
    """`share` is of the whole family's peak."""

    cause: Cause
    explains: Explains
    workloads: int
    share: float


@dataclass(frozen=True, slots=True)
class FamilySum:
    """Levels are means weighted by GPUs over those where they are known; None where none is."""

    family: str
    workloads: int
    gpus: float
    expected: float | None
    observed: float | None
    attainable: float | None
    structural: StructuralLoss | None


def family_of(model: str) -> str:
    """`family_of("llama-3.1-8b") == "llama-3.1"`, `family_of("mixtral-8x7b") == "mixtral"`."""
    return _SIZE.sub("", model.lower()) or model.lower()


def by_family(members: Iterable[Member]) -> tuple[FamilySum, ...]:
    """Most GPUs first."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for each in members:
        groups[family_of(each.model)].append(each)
    found = [_sum(family, mine) for family, mine in groups.items()]
    return tuple(sorted(found, key=lambda each: (-each.gpus, each.family)))


def _sum(family: str, mine: Sequence[Member]) -> FamilySum:
    return FamilySum(
        family=family,
        workloads=len(mine),
        gpus=sum(each.gpus for each in mine),
        expected=_mean((each.gpus, each.expected) for each in mine),
        observed=_mean((each.gpus, each.observed) for each in mine),
        attainable=_mean((each.gpus, each.attainable) for each in mine),
        structural=_structural(mine),
    )


def _mean(weighed: Iterable[tuple[float, float | None]]) -> float | None:
    known = [(gpus, level) for gpus, level in weighed if level is not None]
    weight = sum(gpus for gpus, _ in known)
    return sum(gpus * level for gpus, level in known) / weight if weight > 0 else None


def _structural(mine: Sequence[Member]) -> StructuralLoss | None:
    """The largest of those that nearly all of the measured ones share."""
    seen = [each for each in mine if each.observed is not None]
    gpus = sum(each.gpus for each in seen)
    taken: dict[tuple[Cause, Explains], list[float]] = defaultdict(list)
    for each in seen:
        for cause, explains, share in each.losses:
            taken[cause, explains].append(share * each.gpus)
    least = max(LEAST_WORKLOADS, MOST_OF_THEM * len(seen))
    found = [
        StructuralLoss(*key, len(shares), sum(shares) / gpus)
        for key, shares in taken.items()
        if len(shares) >= least and sum(shares) >= LEAST_SHARE * gpus
    ]
    return max(found, key=lambda each: (each.share, each.cause), default=None)
