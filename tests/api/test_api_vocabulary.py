"""Causes, conditions, quantities and CEL text: the small vocabulary everything else is written in."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.causes import TRUTH_WORDS, Cause, from_truth
from mfu.api.cel import text
from mfu.api.conditions import Condition, ConditionStatus, ConditionType, Reason, find, merge, timestamp
from mfu.api.quantities import InvalidQuantity, fraction, price, size_bytes, tokens

CAMEL = re.compile(r"^[A-Z][A-Za-z0-9]*$")
TRACE_WORDS = (
    "none small-batch data-starvation communication straggler memory-bound precision recompute low-concurrency"
)


def condition(status: ConditionStatus, when: str, message: str = "") -> Condition:
    return Condition(type="Ready", status=status, reason=Reason.READY, message=message, last_transition_time=when)


def test_truth_words_are_those_of_the_traces() -> None:
    assert sorted(TRUTH_WORDS.values()) == sorted(TRACE_WORDS.split())


@pytest.mark.parametrize("word", TRACE_WORDS.split())
def test_truth_words_come_back(word: str) -> None:
    assert from_truth(word).truth == word


@pytest.mark.parametrize("value", [*Cause, *Reason, *ConditionType])
def test_enums_are_camel_case(value: str) -> None:
    assert CAMEL.match(value)


def test_transition_time_is_kept_while_the_status_stays() -> None:
    before = condition(ConditionStatus.TRUE, "2026-01-01T00:00:00Z")
    same = condition(ConditionStatus.TRUE, "2026-02-02T00:00:00Z", "new words")
    (kept,) = merge([before], [same])
    assert (kept.last_transition_time, kept.message) == ("2026-01-01T00:00:00Z", "new words")


def test_transition_time_moves_with_the_status() -> None:
    before = condition(ConditionStatus.TRUE, "2026-01-01T00:00:00Z")
    (changed,) = merge([before], [condition(ConditionStatus.FALSE, "2026-02-02T00:00:00Z")])
    assert changed.last_transition_time == "2026-02-02T00:00:00Z"


def test_find_condition() -> None:
    present = condition(ConditionStatus.TRUE, "2026-01-01T00:00:00Z")
    assert find([present], "Ready") is present
    assert find([present], "Accepted") is None


def test_timestamp_is_utc() -> None:
    moment = datetime(2026, 11, 22, 8, 0, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-11-22T06:00:00Z"


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("15T", 15 * 10**12),
        ("1.5B", 1_500_000_000),
        ("300G", 300 * 10**9),
        ("10k", 10_000),
        ("7", 7),
        ("2.5M", 2_500_000),
    ],
)
def test_tokens(written: str, count: int) -> None:
    assert tokens(written) == count


@pytest.mark.parametrize("written", ["", "0", "0T", "-1T", "15 T", "15t", "1e12", "T", "15Ti"])
def test_no_tokens(written: str) -> None:
    with pytest.raises(InvalidQuantity):
        tokens(written)


@given(st.integers(min_value=1, max_value=10**15), st.sampled_from(["", "k", "M", "B", "T"]))
def test_suffixes_are_powers_of_a_thousand(number: int, suffix: str) -> None:
    assert tokens(f"{number}{suffix}") == number * 1000 ** ["", "k", "M", "B", "T"].index(suffix)


def test_price_and_size() -> None:
    assert price("2.99") == 2.99
    assert size_bytes("61Gi") == 61 * 1024**3
    assert size_bytes("1.5Ti") == 1.5 * 1024**4


@pytest.mark.parametrize("written", ["$2.99", "-1", "", "2,99", "free"])
def test_no_price(written: str) -> None:
    with pytest.raises(InvalidQuantity):
        price(written)


@pytest.mark.parametrize("written", ["61GB", "", "Gi", "-1Gi"])
def test_no_size(written: str) -> None:
    with pytest.raises(InvalidQuantity):
        size_bytes(written)


def test_unknown_fraction_stays_unknown() -> None:
    assert fraction(None) is None
    assert fraction("0.4123") == 0.4123


def test_cel_text() -> None:
    assert text("p95 is {self.p95} of {self.mean}") == "'p95 is %s of %s'.format([self.p95, self.mean])"
