"""Each guard: what it lets pass, what it holds back, at its bound, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from mfu.act.guards import GUARDS, MOST_ATTEMPTS, Guarded, hindrance, recent
from mfu.act.steps import act
from mfu.act.types import Acted, Action, Circumstances, Guard, Proposal, Sent, Track
from mfu.api.powers import ActionType
from mfu.decide.types import DecisionType, Mode, Outcome
from tests.act.builders import (
    ENFORCING,
    NOW,
    action,
    circumstances,
    decision,
    permitting,
    proposal,
    scaling,
    selecting,
    track,
)

KIND = ActionType.REQUIRED_AFFINITY


def untried() -> Track:
    return Track(action(), since=NOW)


@dataclass(frozen=True)
class Row:
    """What is asked, and the guard that answers with these words; None where all let it pass."""

    proposal: Proposal = field(default_factory=proposal)
    track: Track = field(default_factory=untried)
    around: Circumstances = field(default_factory=circumstances)
    sent: int = 0
    guard: Guard | None = None
    words: str = ""


def answering() -> Action:
    return action(each=decision(DecisionType.ADMISSION, Outcome.ADMIT))


def modes(mode: Mode) -> Any:
    return replace(ENFORCING, modes={DecisionType.PLACEMENT: mode})


ROWS = {
    "nothing against it": Row(),
    "recommended only": Row(
        proposal(policy=modes(Mode.RECOMMEND)), guard=Guard.NOT_ENFORCED, words="modes.placement is Recommend"
    ),
    "observed only": Row(proposal(policy=modes(Mode.OBSERVE)), guard=Guard.NOT_ENFORCED, words="is Observe"),
    "not listed": Row(
        proposal(policy=replace(ENFORCING, actions={})),
        guard=Guard.NOT_LISTED,
        words="the policy's actions do not list RequiredAffinity",
    ),
    "not carried out": Row(
        around=circumstances(switched_on=frozenset({ActionType.SCALE})),
        guard=Guard.SWITCHED_OFF,
        words="does not carry out RequiredAffinity",
    ),
    "nobody waits behind the gate": Row(
        proposal(gated=False), guard=Guard.NOT_GATED, words="no pod of it waits behind the gate mfu.gpuaas.io/placement"
    ),
    "pods of a job are not there yet": Row(
        proposal(missing=16), guard=Guard.INCOMPLETE, words="pods for 16 of its GPUs are not there yet"
    ),
    "Kueue does not ask": Row(
        proposal(answering()),
        guard=Guard.NOT_ASKED,
        words="no check mfu.gpuaas.io/admission of Kueue waits for an answer",
    ),
    "Kueue asks": Row(proposal(answering()), around=circumstances(asked=frozenset({"team/w"}))),
    "an owner has no gate": Row(proposal(scaling(), gated=False, missing=16), around=circumstances()),
    "just sure enough": Row(proposal(confidence=0.8)),
    "not sure enough": Row(
        proposal(confidence=0.79),
        guard=Guard.UNSURE,
        words="confidence is 79%, actions[RequiredAffinity].minConfidencePercent is 80%",
    ),
    "nobody knows how sure": Row(proposal(confidence=None), guard=Guard.UNSURE, words="confidence is unknown, actions"),
    "just fresh enough": Row(proposal(observed_at=NOW - 120.0)),
    "stale": Row(
        proposal(observed_at=NOW - 121.0),
        guard=Guard.STALE,
        words="readings are 121 s old, actions[RequiredAffinity].maxReadingAgeSeconds is 120",
    ),
    "rests on no reading": Row(proposal(observed_at=None)),
    "rests on no reading of a fleet that went silent": Row(
        proposal(observed_at=None), around=circumstances(telemetry_at=NOW - 200.0), guard=Guard.STALE, words="200 s old"
    ),
    "no telemetry at all": Row(
        around=circumstances(telemetry_at=None), guard=Guard.STALE, words="no reading of the fleet is known"
    ),
    "on its way": Row(track=track(), guard=Guard.IN_FLIGHT, words="sent and not seen yet, withdrawn in 50 s"),
    "tried often": Row(
        track=track(expected_by=None, sent_at=NOW - 900.0, since=NOW - 900.0, attempts=MOST_ATTEMPTS - 1)
    ),
    "tried too often": Row(
        track=track(expected_by=None, sent_at=NOW - 900.0, attempts=MOST_ATTEMPTS),
        guard=Guard.GIVEN_UP,
        words="sent 3 times and never seen",
    ),
    "dwelling since it was sent": Row(
        proposal(scaling()),
        track=track(scaling(), expected_by=None, since=NOW - 900.0, sent_at=NOW - 299.0),
        guard=Guard.DWELLING,
        words="actions[Scale].dwellSeconds leaves 1 s",
    ),
    "replicas follow a load that never stands": Row(
        proposal(scaling()), track=track(scaling(), expected_by=None, since=NOW - 1.0, sent_at=NOW - 301.0)
    ),
    "dwelling since it was decided": Row(
        proposal(selecting()),
        track=track(selecting(), expected_by=None, since=NOW - 200.0, sent_at=NOW - 900.0),
        around=circumstances(held=frozenset({"team/w"})),
        guard=Guard.DWELLING,
        words="leaves 100 s",
    ),
    "pods that came behind the gate later do not dwell": Row(
        track=track(expected_by=None, since=NOW - 1.0, sent_at=NOW - 1.0)
    ),
    "dwelt": Row(proposal(scaling()), track=track(scaling(), expected_by=None, since=NOW - 900.0, sent_at=NOW - 300.0)),
    "the last one of the minute": Row(sent=9),
    "one too many in the minute": Row(
        sent=10, guard=Guard.RATE_LIMITED, words="10 in the last minute, actions[RequiredAffinity].maxPerMinute is 10"
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_guard(name: str) -> None:
    row = ROWS[name]
    found = hindrance(Guarded(row.proposal, row.track, row.around, [Sent(NOW, "p", KIND)] * row.sent))
    if row.guard is None:
        assert found is None
        return
    assert found is not None
    assert found.guard is row.guard
    assert row.words in found.message


def test_a_fleet_that_nobody_sees_is_said_to_be_unseen() -> None:
    blind = hindrance(Guarded(proposal(), untried(), circumstances(telemetry_at=None)))
    assert blind is not None
    assert blind.message == "no reading of the fleet is known"


def test_a_policy_without_a_name_is_held_to_its_rate() -> None:
    policy = replace(permitting(max_per_minute=1), name=None)
    both = [proposal(action(workload=f"team/{name}"), policy=policy) for name in "ab"]
    steps = act(both, Acted(), circumstances()).steps
    assert [step.hindrance.guard if step.hindrance else None for step in steps] == [None, Guard.RATE_LIMITED]


def test_the_policys_word_is_asked_first() -> None:
    assert len(GUARDS) == len(Guard)
    everything_wrong = Guarded(
        proposal(policy=replace(ENFORCING, modes={}, actions={}), confidence=None),
        track(attempts=9),
        Circumstances(NOW),
    )
    assert [found.guard for guard in GUARDS[:3] if (found := guard(everything_wrong))] == list(Guard)[:3]


def test_the_rate_is_counted_by_policy_and_type_and_only_of_the_last_minute() -> None:
    now, before, within = Sent(NOW, "p", KIND), Sent(NOW - 60.0, "p", KIND), Sent(NOW - 59.9, "p", KIND)
    assert recent([now, before, within], NOW) == (now, within)
    policy = permitting(max_per_minute=1)
    for other in (Sent(NOW, "q", KIND), Sent(NOW, "p", ActionType.SCALE)):
        assert hindrance(Guarded(proposal(policy=policy), untried(), circumstances(), [other])) is None
    assert hindrance(Guarded(proposal(policy=policy), untried(), circumstances(), [now])) is not None


def test_of_many_the_rate_lets_the_highest_priority_pass() -> None:
    policy = permitting(max_per_minute=2)
    many = [proposal(action(workload=f"team/w{index}"), policy=policy, priority=index % 3) for index in range(6)]
    acts = act(many, Acted(), circumstances())
    done = [step.action.workload for step in acts.steps if not step.dry_run]
    assert done == ["team/w2", "team/w5"]
    held = {step.hindrance.guard for step in acts.steps if step.hindrance}
    assert held == {Guard.RATE_LIMITED}
    later = act(many, acts.remembered, circumstances(NOW + 30.0))
    assert all(step.dry_run for step in later.steps)
    waiting = [each for each in many if each.action.tag not in acts.remembered.tracks]
    after = act(waiting, acts.remembered, circumstances(NOW + 60.0, seen=frozenset(acts.remembered.tracks)))
    assert [step.action.workload for step in after.steps if not step.dry_run] == ["team/w1", "team/w4"]
