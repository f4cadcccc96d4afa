"""What is decided of one workload alone, in order. A rule that has nothing to say about it answers None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.types import Decision, Subject
from mfu.decide.workload.admission import admission
from mfu.decide.workload.grouping import grouping
from mfu.decide.workload.mig import mig
from mfu.decide.workload.scaling import scaling

Rule = Callable[[Subject], Decision | None]
RULES: Final[tuple[Rule, ...]] = (admission, grouping, mig)


@dataclass(frozen=True, slots=True)
class Alone:
    """What was decided of one workload, and what scaling remembers of it for the next time."""

    decisions: tuple[Decision, ...]
    scaled: ScalingMemory


def decide(subject: Subject) -> Alone:
    """What every rule says of one workload. Pure: the same subject gives the same answer."""
    found = [decision for rule in RULES if (decision := rule(subject)) is not None]
    replicas, scaled = scaling(subject)
    return Alone(tuple(found if replicas is None else [*found, replicas]), scaled)
