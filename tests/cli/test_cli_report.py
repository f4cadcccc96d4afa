"""The head of `mfu report`: every amount of each currency, and what has no price beside it."""

from __future__ import annotations

import pytest

from mfu.api.fleetreport import Bill, FleetStatus, FleetSummary
from mfu.cli.report import print_fleet
from mfu.show.fleet import fleet_view

DOLLARS = Bill(currency="$", per_hour="188.97", useful="106.35", lost="13.95", unallocated="68.67")
EUROS = Bill(currency="€", per_hour="0.10", held_idle="0.07", unknown="0.03", unpriced_gpus="2.5")


def head(*bills: Bill, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_fleet(fleet_view(FleetStatus(bills=bills, summary=FleetSummary(mfu="22.9%", cause="Communication"))))
    return capsys.readouterr().out.splitlines()


def test_every_dollar_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    fleet, dollars, euros, cause, *_ = head(DOLLARS, EUROS, capsys=capsys)
    assert "22.9%" in fleet
    assert dollars == (
        "$188.97 per hour = $106.35 useful + $13.95 lost + $0.00 held idle + $68.67 unallocated + $0.00 unknown"
    )
    assert euros.startswith("€0.10 per hour = €0.00 useful")
    assert euros.endswith("; 2.5 GPUs have no price")
    assert cause == "Main cause of loss: Communication"


def test_without_prices_no_money_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [line for line in head(capsys=capsys) if "per hour" in line]
