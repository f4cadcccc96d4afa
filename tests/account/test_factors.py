"""Three factors of one workload: worked numbers, and that they multiply to its MFU."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.factors import Factors, moving_share, workload_factors

SHARES = st.floats(0, 1)


def test_worked_numbers() -> None:
    found = workload_factors(0.5, 0.3, 0.75)
    assert (found.scheduling, found.runtime) == (0.5, 0.75)
    assert found.program == pytest.approx(0.4)
    assert found.mfu == pytest.approx(0.15)
    assert [moving_share(0.3, 0.75), moving_share(0.3, None), moving_share(0.001, None)] == [0.75, 1.0, 0.0]


def test_what_is_not_known_is_not_said() -> None:
    assert workload_factors(None, 0.3, 1.0) == Factors()
    assert workload_factors(1.0, None) == Factors(1.0)
    assert workload_factors(0.0, 0.3) == Factors(0.0), "who holds nothing does nothing with it"
    assert workload_factors(1.0, 0.0, 0.0) == Factors(1.0, 0.0, None)


def test_counters_that_see_nothing_do_not_deny_work_that_came_out() -> None:
    assert workload_factors(1.0, 0.3, 0.0) == Factors(1.0, 1.0, 0.3)
    assert workload_factors(1.0, 0.002, 1.0) == Factors(1.0, 1.0, 0.002), "little is done, all the time"


@given(held=st.floats(0.01, 1), mfu=SHARES, moving=st.one_of(st.just(0.0), st.floats(0.0001, 1)))
def test_they_multiply_to_what_all_that_is_asked_for_does(held: float, mfu: float, moving: float) -> None:
    found = workload_factors(held, mfu, moving)
    if found.mfu is not None:
        assert found.mfu == pytest.approx(held * mfu)
    else:
        assert found.runtime == 0
