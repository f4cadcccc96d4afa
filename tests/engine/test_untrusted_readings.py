"""What a workload's own summary calls unknown moves no figure of node, namespace or fleet; all numbers are finite."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from mfu.account.rollup import Knowledge, RollupRow
from mfu.api.fleetreport import Figures, FleetStatus, FleetSummary
from mfu.controller.metrics import PlanCollector
from mfu.engine.evaluate import evaluate
from mfu.engine.fleet import add_up
from mfu.engine.plan import Plan
from mfu.engine.say.events import on_fleet
from mfu.engine.snapshot import FleetReadings, Snapshot
from mfu.observe.readings import Counter, WorkloadSeries
from mfu.predict.types import Scale
from mfu.units import decimal, gibibytes, money, percent, points
from tests.builders.cases import node
from tests.builders.rolling import roll_up
from tests.builders.scenes import NOW, pod, series, workload

BAD, GOOD = workload(), workload("good", namespace="team-b")


def judged(bad: WorkloadSeries | None) -> Plan:
    own = {GOOD.key: series(GOOD, 0.4, pod_name="good-0"), **({BAD.key: bad} if bad else {})}
    pods = (pod(), pod("good-0", "good", namespace="team-b", node="n1"))
    return evaluate(Snapshot(workloads=(BAD, GOOD), pods=pods, nodes=(node("n0"), node("n1")), series=own), NOW)


def without_counters(factor: float) -> WorkloadSeries:
    found = series(BAD, 0.4)
    counted = tuple(
        replace(each, counters={Counter.TRAINED_TOKENS: each.counters[Counter.TRAINED_TOKENS] * factor})
        for each in found.progress
    )
    return replace(found, values=found.values * np.nan, progress=counted)


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e18])
def test_a_workload_beyond_what_hardware_can_do_is_unknown_everywhere(factor: float) -> None:
    plan = judged(without_counters(factor))
    honest = judged(None).figures
    summary = plan.workloads[0].status.document()["summary"]
    assert summary["observed"] == "Unknown"
    assert plan.figures.fleet is not None
    assert honest.fleet is not None
    assert plan.figures.fleet.mfu == honest.fleet.mfu
    assert plan.figures.namespaces["team-a"].mfu is None
    assert plan.figures.nodes["n0"].mfu is None


def test_what_has_no_number_on_its_own_scale_is_unknown_to_the_fleet() -> None:
    """A decode whose bandwidth nobody read: the MFU that counters make of it is no answer, to it or to the fleet."""
    plan = judged(series(BAD, 0.4))
    ground, bad = plan.ground, plan.workloads[0]
    assert ground is not None and bad.expected is not None
    decode = replace(bad, expected=replace(bad.expected, scale=Scale.MBU, mbu=0.6))
    nodes = {each.name: each for each in ground.made_from.nodes}
    found = add_up(ground, (decode, *plan.workloads[1:]), FleetReadings(), nodes).figures
    assert found.namespaces["team-a"].mfu is None
    assert found.namespaces["team-b"].mfu is not None
    assert add_up(ground, plan.workloads, FleetReadings(), nodes).figures.namespaces["team-a"].mfu is not None


@pytest.mark.parametrize("factor", [1.0, 1e6, 1e18, -1.0])
def test_no_number_that_leaves_is_infinite(factor: float) -> None:
    plan = judged(without_counters(factor))
    registry = CollectorRegistry()
    registry.register(PlanCollector(lambda: plan))
    said = json.dumps([each.status.document() for each in plan.workloads] + [plan.report.document()])
    page = generate_latest(registry).decode()
    for text in (said, page):
        assert not [word for word in ("NaN", "Inf", "nan", "inf") if f" {word}" in text or f"+{word}" in text]
    bad = [line for line in page.splitlines() if 'workload="w"' in line and "observed_mfu" in line]
    assert all(float(line.rpartition(" ")[2]) <= 1.05 for line in bad)


@pytest.mark.parametrize("value", [inf, -inf, nan])
def test_units_say_unknown(value: float) -> None:
    assert percent(value) == points(value) == money(value) == gibibytes(value) == "Unknown"
    assert decimal(value) is None


def row(gpus: float, mfu: float | None, knowledge: Knowledge, namespace: str | None = "a") -> RollupRow:
    return RollupRow("n", namespace, "H100-SXM5", gpus, gpus * 1e15, mfu, knowledge, gpus * 2.0)


def test_with_all_telemetry_refused_the_fleet_is_unknown_and_not_zero() -> None:
    fleet = roll_up([row(8, None, Knowledge.UNKNOWN), row(56, None, Knowledge.IDLE, None)]).fleet
    assert fleet is not None
    assert (fleet.mfu, fleet.allocated_mfu, fleet.price_weighted_mfu) == (None, None, None)
    assert fleet.unknown == pytest.approx(8 / 64)


@pytest.mark.parametrize(("known", "shown"), [(3, False), (4, True)])
def test_half_of_what_is_held_must_be_known(known: int, shown: bool) -> None:
    rows = [row(known, 0.4, Knowledge.PROGRESS), row(8 - known, None, Knowledge.UNKNOWN)]
    fleet = roll_up(rows).fleet
    assert fleet is not None
    assert (fleet.mfu is not None) is shown


def test_a_fleet_that_nobody_uses_is_at_zero() -> None:
    fleet = roll_up([row(8, None, Knowledge.IDLE, None)]).fleet
    assert fleet is not None
    assert fleet.mfu == 0.0


@given(st.lists(st.sampled_from([inf, -inf, nan, 1e308, -0.5, 5.0, 0.4]), min_size=1, max_size=8))
def test_whatever_is_read_figures_are_finite_and_possible(values: list[float]) -> None:
    fleet = roll_up([row(1, value, Knowledge.PROGRESS) for value in values]).fleet
    assert fleet is not None
    assert fleet.mfu is None or 0.0 <= fleet.mfu <= 4.2
    assert fleet.unknown == pytest.approx(sum(value != 0.4 for value in values) / len(values))


@pytest.mark.parametrize(
    ("before", "now", "reason"),
    [
        ("41.2%", "Unknown", "FleetUnknown"),
        ("Unknown", "41.2%", "FleetKnown"),
        ("41.2%", "40.0%", None),
        ("Unknown", "Unknown", None),
        (None, "Unknown", "FleetUnknown"),
        (None, "41.2%", None),
    ],
)
def test_the_fleets_figure_going_and_coming_is_told_once(before: str | None, now: str, reason: str | None) -> None:
    def status(mfu: str) -> FleetStatus:
        figure = None if mfu == "Unknown" else "0.4"
        return FleetStatus(summary=FleetSummary(mfu=mfu, coverage="12%"), totals=Figures(mfu=figure))

    found = on_fleet(status(before) if before else FleetStatus(), status(now))
    assert [each.reason for each in found] == ([reason] if reason else [])
