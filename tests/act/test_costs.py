"""Who goes first when a service shrinks: who writes least, of pods that nobody else put a cost on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mfu.act.costs import MARK, MOST_MARKED, ReplicaUse, marked, marks
from mfu.act.proposals import Said, marking_of
from mfu.act.types import Acts, Addressee
from mfu.api.powers import ActionType
from mfu.decide.types import DecisionType, Outcome
from tests.act.builders import ENFORCING, decision, known, track

USES = tuple(ReplicaUse(f"u{row}", f"serve-{row}", rate) for row, rate in enumerate((50.0, 0.0, 90.0, 5.0)))
SERVE = Addressee("Deployment", "serve")


def said(replicas: int | None, outcome: Outcome = Outcome.SCALE, uses: tuple[ReplicaUse, ...] = USES) -> Said:
    hint = {} if replicas is None else {"replicas": replicas}
    each = decision(DecisionType.SCALING, outcome, **hint)
    return Said("team/w", each, ENFORCING, SERVE, replicas=uses)


def test_those_that_write_least_go_first() -> None:
    assert marks(USES, 1) == {"u1": MARK}
    assert marks(USES, 2) == {"u1": MARK, "u3": MARK}
    assert marks(USES, 0) == marks(USES, -3) == {}


def test_a_mark_is_taken_back_from_who_stays() -> None:
    busy = tuple(replace(each, cost=MARK if each.uid == "u2" else None) for each in USES)
    assert marks(busy, 1) == {"u1": MARK, "u2": None}
    assert marks(busy, 0) == {"u2": None}


def test_where_somebody_else_says_a_cost_nothing_is_marked() -> None:
    assert marks((*USES[1:], replace(USES[0], cost=7)), 2) == {}


@given(st.lists(st.floats(0, 1e4), max_size=40), st.integers(-3, 60))
def test_never_more_than_leave_and_never_more_than_an_action_may(rates: list[float], leaving: int) -> None:
    uses = tuple(ReplicaUse(str(row), f"p{row}", rate) for row, rate in enumerate(rates))
    found = marks(uses, leaving)
    assert len(found) == max(0, min(leaving, MOST_MARKED, len(uses)))
    stay = [each.tokens_per_s for each in uses if each.uid not in found]
    assert all(each.tokens_per_s <= min(stay, default=1e9) for each in uses if each.uid in found)
    after = tuple(replace(each, cost=found.get(each.uid)) for each in uses)
    assert marks(after, leaving) == {}, "once written there is nothing left to write"


def test_the_action_says_whom() -> None:
    made = marking_of(said(2))
    assert made is not None
    assert (made.type, made.change) == (ActionType.POD_DELETION_COST, {"costs": {"u1": MARK, "u3": MARK}})
    assert made.words == "let those that write least go first: serve-1, serve-3"
    stays = marking_of(said(None, Outcome.KEEP, (replace(USES[0], cost=MARK), *USES[1:])))
    assert stays is not None
    assert (stays.words, stays.change) == ("let all its replicas count the same", {"costs": {"u0": None}})


def test_nothing_is_proposed_without_need_or_knowledge() -> None:
    for each in (
        said(4),
        said(6),
        said(None, Outcome.KEEP),
        said(None, Outcome.NONE),
        said(2, uses=()),
        replace(said(2), owner=Addressee("StatefulSet", "serve")),
        replace(said(2), owner=None),
    ):
        assert marking_of(each) is None


def test_marks_are_of_what_is_on_its_way_and_not_there_yet() -> None:
    made = marking_of(said(2))
    assert made is not None
    acts = Acts(remembered=known(track(made)))
    pods = {each.uid: ("team", each.name, None) for each in USES}
    assert [(each.pod, each.cost) for each in marked(acts, pods)] == [("serve-1", MARK), ("serve-3", MARK)]
    assert [each.pod for each in marked(acts, {**pods, "u1": ("team", "serve-1", MARK)})] == ["serve-3"]
    assert marked(acts, {}) == ()
    assert marked(Acts(remembered=known(track(made, expected_by=None))), pods) == ()
