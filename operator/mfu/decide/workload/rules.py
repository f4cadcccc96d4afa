"""All decisions in order. A rule that has nothing to say about a workload answers None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mfu.decide.fleet.placement import placement
from mfu.decide.types import Case, Decision
from mfu.decide.workload.admission import admission
from mfu.decide.workload.mig import mig
from mfu.decide.workload.scaling import scaling

Rule = Callable[[Case], Decision | None]
RULES: Final[tuple[Rule, ...]] = (admission, placement, mig, scaling)


def decide(case: Case) -> tuple[Decision, ...]:
    """What every rule says of one workload. Pure: the same case gives the same answer."""
    return tuple(decision for rule in RULES if (decision := rule(case)) is not None)
