"""Each rule as a table: what is asked, what is answered, and what the answer carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, Subject
from mfu.decide.workload.admission import admission
from mfu.decide.workload.grouping import grouping
from mfu.decide.workload.mig import mig
from mfu.decide.workload.order import decide
from tests.builders.cases import SERVING, TRAINING, case, too_large


@dataclass(frozen=True)
class Row:
    """`want`: outcome and reason; `words`: what the message must tell a person."""

    rule: Callable[[Subject], Decision | None]
    build: Callable[[], Subject]
    want: tuple[Outcome, str] | None
    words: tuple[str, ...] = ()


def floor(share: float) -> EffectivePolicy:
    return EffectivePolicy(expected_of_attainable=share)


def late(milliseconds: int) -> dict[str, Any]:
    return {**SERVING, "inference": {**SERVING["inference"], "slo": {"tpotMilliseconds": milliseconds}}}


ROWS = {
    "fits and is near attainable": Row(admission, case, (Outcome.ADMIT, "ExpectedNearAttainable"), ("fits in memory",)),
    "does not fit": Row(
        admission,
        lambda: too_large(case()),
        (Outcome.HOLD, "OutOfMemory"),
        ("largest term is weights", "fits on the same 8 GPUs with"),
    ),
    "far below attainable": Row(
        admission, lambda: case(policy=floor(1.01)), (Outcome.HOLD, "FarBelowAttainable"), ("of the attainable",)
    ),
    "later than its objective": Row(
        admission, lambda: case(late(1)), (Outcome.HOLD, "MissesObjective"), ("is over slo.tpotMilliseconds: 1",)
    ),
    "an objective that it keeps": Row(admission, lambda: case(late(1000)), (Outcome.ADMIT, "ExpectedNearAttainable")),
    "a floor of nothing admits everything": Row(
        admission, lambda: case(policy=floor(0.0)), (Outcome.ADMIT, "ExpectedNearAttainable")
    ),
    "attainable is unknown": Row(
        admission, lambda: case(attainable=None, policy=floor(1.01)), (Outcome.ADMIT, "AttainableUnknown")
    ),
    "running pods stay": Row(grouping, lambda: case(assigned=True), (Outcome.KEEP, "GroupsTogether")),
    "a split tensor group is told to move": Row(
        grouping,
        lambda: case(assigned=True, gpus_per_node=1),
        (Outcome.MOVE, "TensorGroupSplit"),
        ("tensor parallel 2",),
    ),
    "groups of two on servers of two stay": Row(
        grouping, lambda: case(assigned=True, gpus_per_node=2), (Outcome.KEEP, "GroupsTogether")
    ),
    "a job over two servers splits no group of two": Row(
        grouping, lambda: case(assigned=True, gpus_per_node=4), (Outcome.KEEP, "GroupsTogether")
    ),
    "what does not run yet is decided among all": Row(grouping, case, None),
    "a small model needs no whole GPU": Row(
        mig, lambda: case(SERVING), (Outcome.RESHAPE, "SmallerProfileFits"), ("would hold it",)
    ),
    "training is no question for MIG": Row(mig, case, None),
}


@pytest.mark.parametrize("name", ROWS)
def test_rule(name: str) -> None:
    row = ROWS[name]
    decision = row.rule(row.build())
    if row.want is None:
        assert decision is None
        return
    assert decision is not None
    assert (decision.outcome, decision.reason) == row.want
    for words in row.words:
        assert words in decision.message


def test_the_policy_sets_the_mode() -> None:
    policy = EffectivePolicy(modes={DecisionType.ADMISSION: Mode.OBSERVE})
    modes = {each.type: each.mode for each in decide(case(policy=policy, assigned=True)).decisions}
    assert modes[DecisionType.ADMISSION] is Mode.OBSERVE
    assert modes[DecisionType.PLACEMENT] is Mode.RECOMMEND


@pytest.mark.parametrize("document", [TRAINING, SERVING])
def test_the_same_case_gives_the_same_decisions(document: dict[str, Any]) -> None:
    each = case(document, assigned=True)
    assert decide(each) == decide(replace(each))
    types = [one.type for one in decide(each).decisions]
    assert types == sorted(types, key=list(DecisionType).index)


@pytest.mark.parametrize(("floor", "admitted"), [(0.98, True), (0.999, True), (1.001, False), (1.02, False)])
def test_the_floor_of_admission_is_where_the_policy_puts_it(floor: float, admitted: bool) -> None:
    """A floor two points lower or higher is another policy."""
    found = case()
    reached, best = on_scale(found.expected), attainable_on_scale(found.expected, found.attainable)
    assert reached is not None
    assert best is not None
    policy = EffectivePolicy(expected_of_attainable=floor * reached / best)
    assert (admission(replace(found, policy=policy)).outcome is Outcome.ADMIT) is admitted
