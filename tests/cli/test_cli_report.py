"""The head of `mfu report`: every amount of each currency, and what has no price beside it."""

from __future__ import annotations

import re

import pytest

from mfu.api.causes import Cause, Explains
from mfu.api.fleetreport import Bill, FleetStatus, FleetSummary, LayoutState, LossFigures, PlannedLayout
from mfu.api.workload_status import Cost, WorkloadFactors, WorkloadStatus
from mfu.cli.report import print_fleet, print_tenant, print_workloads
from mfu.show.fleet import fleet_view
from mfu.show.tenant import tenant_view
from mfu.show.workloads import Listed
from tests.builders.seen import example

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


def test_what_no_cause_explains_is_said() -> None:
    """$13.95 are lost, $10.00 of it to a cause: the rest is said. What configuration takes is another matter."""
    losses = [
        LossFigures(cause=cause, explains=explains, workloads=1, share="0.1", lost_per_hour=lost)
        for cause, explains, lost in (
            (Cause.COMMUNICATION, Explains.RUNTIME, "10.00"),
            (Cause.SMALL_BATCH, Explains.CONFIGURATION, "99.00"),
        )
    ]
    page = fleet_view(FleetStatus(bills=(DOLLARS,), currency="$", losses=tuple(losses)))
    assert page.uncaused == "$3.95 per hour of the loss at run time have no known cause"
    whole = losses[0].model_copy(update={"lost_per_hour": "13.90"})
    assert fleet_view(FleetStatus(bills=(DOLLARS,), currency="$", losses=(whole,))).uncaused == ""


def test_without_prices_no_money_is_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert not [line for line in head(capsys=capsys) if "per hour" in line]


def test_a_tenants_page_says_what_each_cause_takes(capsys: pytest.CaptureFixture[str]) -> None:
    mine = [each for each in example().listed() if each.namespace == "team-vision"]
    print_tenant("team-vision", tenant_view(mine))
    out = capsys.readouterr().out
    assert "team-vision: 1 workloads hold 8 GPUs" in out
    (lost,) = re.findall(r"\$20\.00 per hour, \$(\d+\.\d\d) of it lost at run time", out)
    assert float(lost) == pytest.approx(12.3, abs=1.0)
    assert [line for line in out.splitlines() if line.startswith("Communication") and "Provider" in line]


def test_workloads_have_their_three_factors_and_a_charge(capsys: pytest.CaptureFixture[str]) -> None:
    three = WorkloadFactors(scheduling="0.5", runtime="0.75", program="0.4", mfu="0.15")
    cost = Cost(currency="$", per_hour="20.00", revenue_per_hour="24.00")
    listed = [
        Listed("team", "half", "Training", WorkloadStatus(factors=three, cost=cost)),
        Listed("team", "new", "Training", WorkloadStatus()),
    ]
    print_workloads(listed, 5)
    print_tenant("team", tenant_view(listed))
    half, new, *rest = [line for line in capsys.readouterr().out.splitlines() if line][1:]
    assert "50 × 75 × 40%" in half
    assert "×" not in new
    assert any(line.endswith("of it lost at run time; charged $24.00") for line in rest)


def test_a_tenant_without_a_price_is_not_charged(capsys: pytest.CaptureFixture[str]) -> None:
    print_tenant("team", tenant_view([Listed("team", "job", "Training", WorkloadStatus())]))
    out = capsys.readouterr().out
    assert "1 of them have no price" in out
    assert "$" not in out


def test_mig_layouts_to_come_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"layout": "all-3g.40gb", "slices": "4 of 3g.40gb"}
    layouts = (
        PlannedLayout(node="n0", **fields, state=LayoutState.UNDER_WAY),
        PlannedLayout(node="n1", **fields, waiting=2, moved=3, state=LayoutState.NOT_CONSENTED),
        PlannedLayout(node="n2", slices="3g.40gb", waiting=2, state=LayoutState.ON_ALLOCATION),
    )
    print_fleet(fleet_view(FleetStatus(layouts=layouts)))
    lines = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    title = lines.index(["NODE", "MIG LAYOUT", "OFFERS", "WAITING", "MOVED", "STATE"])
    assert lines[title + 1 : title + 4] == [
        ["n0", "all-3g.40gb", "4 of 3g.40gb", "under way"],
        ["n1", "all-3g.40gb", "4 of 3g.40gb", "2", "3", "planned; a policy there lets no pod be moved"],
        ["n2", "3g.40gb", "2", "0", "nothing to lay out: cut when claimed (mfu place --claim)"],
    ]
