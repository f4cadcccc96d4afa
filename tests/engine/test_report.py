"""The FleetReport: bounded, worst first, and losses that are waste by who can mend them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from mfu.account.rollup import FleetFigures, Knowledge, RollupRow
from mfu.api.causes import Actor, Cause, Explains
from mfu.api.fleetreport import FleetStatus
from mfu.api.workload_status import Meter
from mfu.decide.types import EffectivePolicy
from mfu.engine.fleet import Sum
from mfu.engine.packed import JSON, dumped
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say.report import MOST, Tally, amount, report
from mfu.engine.views import NO_STATUS
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from tests.builders.cases import case
from tests.builders.rolling import roll_up
from tests.builders.scenes import NOW

EXPECTED = replace(case().expected, mfu=0.4, low=0.36, high=0.44)


def figures(nodes: int = 1, *, mfu: float | None = 0.4, gpus: float = 8) -> FleetFigures:
    """One node a namespace, all alike."""
    knowledge = Knowledge.UNKNOWN if mfu is None else Knowledge.PROGRESS
    rows = [
        RollupRow(f"n{number:03d}", f"team-{number:03d}", "H100-SXM5", gpus, gpus * 1e15, mfu, knowledge, gpus * 2.0)
        for number in range(nodes)
    ]
    return roll_up(rows)


def finding(cause: Cause, share: float | None = 0.1, *, actor: Actor = Actor.TENANT, wasted: bool = True) -> Finding:
    return Finding(cause, 0.9, Explains.RUNTIME, share, None, "mend it", actor, wasted, (), 1.2)


def plan(
    *findings: Finding,
    name: str = "w",
    gpus: int = 8,
    cost: float | None = 16.0,
    lost: float | None = 4.0,
    currency: str = "$",
) -> WorkloadPlan:
    seen = Observation(Window.TEN_MINUTES, Meter.PROGRESS, 0.3, 0.3, None, None, None, 1.0, "test", NOW, 0.9)
    return WorkloadPlan(
        "team-000",
        name,
        f"uid-{name}",
        NO_STATUS,
        expected=EXPECTED,
        assessment=Assessment((seen,), state=TelemetryState.OK),
        findings=findings,
        gpus=gpus,
        policy=EffectivePolicy(currency=currency),
        cost_per_hour=cost,
        lost_per_hour=lost,
    )


def said(figures: FleetFigures, plans: Sequence[WorkloadPlan], products: Mapping[str, str], currency: str) -> JSON:
    """The report as the API server gets it."""
    status = report(Tally(Sum(figures, {}), plans, products, currency), NOW)
    assert status is not None
    return dumped(status)


def test_without_gpus_there_is_nothing_to_report() -> None:
    assert report(Tally(Sum(FleetFigures(), {}), [], {}, "$"), NOW) is None


def test_worked_example() -> None:
    """Two nodes; a quarter of the second's cost is lost to a slow link: 0.1 of 0.4 on 8 of 16 GPUs."""
    told = said(figures(2), [plan(finding(Cause.COMMUNICATION), currency="€")], {"n000": "H100-SXM5"}, "€")
    assert told["summary"] == {
        "gpus": "16/16",
        "mfu": "40.0%",
        "coverage": "100%",
        "cause": "Communication",
        "costPerHour": "€32.00",
        "lostPerHour": "€4.00",
    }
    (loss,) = told["losses"]
    assert (loss["workloads"], loss["share"], loss["lostPerHour"]) == (1, "0.0500", "4.00")
    assert told["totals"]["lostPerHour"] == "4.00"
    assert told["totals"]["coverage"] == {"measured": "1.000", "estimated": "0.000", "unknown": "0.000"}
    assert [each["product"] for each in told["nodes"]] == ["H100-SXM5", ""]


def test_it_is_bounded_whatever_the_fleet() -> None:
    causes = [finding(cause, actor=actor) for cause in Cause for actor in Actor]
    told = said(figures(300), [plan(*causes, name=f"w{number}") for number in range(50)], {}, "$")
    assert len(told["nodes"]) == len(told["namespaces"]) == MOST == 20
    assert len(told["losses"]) <= 40
    assert FleetStatus.model_validate(told).summary is not None


