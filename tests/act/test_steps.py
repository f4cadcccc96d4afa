"""What is sent, followed, withdrawn and tried again; and properties that hold for every course of events."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.act.guards import MOST_ATTEMPTS
from mfu.act.steps import act
from mfu.act.tracks import deadline_seconds, remembered, reserved, settled
from mfu.act.types import Acted, Acts, Guard, Proposal, Sent
from mfu.api.powers import ActionType
from mfu.decide.fleet.order import Reserved
from tests.act.builders import ENFORCING, NOW, action, circumstances, grant, known, permitting, proposal, scaling, track
from tests.builders.fleets import STEADY


def done(acts: Acts) -> list[str]:
    return [step.action.workload for step in acts.steps if not step.dry_run]


def guards(acts: Acts) -> list[Guard | None]:
    return [step.hindrance.guard if step.hindrance else None for step in acts.steps]


def test_the_first_goes_at_once_and_is_expected_by_the_gates_deadline() -> None:
    acts = act([proposal()], Acted(), circumstances())
    assert done(acts) == ["team/w"]
    (sent,) = acts.remembered.tracks.values()
    assert (sent.since, sent.sent_at, sent.expected_by, sent.attempts) == (NOW, NOW, NOW + 60.0, 0)
    assert acts.remembered.recent == (Sent(NOW, "p", ActionType.REQUIRED_AFFINITY),)


def test_the_dry_run_says_the_same_words() -> None:
    (deed,) = act([proposal()], Acted(), circumstances()).steps
    (dry,) = act([proposal()], Acted(), circumstances(switched_on=frozenset())).steps
    assert deed.sentence == "keep the pods to node n0"
    assert dry.sentence == (
        "dry run (this operator does not carry out RequiredAffinity (`actions` of its configuration)): "
        "keep the pods to node n0"
    )
    assert dry.action == deed.action


def test_asked_again_it_sends_nothing_twice() -> None:
    once = act([proposal()], Acted(), circumstances())
    again = act([proposal()], once.remembered, circumstances())
    assert guards(again) == [Guard.IN_FLIGHT]
    assert again.remembered == once.remembered


def test_what_was_held_back_is_not_remembered() -> None:
    assert act([proposal(confidence=0.1)], Acted(), circumstances()).remembered.tracks == {}


def test_what_is_seen_is_done_with() -> None:
    sent = act([proposal()], Acted(), circumstances())
    tag = action().tag
    after = act([], sent.remembered, circumstances(NOW + 5.0, seen=frozenset({tag})))
    assert after.withdrawals == ()
    assert after.remembered.tracks[tag].expected_by is None
    assert after.remembered.tracks[tag].attempts == 0


def test_what_is_overdue_is_withdrawn_counted_and_said() -> None:
    sent = act([proposal()], Acted(), circumstances())
    assert act([proposal()], sent.remembered, circumstances(NOW + 59.9)).withdrawals == ()
    late = act([proposal()], sent.remembered, circumstances(NOW + 60.0))
    (taken_back,) = late.withdrawals
    assert (taken_back.reason, taken_back.message) == ("NotSeen", "not seen within 60 s: keep the pods to node n0")
    assert guards(late) == [None], "what still waits behind the gate does not dwell"
    assert late.remembered.tracks[action().tag].attempts == 1


def test_it_is_tried_a_bounded_number_of_times() -> None:
    policy = permitting(dwell_seconds=0.0)
    memory = Acted()
    sent = 0
    for cycle in range(20):
        acts = act([proposal(policy=policy, observed_at=None)], memory, circumstances(NOW + 100.0 * cycle))
        memory = acts.remembered
        sent += len(done(acts))
    assert sent == MOST_ATTEMPTS
    assert guards(acts) == [Guard.GIVEN_UP]


def test_another_decision_starts_anew_and_takes_back_what_is_on_its_way() -> None:
    sent = act([proposal()], Acted(), circumstances())
    moved = act([proposal(action(node="n1"))], sent.remembered, circumstances(NOW + 10.0))
    (taken_back,) = moved.withdrawals
    assert (taken_back.reason, taken_back.message) == ("Superseded", "no longer decided: keep the pods to node n0")
    assert done(moved) == ["team/w"]
    (begun,) = moved.remembered.tracks.values()
    assert (begun.since, begun.sent_at, begun.expected_by, begun.attempts) == (NOW + 10.0, NOW + 10.0, NOW + 70.0, 0)


def test_another_decision_about_what_runs_dwells_first() -> None:
    sent = act([proposal(scaling(2))], Acted(), circumstances())
    moved = act([proposal(scaling(4))], sent.remembered, circumstances(NOW + 10.0))
    assert [each.reason for each in moved.withdrawals] == ["Superseded"]
    assert guards(moved) == [Guard.DWELLING]
    later = act([proposal(scaling(4), observed_at=None)], moved.remembered, circumstances(NOW + 310.0))
    assert done(later) == ["team/w"]


def test_another_decision_after_the_first_was_seen_takes_nothing_back() -> None:
    moved = act([proposal(action(node="n1"))], known(track(expected_by=None)), circumstances())
    assert moved.withdrawals == ()


def test_what_nobody_decides_any_more_is_forgotten_in_time() -> None:
    before = known(track(expected_by=None, sent_at=NOW))
    assert act([], before, circumstances(NOW + 3599.0)).remembered.tracks == before.tracks
    assert act([], before, circumstances(NOW + 3600.0)).remembered.tracks == {}
    assert remembered(track(sent_at=None), NOW)
    assert not remembered(track(sent_at=None, expected_by=None), NOW)


def test_while_telemetry_is_gone_nothing_new_is_done_and_nothing_taken_back() -> None:
    sent = act([proposal()], Acted(), circumstances())
    bound = [proposal(gated=False)]
    seen = act(bound, sent.remembered, circumstances(NOW + 5.0, seen=frozenset(sent.remembered.tracks)))
    blind = circumstances(NOW + 900.0, telemetry_at=None)
    acts = act([proposal(), proposal(action(workload="team/new"))], seen.remembered, blind)
    assert guards(acts) == [Guard.STALE, Guard.STALE]
    assert acts.withdrawals == ()
    assert acts.remembered.tracks == seen.remembered.tracks


@pytest.mark.parametrize("kind", list(ActionType))
def test_with_telemetry_gone_no_action_of_any_kind_is_sent_or_taken_back(kind: ActionType) -> None:
    """Under a policy that enforces it and lists it, with all else that it needs."""

    def asked(workload: str, **fields: Any) -> Proposal:
        return proposal(replace(action(workload=workload), type=kind), **fields)

    both = frozenset({"team/w", "team/new"})
    sent = act([asked("team/w")], Acted(), circumstances(held=both, asked=both))
    assert done(sent) == ["team/w"]
    shown = frozenset(sent.remembered.tracks)
    seen = act([], sent.remembered, circumstances(NOW + 5.0, seen=shown, held=both, asked=both))
    assert not any(each.on_its_way for each in seen.remembered.tracks.values())
    blind = circumstances(NOW + 900.0, telemetry_at=None, held=both, asked=both)
    acts = act([asked("team/w"), asked("team/new")], seen.remembered, blind)
    assert guards(acts) == [Guard.STALE, Guard.STALE]
    assert acts.withdrawals == ()
    assert acts.remembered.tracks == seen.remembered.tracks
    assert act([], seen.remembered, blind).withdrawals == (), "nor where it is not even proposed any more"


@pytest.mark.parametrize("kind", list(ActionType))
def test_how_long_the_cluster_has(kind: ActionType) -> None:
    gated = kind in (ActionType.PREFERRED_AFFINITY, ActionType.REQUIRED_AFFINITY)
    slow = {ActionType.SUSPEND: 600.0, ActionType.MIG_LAYOUT: 3600.0}
    expected = 7.0 if gated else slow.get(kind, 60.0)
    assert deadline_seconds(kind, replace(ENFORCING, gate_deadline_seconds=7.0)) == expected


def test_what_is_on_its_way_is_reserved() -> None:
    placed, scaled = track(), track(scaling())
    tracks = {each.action.tag: each for each in (placed, scaled)}
    assert reserved(tracks, circumstances()) == (Reserved("team/w", (grant(),)),)
    assert reserved(tracks, circumstances(seen=frozenset(tracks))) == ()
    assert reserved(tracks, circumstances(NOW + 50.0)) == ()


def test_settling_leaves_the_rest_alone() -> None:
    quiet = track(expected_by=None, attempts=2)
    tag = quiet.action.tag
    assert settled({tag: quiet}, circumstances(seen=frozenset({tag}))) == ({tag: quiet}, ())


def test_urgency_then_name_then_type() -> None:
    many = [
        proposal(scaling(workload="team/a")),
        proposal(action(workload="team/b")),
        proposal(action(workload="team/a")),
        proposal(action(workload="team/z"), priority=1),
    ]
    steps = act(many, Acted(), circumstances()).steps
    assert [(step.action.workload, str(step.action.type)) for step in steps] == [
        ("team/z", "RequiredAffinity"),
        ("team/a", "RequiredAffinity"),
        ("team/a", "Scale"),
        ("team/b", "RequiredAffinity"),
    ]


@st.composite
def proposals(draw: st.DrawFn) -> list[Proposal]:
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True))
    return [
        proposal(
            action(workload=f"team/{name}", node=draw(st.sampled_from(["n0", "n1"]))),
            policy=permitting(
                max_per_minute=draw(st.integers(1, 3)), dwell_seconds=draw(st.sampled_from([0.0, 300.0]))
            ),
            priority=draw(st.integers(0, 2)),
            confidence=draw(st.sampled_from([None, 0.5, 0.9, 0.9])),
            observed_at=None,
        )
        for name in names
    ]


moments = st.lists(st.tuples(st.floats(1.0, 200.0), proposals(), st.booleans()), min_size=1, max_size=6)


@STEADY
@given(moments)
def test_never_two_on_their_way_and_never_above_the_rate(course: list[tuple[float, list[Proposal], bool]]) -> None:
    """Over any course of events: one action under way for a tag, at most three a minute, done ones remembered."""
    memory = Acted()
    now, sent = NOW, []
    for passed, mine, shows in course:
        now += passed
        under_way = {tag for tag, each in memory.tracks.items() if each.on_its_way and (each.expected_by or 0.0) > now}
        acts = act(mine, memory, circumstances(now, seen=frozenset(memory.tracks) if shows else frozenset()))
        memory = acts.remembered
        for step in acts.steps:
            if step.dry_run:
                continue
            sent.append(now)
            assert memory.tracks[step.action.tag].on_its_way
            superseded = step.action.tag in {each.action.tag for each in acts.withdrawals}
            assert shows or superseded or step.action.tag not in under_way
        assert sum(1 for at in sent if now - at < 60.0) <= 3


@STEADY
@given(proposals(), st.randoms(use_true_random=False))
def test_order_of_proposals_does_not_matter(mine: list[Proposal], chance: object) -> None:
    shuffled = sorted(mine, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert act(mine, Acted(), circumstances()) == act(shuffled, Acted(), circumstances())
