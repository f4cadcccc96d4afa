"""A packed status is the same JSON: it reads back, compares and changes nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mfu.engine.say.packed import Packed, packed, plain
from tests.engine.scenes import STEADY

leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=6))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=4), values, max_size=4)


@STEADY
@given(objects)
def test_it_reads_as_what_was_packed(value: dict[str, Any]) -> None:
    tight = Packed(value)
    assert tight == value
    assert plain(tight) == value == tight.read()
    assert dict(tight.items()) == value
    assert (len(tight), set(tight)) == (len(value), set(value))
    assert all(tight[key] == each for key, each in value.items())


@STEADY
@given(objects, objects)
def test_two_compare_as_what_they_hold(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (Packed(one) == Packed(other)) is (repr(plain(Packed(one))) == repr(plain(Packed(other))))
    assert (Packed(one) == other) is (one == other)


def test_the_order_of_keys_is_nothing() -> None:
    assert Packed({"a": 1, "b": [2]}) == Packed({"b": [2], "a": 1})


def test_packing_twice_is_packing_once() -> None:
    tight = packed({"a": 1})
    assert packed(tight) is tight
    assert plain({"a": 1}) == {"a": 1}


def test_a_change_of_what_was_read_changes_nothing() -> None:
    tight = Packed({"a": {"b": 1}})
    tight["a"]["b"] = 2
    tight.read()["a"] = None
    assert tight == {"a": {"b": 1}}
    assert tight != {"a": None}
    assert tight != "a"


def test_it_is_small() -> None:
    value = {"losses": [{"cause": "Communication", "action": "raise micro-batch", "share": "0.1000"}] * 20}
    assert len(Packed(value)._text) < len(str(value)) / 5
