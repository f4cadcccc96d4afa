"""Answers are kept while somebody asks for them, in a bounded number, and errors are not answers."""

from __future__ import annotations

import pytest

from mfu.memo import Memo, forget_unasked, memo, memos


def counting(most: int = 100) -> tuple[Memo[[int], int], list[int]]:
    worked: list[int] = []

    def square(number: int) -> int:
        worked.append(number)
        return number * number

    return Memo(square, most), worked


def test_an_answer_is_worked_out_once() -> None:
    square, worked = counting()
    assert [square(3), square(3), square(4)] == [9, 9, 16]
    assert worked == [3, 4]
    assert len(square) == 2


def test_what_is_asked_for_stays_and_the_rest_goes() -> None:
    square, worked = counting()
    for number in (1, 2):
        square(number)
    square.forget_unasked()
    square(1)
    square.forget_unasked()
    assert len(square) == 1
    assert [square(1), square(2)] == [1, 4]
    assert worked == [1, 2, 2]


def test_the_longest_unasked_go_first_where_there_are_too_many() -> None:
    square, worked = counting(most=10)
    for number in range(100):
        square(number)
        square(0)
        assert len(square) <= 10
    assert worked == list(range(100))


def test_an_answer_that_is_none_is_an_answer() -> None:
    asked: list[int] = []
    nothing = Memo(asked.append, 4)
    nothing(1)
    nothing(1)
    nothing.forget_unasked()
    nothing(1)
    assert asked == [1]


def test_an_error_is_not_kept() -> None:
    asked: list[int] = []

    def refuse(number: int) -> int:
        asked.append(number)
        raise ValueError(number)

    refused = Memo(refuse, 4)
    for _ in range(2):
        with pytest.raises(ValueError, match="7"):
            refused(7)
    assert asked == [7, 7]
    assert len(refused) == 0


def test_names_of_arguments_are_part_of_the_question() -> None:
    @memo(most=4)
    def less(first: int, second: int = 0) -> int:
        return first - second

    assert [less(5), less(5, second=2), less(5, second=3), less(second=3, first=5)] == [5, 3, 2, 2]
    assert less in memos()
    forget_unasked()
    forget_unasked()
    assert len(less) == 0
