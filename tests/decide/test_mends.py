"""What runs slower than expected is mended cause by cause, the largest first, and never beyond what is expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.api.workload_status import Meter
from mfu.decide.recommend.mends import idle, mends, observed_share
from mfu.decide.recommend.ranking import reach_of
from mfu.decide.scale import on_scale
from mfu.decide.types import Subject
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from mfu.predict.types import Scale
from tests.builders.cases import case

SUBJECT = case(assigned=True)
AIM = on_scale(SUBJECT.expected) or 0.0


def finding(cause: Cause = Cause.COMMUNICATION, share: float | None = 0.1, **fields: Any) -> Finding:
    made = Finding(cause, 0.9, Explains.RUNTIME, share, None, "do it", Actor.TENANT, True, (), 1.2)
    return replace(made, **fields)


def seen(mfu: float | None, *, trusted: bool = True) -> Subject:
    row = Observation(
        Window.TEN_MINUTES, Meter.PROGRESS, mfu, mfu, None, None, None, 1.0, "test", 0.0, 0.9, tokens_per_s_per_gpu=None
    )
    assessment = Assessment((row,), state=TelemetryState.OK)
    return replace(SUBJECT, assessment=assessment, trusted=trusted)


@pytest.mark.parametrize(
    ("subject", "share"),
    [
        (seen(AIM / 2), 0.5),
        (seen(AIM * 1.2), 1.2),
        (seen(AIM / 2, trusted=False), 1.0),
        (seen(0.0), 1.0),
        (SUBJECT, 1.0),
    ],
)
def test_observed_of_expected(subject: Subject, share: float) -> None:
    assert observed_share(subject) == pytest.approx(share)


def test_idle_is_an_allocation_that_is_wasted() -> None:
    wasted = finding(Cause.IDLE_ALLOCATION)
    assert idle([finding(), wasted]) is wasted
    assert idle([finding(), replace(wasted, wasted=False)]) is None


def told(*findings: Finding, share: float = 0.4, **fields: Any) -> list[tuple[str, float]]:
    steps = mends(replace(SUBJECT, findings=findings, **fields), share)
    assert all(each.kind is Kind.MEND for each in steps)
    return [(each.field, each.share or 0.0) for each in steps]


def test_the_largest_first_each_on_top_of_those_before() -> None:
    """A fifth and three tenths of what is expected, from four tenths on."""
    small, large = finding(share=0.2 * AIM), finding(Cause.STRAGGLER, 0.3 * AIM)
    found = told(small, large)
    assert [field for field, _ in found] == ["Straggler", "Communication"]
    assert [share for _, share in found] == pytest.approx([0.7, 0.9])


def test_never_beyond_what_is_expected() -> None:
    assert told(finding(share=0.5 * AIM), finding(Cause.STRAGGLER, 0.4 * AIM))[-1] == ("Straggler", 1.0)


def test_who_is_to_do_what() -> None:
    (step,) = mends(replace(SUBJECT, findings=(finding(actor=Actor.PROVIDER),)), 0.4)
    assert (step.actor, step.action) == (Actor.PROVIDER, "do it")
    (bare,) = mends(replace(SUBJECT, findings=(finding(action=""),)), 0.4)
    assert bare.action == "mend Communication"


@pytest.mark.parametrize(
    "other",
    [
        finding(explains=Explains.CONFIGURATION),
        finding(wasted=False),
        finding(share=None),
        finding(share=0.0),
    ],
)
def test_what_explains_nothing_at_run_time_is_not_mended(other: Finding) -> None:
    assert told(other) == []
    assert len(told(other, finding(Cause.STRAGGLER))) == 1


@pytest.mark.parametrize(("wanted", "running", "mended"), [(3, 2, 0), (2, 2, 1), (None, 2, 1), (1, 0, 0), (None, 0, 1)])
def test_too_few_requests_are_no_answer_where_more_replicas_are_asked_for(
    wanted: int | None, running: int, mended: int
) -> None:
    lonely = finding(Cause.LOW_CONCURRENCY)
    assert len(told(lonely, desired_replicas=wanted, replicas_running=running)) == mended
    assert len(told(finding(), desired_replicas=wanted, replicas_running=running)) == 1


@pytest.mark.parametrize(("share", "count"), [(0.99, 1), (1.0, 0), (1.3, 0)])
def test_what_runs_as_expected_is_left_alone(share: float, count: int) -> None:
    assert len(told(finding(), share=share)) == count


def test_what_a_state_costs() -> None:
    """Eight GPUs at 2.50 an hour, twice; 800 tokens/s each, of which half are made: 40 $ for 2.88 million an hour."""
    reach = reach_of(replace(SUBJECT, expected=replace(SUBJECT.expected, tokens_per_s_per_gpu=100.0)))
    twice = replace(reach, replicas=2, share=0.5)
    prices = {"H100-SXM5": 2.5}
    assert (twice.gpus, twice.rate, twice.tokens_per_s) == (16, 800.0, 800.0)
    assert twice.cost_per_hour(prices) == 40.0
    assert twice.cost_per_million_tokens(prices) == pytest.approx(40.0 / 2.88)
    assert twice.cost_per_hour({}) is None
    assert replace(twice, runs=False).cost_per_million_tokens(prices) is None


def test_without_an_expectation_nothing_is_mended() -> None:
    nothing = replace(SUBJECT.expected, scale=Scale.MBU, mbu=None)
    assert on_scale(nothing) is None
    assert told(finding(), expected=nothing) == []
