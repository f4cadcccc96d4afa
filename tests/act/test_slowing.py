"""The soft taint on a slow node: what is proposed, how long it holds, and when it is over."""

from __future__ import annotations

import pytest

from mfu.act.slowing import (
    EFFECT,
    RENEWED_SECONDS,
    SLOW,
    SLOW_VALID_SECONDS,
    SlowOrder,
    expired,
    slow_action,
    until_of,
)
from mfu.api.powers import ActionType
from mfu.decide.fleet.slow_nodes import SlowNode
from mfu.decide.types import DecisionType


def test_the_taint_keeps_nobody_away_and_says_of_which_node_it_is() -> None:
    slow = SlowNode("n0", 0.08, ("a/w", "b/w"), 1_800_000_000.0)
    made = slow_action(slow, "team/w")
    assert (made.type, made.decides) == (ActionType.PREFER_NO_SCHEDULE, DecisionType.PLACEMENT)
    assert (made.workload, str(made.target), made.words) == ("team/w", "Node n0", slow.words)
    assert slow.words == "let pods prefer other nodes to n0: 8% behind its peers at the work of a/w, b/w"
    assert made.change == {"taint": "mfu.gpuaas.io/slow", "effect": "PreferNoSchedule"}
    assert (SLOW, EFFECT) == ("mfu.gpuaas.io/slow", "PreferNoSchedule")


def test_an_hour_is_said_and_renewed_at_half_of_it() -> None:
    assert (SLOW_VALID_SECONDS, RENEWED_SECONDS) == (3600.0, 1800.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (SlowOrder("n0", "slow", 3600), SlowOrder("n0", "slower", 5399), True),
        (SlowOrder("n0", "slow", 3600), SlowOrder("n0", "slow", 5400), False),
        (SlowOrder("n0", "slow", None), SlowOrder("n0", "slow", 10), False),
        (SlowOrder("n0", "slow", None), SlowOrder("n0", "fast again", None), True),
    ],
)
def test_half_an_hour_more_is_another_attempt(one: SlowOrder, other: SlowOrder, same: bool) -> None:
    assert (one.digest == other.digest) is same
    assert one.key == "slow/n0"


def test_what_is_taken_off_and_what_is_over_since_ever_are_told_apart() -> None:
    assert SlowOrder("n0", "", None).digest == "False 0"
    assert SlowOrder("n0", "", 1800).digest == "True 1"


@pytest.mark.parametrize(
    ("label", "until"),
    [
        (None, None),
        ("1800000000", 1_800_000_000),
        ("999999999999", 999_999_999_999),
        ("9999999999999", 0),
        ("soon", 0),
        ("", 0),
        ("-5", 0),
        ("١٢", 0),
    ],
)
def test_what_the_label_says_and_what_can_not_be_read_is_over(label: str | None, until: int | None) -> None:
    others = {"other": "7"}
    assert until_of(others if label is None else {**others, SLOW: label}) == until


@pytest.mark.parametrize(
    ("now", "waited", "over"),
    [(99.0, 0.0, False), (100.0, 0.0, True), (101.0, 0.0, True), (99.0, 3599.0, False), (99.0, 3600.0, True)],
)
def test_it_is_over_by_its_own_word_or_by_an_hour_of_ours(now: float, waited: float, over: bool) -> None:
    assert expired(100, now, waited) is over
