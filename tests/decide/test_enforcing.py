"""What a policy enforces in name only."""

from __future__ import annotations

import pytest

from mfu.api.decisions import DecisionType
from mfu.api.mfupolicy import PolicySpec, Scaling, ScalingDelivery
from mfu.api.powers import ActionType
from mfu.decide.enforcing import CARRIED_OUT_BY, in_name_only


def spec(*actions: str, **modes: str) -> PolicySpec:
    return PolicySpec.model_validate({"modes": modes, "actions": [{"type": each} for each in actions]})


def test_every_kind_of_decision_has_what_carries_it_out() -> None:
    assert set(CARRIED_OUT_BY) == set(DecisionType)
    told_alone = {kind for kind, able in CARRIED_OUT_BY.items() if not able}
    assert told_alone == {DecisionType.SHARING, DecisionType.OVERSUBSCRIPTION}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (spec(), []),
        (spec(scaling="Recommend"), []),
        (spec(scaling="Enforce"), ["modes.scaling is Enforce but actions lists none of Scale, PodDeletionCost"]),
        (spec("Suspend", scaling="Enforce"), ["actions lists none of Scale"]),
        (spec("PodDeletionCost", scaling="Enforce"), ["PodDeletionCost"]),
        (spec("Scale", "Suspend", scaling="Enforce"), ["this operator has Scale switched off"]),
        (
            spec("PodDeletionCost", "Scale", scaling="Enforce"),
            [
                "modes.scaling is Enforce but this operator has PodDeletionCost, Scale switched off (`actions` of its "
                "configuration): nothing is done, as with Recommend"
            ],
        ),
        (spec(placement="Enforce", mig="Enforce"), ["modes.placement", "modes.mig"]),
        (
            spec("KueueCheck", "MIGLayout", oversubscription="Enforce", sharing="Enforce"),
            [
                "modes.sharing is Enforce but no action carries it out: nothing is done, as with Recommend",
                "modes.oversubscription is Enforce but no action carries it out",
            ],
        ),
    ],
)
def test_enforce_that_does_nothing_is_said(given: PolicySpec, words: list[str]) -> None:
    lines = in_name_only(given, frozenset())
    assert len(lines) == len(words)
    for line, word in zip(lines, words, strict=True):
        assert word in line


def test_scaling_that_an_autoscaler_is_to_follow_says_so() -> None:
    (line,) = in_name_only(spec("Scale", scaling="Enforce"), frozenset({ActionType.SCALE}))
    assert line == (
        "modes.scaling is Enforce and actions lists Scale but scaling.delivery is Metric: an autoscaler is to follow "
        "the metric, the operator scales nothing"
    )
    scaled = spec("Scale", scaling="Enforce").model_copy(
        update={"scaling": Scaling(delivery=ScalingDelivery.SCALE_SUBRESOURCE)}
    )
    assert in_name_only(scaled, frozenset({ActionType.SCALE})) == ()


def test_an_action_that_acts_needs_no_word() -> None:
    for each in CARRIED_OUT_BY[DecisionType.PLACEMENT]:
        assert in_name_only(spec(each, placement="Enforce"), frozenset({each})) == ()
        (line,) = in_name_only(spec(each, placement="Enforce"), frozenset())
        assert f"this operator has {each} switched off" in line


def test_every_action_carries_some_decision_out() -> None:
    assert {each for able in CARRIED_OUT_BY.values() for each in able} == set(ActionType)
