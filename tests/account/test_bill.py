"""Every dollar named: the parts add up to the total to the cent, whatever the prices; currencies stay apart."""

from __future__ import annotations

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.bill import HELD_IDLE, UNALLOCATED, UNKNOWN, Bill, Item, Use, bills, used

shares = st.floats(-0.5, 1.5)
uses = st.one_of(
    st.sampled_from([UNALLOCATED, UNKNOWN, HELD_IDLE]),
    st.builds(used, st.one_of(st.none(), shares), idle=st.booleans()),
)
prices = st.one_of(st.none(), st.floats(0, 1e6), st.sampled_from([0.1, 1 / 3, 2.995, 0.005]))
items = st.lists(st.builds(Item, st.sampled_from(["$", "€"]), st.floats(0.01, 64), prices, uses), max_size=40)


def parts(bill: Bill) -> list[int]:
    return [bill.useful, bill.lost, bill.held_idle, bill.unallocated, bill.unknown]


@given(items)
def test_it_adds_up_to_the_cent(mine: list[Item]) -> None:
    found = bills(mine)
    assert set(found) == {each.currency for each in mine}
    for currency, bill in found.items():
        here = [each for each in mine if each.currency == currency]
        priced = [each for each in here if each.price_per_hour is not None]
        assert sum(parts(bill)) == bill.total
        assert bill.total == pytest.approx(100 * fsum(each.price_per_hour or 0.0 for each in priced), abs=0.51)
        for part, cents in enumerate(parts(bill)):
            exact = 100 * fsum((each.price_per_hour or 0.0) * each.use.shares[part] for each in priced)
            assert abs(cents - exact) <= 1.0 + 1e-6
            assert cents >= 0
        assert bill.unpriced_gpus == pytest.approx(fsum(each.gpus for each in here if each.price_per_hour is None))


@given(st.one_of(st.none(), shares), st.booleans())
def test_shares_of_a_use_add_up_to_one(lost: float | None, idle: bool) -> None:
    assert sum(used(lost, idle=idle).shares) == pytest.approx(1.0)


def test_worked_example() -> None:
    """Eight GPUs at $2.50 of which a quarter is lost, four that nobody holds, four held by somebody idle."""
    found = bills([Item("$", 8, 20.0, used(0.25)), Item("$", 4, 10.0, UNALLOCATED), Item("$", 4, 10.0, HELD_IDLE)])
    assert found == {"$": Bill(total=4000, useful=1500, lost=500, held_idle=1000, unallocated=1000, unknown=0)}


def test_thirds_of_a_cent_are_given_to_the_largest_remainder() -> None:
    found = bills([Item("$", 1, 0.10, Use(useful=1 / 3, lost=1 / 3, unknown=1 / 3))])["$"]
    assert parts(found) == [4, 3, 0, 0, 3]


def test_nothing_held_is_no_bill() -> None:
    assert bills([]) == {}
