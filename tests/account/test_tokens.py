"""Prompt and written tokens: what each comes to adds up to the whole, and what is charged is what was counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.tokens import PromptTime, TokenCosts, TokenRates, revenue_of_tokens, token_costs
from mfu.hardware.price import PriceBook

MIXED = PromptTime(0.25, 8.0)


def test_worked_numbers() -> None:
    assert token_costs(36.0, TokenRates(8e3, 1e3), MIXED) == TokenCosts(0.3125, 7.5)
    sold = PriceBook(charge_per_million_tokens=12.0, charge_per_million_input_tokens=3.0)
    assert revenue_of_tokens(sold, TokenRates(8e3, 1e3)) == pytest.approx(86.4 + 43.2)


def test_with_twice_as_many_prompts_the_odds_of_their_time_double() -> None:
    found = token_costs(36.0, TokenRates(16e3, 1e3), MIXED)
    assert found is not None
    assert found.read == pytest.approx(36.0 * 0.4 / (16e3 * 3600) * 1e6)
    assert found.written == pytest.approx(36.0 * 0.6 / (1e3 * 3600) * 1e6)


@given(
    cost=st.floats(0.01, 1e5),
    read=st.floats(0.1, 1e7),
    written=st.floats(0.1, 1e6),
    share=st.floats(0.01, 0.99),
    mix=st.floats(0.01, 1e3),
)
def test_both_together_come_to_the_whole(cost: float, read: float, written: float, share: float, mix: float) -> None:
    found = token_costs(cost, TokenRates(read, written), PromptTime(share, mix))
    assert found is not None
    assert found.read is not None
    assert found.written is not None
    assert (found.read * read + found.written * written) * 3600 / 1e6 == pytest.approx(cost)


@pytest.mark.parametrize(
    ("rates", "time"),
    [
        (TokenRates(None, 1e3), MIXED),
        (TokenRates(8e3, None), MIXED),
        (TokenRates(8e3, 0.0), MIXED),
        (TokenRates(8e3, 1e3), PromptTime(0.25, None)),
        (TokenRates(None, 1e3), PromptTime(1.0, None)),
    ],
)
def test_what_is_not_counted_has_no_price(rates: TokenRates, time: PromptTime) -> None:
    assert token_costs(36.0, rates, time) is None
    assert token_costs(None, TokenRates(8e3, 1e3), MIXED) is None


def test_one_that_only_reads_or_only_writes_pays_for_that_alone() -> None:
    assert token_costs(36.0, TokenRates(1e4, None), PromptTime(1.0, None)) == TokenCosts(1.0, None)
    assert token_costs(36.0, TokenRates(None, 1e3), PromptTime(0.0, None)) == TokenCosts(None, 10.0)


def test_what_is_charged_and_not_counted_is_unknown() -> None:
    both = PriceBook(charge_per_million_tokens=12.0, charge_per_million_input_tokens=3.0)
    assert revenue_of_tokens(both, TokenRates(None, 1e3)) is None
    assert revenue_of_tokens(PriceBook(charge_per_million_tokens=12.0), TokenRates(None, 1e3)) == pytest.approx(43.2)
    assert revenue_of_tokens(PriceBook(), TokenRates(8e3, 1e3)) is None
    assert not PriceBook().sells_tokens
    assert PriceBook(charge_per_million_input_tokens=3.0).sells_tokens
