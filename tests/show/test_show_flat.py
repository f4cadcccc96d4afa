"""Reports for spreadsheets, and the sentences beside the fleet's figures."""

from __future__ import annotations

import csv
import io

import pytest

from mfu.api.fleetreport import Bill, FleetStatus, PowerFigures, ServiceFigures
from mfu.cli.output import print_csv
from mfu.show.flat import FLEET_CSV, TENANT_CSV, fleet_rows, tenant_rows
from mfu.show.fleet_groups import beside, usage_effectiveness
from tests.builders.seen import example


def test_a_fleet_has_a_row_for_each_group_with_plain_numbers() -> None:
    seen = example()
    assert seen.report is not None
    rows = [dict(zip(FLEET_CSV, row, strict=True)) for row in fleet_rows(seen.report.read())]
    assert rows[0]["group"] == "fleet"
    assert {each["group"] for each in rows} == {"fleet", "product", "namespace", "node"}
    whole = rows[0]
    product = float(whole["scheduling"]) * float(whole["runtime"]) * float(whole["program"])
    assert product == pytest.approx(float(whole["mfu"]), abs=0.001)


def test_a_tenant_has_a_row_for_each_workload() -> None:
    mine = [each for each in example().listed() if each.namespace == "team-vision"]
    (row,) = [dict(zip(TENANT_CSV, each, strict=True)) for each in tenant_rows(mine)]
    assert (row["workload"], row["cause"], row["cost_per_hour"]) == ("faulty-training", "Communication", "20.00")
    assert 0 < float(row["observed"]) < float(row["expected"]) < 1


def test_csv_is_quoted_and_runs_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(("a", "b"), [("one, two", "=HYPERLINK(1)"), ('say "x"', "-0.5")])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["a", "b"], ["one, two", "'=HYPERLINK(1)"], ['say "x"', "-0.5"]]


def test_usage_effectiveness_is_money_of_known_use_over_useful_money() -> None:
    bill = Bill(currency="$", per_hour="188.97", useful="106.35", lost="13.95", unallocated="68.67")
    assert round(usage_effectiveness(bill) or 0, 2) == 1.78
    known = Bill(currency="$", per_hour="200.00", useful="50.00", lost="50.00", unknown="100.00")
    assert usage_effectiveness(known) == 2.0
    assert usage_effectiveness(Bill(currency="$", per_hour="9.00", unallocated="9.00")) is None


def test_what_stands_beside_the_figures() -> None:
    status = FleetStatus(
        services=ServiceFigures(with_objective=5, known=4, kept=3, ttft_share="0.9920"),
        power=PowerFigures(watts="5600", gpus=8, idle_watts="160"),
    )
    assert list(beside(status)) == [
        "Latency objectives: 3 of 4 services keep theirs (75%), 1 more is not known; TTFT in time 99.2%, TPOT Unknown",
        "Power: 5.6 kW of 8 GPUs, 0.2 kW of it held by nobody; 134 kWh a day",
    ]
    silent = FleetStatus(services=ServiceFigures(with_objective=2))
    assert "no engine tells what it takes" in next(beside(silent))
    assert list(beside(FleetStatus())) == []
