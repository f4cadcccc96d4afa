"""What is news: a table, and that noise alone never writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.engine.say.hysteresis import differs

NEWS: dict[str, tuple[Any, Any, bool]] = {
    "nothing": ({"mfu": "0.4120"}, {"mfu": "0.4120"}, False),
    "noise of a figure": ({"mfu": "0.4120"}, {"mfu": "0.4151"}, False),
    "a figure that moved": ({"mfu": "0.4120"}, {"mfu": "0.4320"}, True),
    "a percentage within half a point": ({"observed": "41.2%"}, {"observed": "41.6%"}, False),
    "a percentage that moved": ({"observed": "41.2%"}, {"observed": "43.2%"}, True),
    "known turned unknown": ({"observed": "41.2%"}, {"observed": "Unknown"}, True),
    "a cause": ({"cause": "None"}, {"cause": "Straggler"}, True),
    "a field more": ({}, {"mfu": "0.4"}, True),
    "a field less": ({"mfu": "0.4", "mbu": "0.1"}, {"mfu": "0.4"}, True),
    "a list that grew": ({"losses": []}, {"losses": [{"cause": "None"}]}, True),
    "readings inside a sentence": ({"message": "at 26.1 GB/s"}, {"message": "at 31.3 GB/s"}, False),
    "another sentence": ({"message": "at 26.1 GB/s"}, {"message": "at 26.1 MB/s"}, True),
    "a name with digits": ({"message": "on node h100-sxm5-00"}, {"message": "on node h100-sxm5-02"}, True),
    "a fresh time within five minutes": (
        {"observedAt": "2026-11-22T06:00:00Z"},
        {"observedAt": "2026-11-22T06:04:59Z"},
        False,
    ),
    "a time due for refresh": ({"observedAt": "2026-11-22T06:00:00Z"}, {"observedAt": "2026-11-22T06:05:00Z"}, True),
    "a transition time alone": (
        {"lastTransitionTime": "2026-11-22T06:00:00Z"},
        {"lastTransitionTime": "2026-11-22T07:00:00Z"},
        False,
    ),
    "a flag": ({"wasted": True}, {"wasted": False}, True),
    "a generation": ({"observedGeneration": 1}, {"observedGeneration": 2}, True),
    "nothing there yet": (None, {"mfu": "0.4"}, True),
    "points": ({"gap": "26.7pt"}, {"gap": "27.1pt"}, False),
    "money": ({"lostPerHour": "$332.10"}, {"lostPerHour": "$400.00"}, True),
}


@pytest.mark.parametrize("case", NEWS)
def test_news(case: str) -> None:
    current, desired, news = NEWS[case]
    assert differs(current, desired) is news


values = st.recursive(
    st.one_of(st.text(max_size=8), st.booleans(), st.integers(), st.floats(0, 1).map(lambda each: f"{each:.4f}")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner)),
    max_leaves=12,
)


@given(values)
def test_the_same_is_never_news(value: Any) -> None:
    assert differs(value, value) is False


@given(values, values)
def test_any_two_values_can_be_compared(one: Any, other: Any) -> None:
    assert differs(one, other) in (True, False)
