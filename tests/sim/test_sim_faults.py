"""A fault switched on costs what it cost when it was recorded."""

import pytest

from mfu.sim.faults import degraded, parse_fault_flag
from mfu.sim.truth import Fault, InvalidPlan, Truth, TruthMode


def test_the_worked_number() -> None:
    assert degraded(Truth(0.42), Fault.SLOW_LINK).mfu == pytest.approx(0.123, abs=5e-4)


@pytest.mark.parametrize("fault", [each for each in Fault if each is not Fault.NONE])
def test_more_strength_costs_more(fault) -> None:
    costs = [degraded(Truth(0.42), fault, strength).mfu for strength in (0.2, 0.6, 1.0)]

    assert costs == sorted(costs, reverse=True)
    assert 0 <= costs[-1] < 0.42


def test_no_fault_costs_nothing() -> None:
    assert degraded(Truth(0.42), Fault.NONE).mfu == 0.42


def test_low_concurrency_serves_fewer_at_once() -> None:
    truth = degraded(Truth(0.1, mode=TruthMode.DECODE, concurrency=64), Fault.LOW_CONCURRENCY, 1.0)

    assert (truth.concurrency, truth.mfu) == (26, pytest.approx(0.04))


def test_a_second_fault_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="already"):
        degraded(Truth(0.1, Fault.STRAGGLER), Fault.SLOW_LINK)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a/t=slow-link", ("a/t", Fault.SLOW_LINK, 1.0)),
        ("a/t=straggler:0.5", ("a/t", Fault.STRAGGLER, 0.5)),
    ],
)
def test_flags(text, parsed) -> None:
    assert parse_fault_flag(text) == parsed


@pytest.mark.parametrize("text", ["a/t", "a/t=gremlins", "a/t=straggler:much"])
def test_wrong_flags_say_the_form(text) -> None:
    with pytest.raises(InvalidPlan, match="NAMESPACE/NAME=FAULT"):
        parse_fault_flag(text)