def test_most_unused_peak_first_then_names_and_the_unknown_last() -> None:
    rows = [
        RollupRow("busy", "a", "H100-SXM5", 8, 8e15, 0.6, Knowledge.PROGRESS),
        RollupRow("large", "b", "H100-SXM5", 16, 16e15, 0.6, Knowledge.PROGRESS),
        RollupRow("also-idle", None, "H100-SXM5", 8, 8e15, None, Knowledge.IDLE),
        RollupRow("dark", "c", "H100-SXM5", 99, 99e15, None, Knowledge.UNKNOWN),
        RollupRow("idle", None, "H100-SXM5", 8, 8e15, None, Knowledge.IDLE),
    ]
    told = said(roll_up(rows), [], {}, "$")
    assert [each["node"] for each in told["nodes"]] == ["also-idle", "idle", "large", "busy", "dark"]
    assert "mfu" not in told["nodes"][-1]
    assert told["nodes"][0]["coverage"]["measured"] == "1.000"


LOSSES: dict[str, tuple[list[WorkloadPlan], list[tuple[str, int, str]]]] = {
    "none": ([plan()], []),
    "what is no waste is no loss": ([plan(finding(Cause.MEMORY_BOUND, wasted=False))], []),
    "a share that is not known is not added up": ([plan(finding(Cause.STRAGGLER, None))], []),
    "workloads are added up by their GPUs": (
        [plan(finding(Cause.STRAGGLER)), plan(finding(Cause.STRAGGLER), name="v", gpus=4)],
        [("Straggler", 2, "0.1500")],
    ),
    "a slice counts as its share": (
        [replace(plan(finding(Cause.STRAGGLER), gpus=2), gpu_share=0.25)],
        [("Straggler", 1, "0.0063")],
    ),
    "the largest first": (
        [plan(finding(Cause.STRAGGLER, 0.05), finding(Cause.COMMUNICATION, 0.2))],
        [("Communication", 1, "0.2000"), ("Straggler", 1, "0.0500")],
    ),
    "of two actors the one with more": (
        [plan(finding(Cause.STRAGGLER, 0.05)), plan(finding(Cause.STRAGGLER, 0.1, actor=Actor.PROVIDER), name="v")],
        [("Straggler", 1, "0.1000")],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    plans, want = LOSSES[name]
    told = said(figures(), plans, {}, "$").get("losses", [])
    assert [(each["cause"], each["workloads"], each["share"]) for each in told] == want


def test_money_is_unknown_where_no_price_is() -> None:
    told = said(figures(), [plan(finding(Cause.STRAGGLER), cost=None, lost=None)], {}, "$")
    assert "lostPerHour" not in told["losses"][0]
    assert "lostPerHour" not in told["totals"]
    assert told["summary"]["lostPerHour"] == "Unknown"


def test_a_cause_takes_no_more_than_the_workload_costs() -> None:
    """A share above what was expected is still at most the whole cost."""
    told = said(figures(), [plan(finding(Cause.STRAGGLER, 0.9))], {}, "$")
    assert told["losses"][0]["lostPerHour"] == "16.00"


def test_no_cause_is_said_only_where_something_was_judged() -> None:
    assert said(figures(), [plan(lost=0.0)], {}, "$")["summary"]["cause"] == "None"
    assert said(figures(), [replace(plan(), assessment=None)], {}, "$")["summary"]["cause"] == "Unknown"
    assert said(figures(), [], {}, "$")["summary"]["cause"] == "Unknown"


def test_no_cause_never_stands_beside_a_loss() -> None:
    assert said(figures(), [plan(lost=4.0)], {}, "$")["summary"]["cause"] == "Unknown"


def test_two_currencies_are_never_added_up() -> None:
    plans = [plan(finding(Cause.STRAGGLER)), plan(finding(Cause.STRAGGLER), name="v", currency="€")]
    told = said(figures(2), plans, {}, "$")
    assert (told["summary"]["lostPerHour"], told["losses"][0]["lostPerHour"]) == ("$4.00", "4.00")
    assert told["losses"][0]["workloads"] == 2


def test_an_unknown_fleet_is_unknown() -> None:
    told = said(figures(mfu=None), [], {}, "$")
    assert (told["summary"]["mfu"], told["summary"]["coverage"]) == ("Unknown", "0%")
    assert "mfu" not in told["totals"]


def test_amounts_of_gpus() -> None:
    assert [amount(each) for each in (8.0, 1 / 7, 0.5, 100.0, 0.0)] == ["8", "0.14", "0.5", "100", "0"]
