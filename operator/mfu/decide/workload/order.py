"""What is decided of one workload alone, in order. A rule that has nothing to say about it answers None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mfu.decide.types import Decision, Subject
from mfu.decide.workload.admission import admission
from mfu.decide.workload.grouping import grouping
from mfu.decide.workload.mig import mig
from mfu.decide.workload.scaling import scaling

Rule = Callable[[Subject], Decision | None]
RULES: Final[tuple[Rule, ...]] = (admission, grouping, mig, scaling)


def decide(subject: Subject) -> tuple[Decision, ...]:
    """What every rule says of one workload. Pure: the same subject gives the same answer."""
    return tuple(decision for rule in RULES if (decision := rule(subject)) is not None)
