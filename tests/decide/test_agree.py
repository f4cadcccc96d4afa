"""What else is said of a workload follows the one list, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.reasons import Why
from mfu.decide.recommend.agree import agreeing_findings, on_the_list, scaled_later, shown_attainable
from mfu.decide.recommend.ranking import reach_of
from mfu.decide.recommend.recommended import NextStep, Recommended
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.observe.assessment import Finding
from tests.builders.cases import SERVING, case

SUBJECT = case(SERVING, assigned=True)
BATCH = NextStep(Kind.SETTING, "training.microBatchSize", "1", "4")
LAYOUT = NextStep(Kind.SETTING, "training.parallelism.tensor", "4", "2")
SLICE = NextStep(Kind.SLICE, "accelerators.migProfile", "a whole GPU", "3g.40gb")
MOVE = NextStep(Kind.MOVE, "placement", words="pack it on one node")


def listed(*steps: NextStep, replicas: int = 1) -> tuple[Recommended, ...]:
    reach = replace(reach_of(SUBJECT), replicas=replicas)
    return tuple(Recommended(each, each.on(reach), 0.1) for each in steps)


def finding(cause: Cause = Cause.SMALL_BATCH, **fields: Any) -> Finding:
    made = Finding(cause, 0.9, Explains.CONFIGURATION, 0.1, None, "use more", Actor.TENANT, True, (), 1.2)
    return replace(made, **fields)


def told(each: Finding, *steps: NextStep) -> str:
    (found,) = agreeing_findings((each,), listed(*steps))
    assert replace(found, action="") == replace(each, action="")
    return found.action


@pytest.mark.parametrize(
    ("cause", "field"),
    [
        (Cause.SMALL_BATCH, "training.microBatchSize"),
        (Cause.COMMUNICATION, "training.globalBatchSize"),
        (Cause.LOW_CONCURRENCY, "inference.concurrency"),
        (Cause.MEMORY_BOUND, "inference.concurrency"),
        (Cause.RECOMPUTE, "training.recompute"),
        (Cause.PRECISION, "precision.compute"),
        (Cause.PIPELINE_BUBBLE, "training.parallelism.pipeline"),
        (Cause.WRONG_LAYOUT, "training.parallelism.tensor"),
    ],
)
def test_each_configuration_loss_is_mended_by_its_field(cause: Cause, field: str) -> None:
    step, other = NextStep(Kind.SETTING, field, "1", "2"), NextStep(Kind.SETTING, "sharding", "DDP", "ZeRO1")
    assert told(finding(cause), other, step) == f"{field} 1 → 2: see the recommendations"


def test_all_steps_that_mend_it_are_named() -> None:
    wide = NextStep(Kind.SETTING, "training.globalBatchSize", "64", "256")
    words = "training.microBatchSize 1 → 4, training.globalBatchSize 64 → 256: see the recommendations"
    assert told(finding(), BATCH, wide) == words


def test_what_the_list_does_not_mend_is_not_recommended() -> None:
    refused = "use more; not recommended: spec.tunable, memory or slo do not allow it"
    assert told(finding()) == refused
    assert told(finding(), LAYOUT) == refused
    assert told(finding(), replace(BATCH, kind=Kind.MEND)) == refused, "only settings are"


@pytest.mark.parametrize(
    "other",
    [
        finding(explains=Explains.RUNTIME),
        finding(Cause.STRAGGLER),
        finding(action=""),
    ],
)
def test_other_findings_are_left_as_they_are(other: Finding) -> None:
    assert told(other, BATCH) == other.action


def test_what_wastes_nothing_is_not_called_refused() -> None:
    assert told(finding(wasted=False)) == "use more"
    assert told(finding(wasted=False), BATCH).endswith("see the recommendations")


def decision(kind: DecisionType, outcome: Outcome, hint: dict[str, Any] | None = None) -> Decision:
    return Decision(kind, outcome, "Before", "as it was", hint=hint)


RESHAPE = decision(DecisionType.MIG, Outcome.RESHAPE, {"migProfile": "1g.10gb"})
KEEP = decision(DecisionType.MIG, Outcome.KEEP)
MOVING = decision(DecisionType.PLACEMENT, Outcome.MOVE)


def on(each: Decision, *steps: NextStep) -> Decision:
    return on_the_list(each, replace(SUBJECT, recommended=listed(*steps)))


@pytest.mark.parametrize("before", [RESHAPE, KEEP])
def test_the_slice_of_the_list_is_the_slice(before: Decision) -> None:
    assert on(before, BATCH, SLICE) == Decision(
        DecisionType.MIG,
        Outcome.RESHAPE,
        Why.SMALLER_PROFILE_FITS,
        "accelerators.migProfile a whole GPU → 3g.40gb: serves as much for less",
        hint={"migProfile": "3g.40gb", "resource": "nvidia.com/mig-3g.40gb"},
    )


def test_a_slice_that_does_not_pay_is_kept_from() -> None:
    found = on(RESHAPE, BATCH)
    assert found == Decision(
        DecisionType.MIG, Outcome.KEEP, Why.RIGHT_SIZED, "as it was, but H100-SXM5 serves more for as much"
    )
    assert on(KEEP, BATCH) == KEEP


def test_nobody_has_to_move_where_another_layout_is_recommended() -> None:
    assert on(MOVING, BATCH, LAYOUT) == Decision(
        DecisionType.PLACEMENT,
        Outcome.KEEP,
        Why.LAYOUT_SUITS_NODES,
        "nobody has to move: with training.parallelism.tensor 4 → 2 its groups suit the nodes that it has",
    )


@pytest.mark.parametrize("steps", [(), (BATCH,), (LAYOUT, MOVE), (MOVE,), (replace(LAYOUT, kind=Kind.FIT),)])
def test_else_it_moves(steps: tuple[NextStep, ...]) -> None:
    assert on(MOVING, *steps) == MOVING


@pytest.mark.parametrize(
    "other", [decision(DecisionType.PLACEMENT, Outcome.KEEP), decision(DecisionType.ADMISSION, Outcome.MOVE)]
)
def test_other_decisions_are_not_the_lists(other: Decision) -> None:
    assert on(other, SLICE, LAYOUT) == other


SCALE = decision(DecisionType.SCALING, Outcome.SCALE, {"replicas": 4})


def later(subject: Subject, *steps: NextStep, replicas: int = 2) -> str:
    return scaled_later(SCALE, replace(subject, recommended=listed(*steps, replicas=replicas))).message


def test_what_replicas_become_once_the_list_is_done() -> None:
    asked = replace(SUBJECT, desired_replicas=4)
    assert later(asked, BATCH) == "as it was; 2 once the recommendations are followed"
    assert later(asked, BATCH, replicas=4) == "as it was"
    assert later(asked) == "as it was"
    assert later(SUBJECT, BATCH) == "as it was"
    release = NextStep(Kind.RELEASE, replicas=0)
    assert later(asked, release) == "as it was", "what is released is not counted"
    assert later(asked, release, BATCH) == "as it was; 2 once the recommendations are followed"


def test_attainable_names_changes_only_where_all_are_on_the_list() -> None:
    subject = case({**SERVING, "tunable": ["Concurrency"]})
    assert subject.attainable is not None
    change = subject.attainable.changes[0]
    best = replace(subject.attainable, changes=(change,))
    step = NextStep(Kind.SETTING, change.field, change.before, change.after)
    assert shown_attainable(best, listed(BATCH, step)) == best
    for other in (
        replace(step, kind=Kind.MEND),
        replace(step, field="inference.other"),
        replace(step, before="0"),
        replace(step, after="0"),
    ):
        assert shown_attainable(best, listed(other)) == replace(best, changes=())
    two = replace(best, changes=(change, replace(change, field="inference.other")))
    assert shown_attainable(two, listed(step)) == replace(best, changes=())
    assert shown_attainable(None, listed(step)) is None
