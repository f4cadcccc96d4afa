"""Time: a value collected once and scraped twice, counters that stand still, shares of time from counters."""

from __future__ import annotations

import math

import pytest

from mfu.observe.readings import Metric, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet
from tests.telemetry.expose import page


def body(power: float, energy_joules: float | None = None, **extra: object) -> dict[str, bytes]:
    values: dict[str, object] = {"DEV_POWER_USAGE": power, "PROF_PIPE_TENSOR_ACTIVE": 0.4, **extra}
    if energy_joules is not None:
        values["DEV_TOTAL_ENERGY_CONSUMPTION"] = int(energy_joules * 1000)
    return {"a": page(values)}


def test_thirty_second_collection_behind_a_fifteen_second_scrape() -> None:
    fleet = DCGMFleet(scrape_seconds=15, collection_seconds=30)
    times = [fleet.round(body(600 + step // 2), 15.0 * step).observed_at[0] for step in range(6)]
    assert times == [0.0, 0.0, 30.0, 30.0, 60.0, 60.0]
    assert fleet.interval_seconds == 30


def test_a_device_whose_energy_stands_still_was_not_read() -> None:
    fleet = DCGMFleet()
    times = [fleet.round(body(600 + step, energy_joules=1000), 15.0 * step).observed_at[0] for step in range(4)]
    assert times == [0.0, 0.0, 0.0, 0.0]


def test_growing_energy_is_news() -> None:
    fleet = DCGMFleet()
    times = [fleet.round(body(600, energy_joules=1000 + step), 15.0 * step).observed_at[0] for step in range(3)]
    assert times == [0.0, 15.0, 30.0]


def test_sample_timestamps_date_the_reading_and_never_lie_ahead() -> None:
    text = page({"DEV_POWER_USAGE": "600.0 1700000000000", "DEV_GPU_TEMP": "40 1700000005000"})
    assert DCGMFleet().round({"a": text}, 1700000020.0).observed_at[0] == 1700000000.0
    assert DCGMFleet().round({"a": text}, 1600000000.0).observed_at[0] == 1600000000.0


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [(0, 15_000_000_000, 1.0), (5_000, 3_000_005_000, 0.2), (7, 7, 0.0), (9_000_000_000, 10, math.nan)],
)
def test_power_violation_is_a_share_of_time(first: int, second: int, share: float) -> None:
    fleet = DCGMFleet()
    before = fleet.round(body(600, 1, DEV_POWER_VIOLATION=first), 0.0)
    assert math.isnan(before.values[0, Metric.POWER_VIOLATION_RATIO])
    after = fleet.round(body(601, 2, DEV_POWER_VIOLATION=second), 15.0)
    assert after.values[0, Metric.POWER_VIOLATION_RATIO] == pytest.approx(share, nan_ok=True)


def test_a_share_holds_while_the_page_repeats() -> None:
    fleet = DCGMFleet()
    fleet.round(body(600, 1, DEV_THERMAL_VIOLATION=0), 0.0)
    fresh = fleet.round(body(601, 2, DEV_THERMAL_VIOLATION=15_000_000_000), 30.0)
    again = fleet.round(body(601, 2, DEV_THERMAL_VIOLATION=15_000_000_000), 45.0)
    shares = [each.values[0, Metric.THERMAL_VIOLATION_RATIO] for each in (fresh, again)]
    assert shares == pytest.approx([0.5, 0.5])


def test_a_clock_that_went_back_gives_no_share() -> None:
    fleet = DCGMFleet()
    fleet.round(body(600, 1, DEV_POWER_VIOLATION=0), 100.0)
    found = fleet.round(body(601, 2, DEV_POWER_VIOLATION=3_000_000_000), 40.0)
    assert found.observed_at[0] == 40.0
    assert math.isnan(found.values[0, Metric.POWER_VIOLATION_RATIO])


def test_clock_event_reasons_stand_in_for_violations() -> None:
    fleet = DCGMFleet()
    names = ("DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS", "DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN_NS")
    fleet.round(body(600, 1, **{names[0]: 0, names[1]: 0}), 0.0)
    found = fleet.round(body(601, 2, **{names[0]: 3_000_000_000, names[1]: 1_500_000_000}), 15.0)
    assert found.values[0, Metric.POWER_VIOLATION_RATIO] == pytest.approx(0.3)


def test_memory_follows_devices_through_churn() -> None:
    fleet = DCGMFleet()
    fleet.round({**body(600, 1, DEV_POWER_VIOLATION=0), "b": page({"DEV_GPU_TEMP": 40}, UUID="GPU-2")}, 0.0)
    found = fleet.round(body(601, 2, DEV_POWER_VIOLATION=3_000_000_000), 15.0)
    assert found.values[0, Metric.POWER_VIOLATION_RATIO] == pytest.approx(0.2)


def test_exporters_whose_collection_stands_still_are_stale() -> None:
    fleet = DCGMFleet()
    states = [fleet.round(body(600, energy_joules=1000), now).state for now in (0.0, 60.0, 60.1)]
    assert states == [SourceState.OK, SourceState.OK, SourceState.STALE]
