"""Money: the docstrings' worked numbers, and what is never invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.account.cost import lost, per_step, watt_hours_per_million_tokens, whole_run
from mfu.hardware.catalog import load
from mfu.hardware.price import per_million_tokens, price_per_hour
from mfu.hardware.types import GPU, Device


def h100(profile: str | None = None) -> Device:
    gpu = load().by_api_name("H100-SXM5")
    assert isinstance(gpu, GPU)
    return Device(gpu, load().mig_profile(gpu.key, profile) if profile else None)


def test_whole_gpus_cost_their_price() -> None:
    assert price_per_hour({"H100-SXM5": 2.5}, h100(), 8) == 20.0


def test_a_slice_costs_its_share_of_the_multiprocessors() -> None:
    assert price_per_hour({"H100-SXM5": 2.64}, h100("1g.10gb"), 1) == pytest.approx(2.64 * 16 / 132)


def test_no_price_is_unknown_not_free() -> None:
    assert price_per_hour({}, h100(), 8) is None
    assert price_per_hour({"H100-SXM5": 2.5}, None, 8) is None


def test_worked_numbers() -> None:
    assert lost(512, 0.145, 0.412) == pytest.approx(331.81, abs=0.005)
    assert per_million_tokens(36.0, 1000.0) == 10.0
    assert per_step(36.0, 2.0) == 0.02


@pytest.mark.parametrize(("cost", "reached", "possible"), [(None, 0.1, 0.4), (5.0, None, 0.4), (5.0, 0.1, None)])
def test_unknown_in_unknown_out(cost: float | None, reached: float | None, possible: float | None) -> None:
    assert lost(cost, reached, possible) is None


@given(
    cost=st.floats(0, 1e6),
    reached=st.floats(0, 1),
    possible=st.floats(0.001, 1),
)
def test_loss_is_between_nothing_and_everything(cost: float, reached: float, possible: float) -> None:
    answer = lost(cost, reached, possible)
    assert answer is not None
    assert 0 <= answer <= cost


def test_a_whole_run_as_expected_and_at_the_present_pace() -> None:
    run = whole_run(15e12, 512, 1024.0, expected=400.0, present=300.0)
    assert round(run.expected_hours or 0) == 20345
    assert round(run.hours or 0) == 27127
    assert run.cost == pytest.approx(1024.0 * (run.hours or 0))
    unknown = whole_run(15e12, 512, None, expected=400.0, present=None)
    assert (unknown.expected_cost, unknown.hours, unknown.cost) == (None, None, None)


def test_energy_needs_power_and_progress() -> None:
    assert round(watt_hours_per_million_tokens(600.0, 400.0) or 0) == 417
    assert watt_hours_per_million_tokens(None, 400.0) is None
    assert watt_hours_per_million_tokens(600.0, None) is None
