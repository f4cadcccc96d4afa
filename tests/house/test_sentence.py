"""Sentences that know their figures."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.sentence import Sentence, Value, amount, joined, sentence

TEXTS = st.text(alphabet="ab1{} ;", max_size=6)
VALUES = st.builds(Value, st.floats(-1e6, 1e6), st.text(alphabet="0123456789.", min_size=1, max_size=4))
SENTENCES = st.builds(lambda parts: joined("", parts), st.lists(TEXTS | VALUES, max_size=5))


def expected(value: float, gpus: int = 8, *, ends: str = "GPUs") -> Sentence:
    return sentence("expected {} on {} {}", Value(value, f"{value:.1%}"), gpus, ends)


def test_it_is_the_text_that_it_says() -> None:
    said = expected(0.312)
    assert said == "expected 31.2% on 8 GPUs"
    assert said.words == ("expected ", " on 8 GPUs")
    assert [(said[each.start : each.end], each.value) for each in said.spans] == [("31.2%", 0.312)]


def test_a_part_too_few_or_too_many_is_a_mistake() -> None:
    for parts in ((), (1, 2)):
        with pytest.raises(ValueError):
            sentence("{} GPUs", *parts)


def test_what_is_not_known_is_a_word() -> None:
    assert [amount(each, "Unknown") for each in (None, float("inf"), float("nan"))] == ["Unknown"] * 3
    assert amount(0.0, "0.0%") == Value(0.0, "0.0%")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (expected(0.312), True),
        (expected(0.318), True),
        (expected(0.306), True),
        (expected(0.319), False),
        (expected(0.305), False),
        (expected(0.312, 9), False),
        (expected(0.312, ends="cards"), False),
        (Sentence(expected(0.312)), False),
        (joined("; ", (expected(0.312), expected(0.312))), False),
    ],
)
def test_figures_may_tremble_and_nothing_else(other: Sentence, same: bool) -> None:
    assert expected(0.312).alike(other, 0.02) is same


def test_below_zero_a_figure_may_tremble_as_much() -> None:
    low, lower = (sentence("{}", Value(each, "n")) for each in (-100.0, -101.5))
    assert low.alike(lower, 0.02) and not low.alike(lower, 0.01)


@given(st.lists(SENTENCES | TEXTS, max_size=4), TEXTS)
def test_joining_keeps_text_and_figures_in_their_places(parts: list[str], separator: str) -> None:
    whole = joined(separator, parts)
    assert whole == separator.join(parts)
    known = [
        (part[span.start : span.end], span.value) for part in parts if isinstance(part, Sentence) for span in part.spans
    ]
    assert [(whole[span.start : span.end], span.value) for span in whole.spans] == known
    assert whole.alike(whole, 0.0)


@given(SENTENCES)
def test_copies_know_their_figures(whole: Sentence) -> None:
    again = pickle.loads(pickle.dumps(whole))
    assert again == whole and again.spans == whole.spans
