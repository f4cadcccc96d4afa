"""Changes that have a place in common, means of days, objectives of services, and power."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.account.factors import Factors
from mfu.account.rollup import Figure
from mfu.api.fleetreport import DayFigures
from mfu.api.workload_status import LatencyObjective
from mfu.engine.history.remembered import WorkloadMemory
from mfu.engine.plan import Latency, WorkloadPlan
from mfu.engine.say.kept import power_row, service_row
from mfu.engine.say.lately import MOST_DAYS, Today, change_rows, trend_rows
from mfu.engine.snapshot import FleetReadings
from mfu.engine.views import NO_STATUS
from mfu.observe.attainment import Attained
from mfu.observe.drift import Drift, DriftKind
from mfu.observe.readings import METRICS, GPUIdentity, GPUKey, Metric
from mfu.observe.whereabouts import Whereabouts
from mfu.show.fleet_groups import change_sentence
from tests.builders.scenes import NOW

DAY = 86_400.0


def plan(name: str, product: str = "H200-SXM", drift: Drift | None = None, **fields: Any) -> WorkloadPlan:
    return WorkloadPlan(
        "team", name, name, NO_STATUS, product=product, memory=replace(WorkloadMemory(), drift=drift), **fields
    )


def fell(at: float = NOW - 600, product: str = "H200-SXM", after: float = 0.368, node: str = "") -> Drift:
    where = Whereabouts(node, None, "SM clock") if node else None
    return Drift(DriftKind.INFRASTRUCTURE, 0.40, after, at, product, where)


def test_one_product_of_two_is_one_row_beside_those_that_did_not_fall() -> None:
    plans = [
        *(plan(f"new-{each}", drift=fell()) for each in range(3)),
        plan("new-3"),
        *(plan(f"old-{each}", "H100-SXM5") for each in range(4)),
    ]
    (row,) = change_rows(plans, NOW)
    assert (row.product, row.workloads, row.others, row.relative) == ("H200-SXM", 3, 1, "-0.0800")
    words = "Infrastructure: 3 workloads on H200-SXM fell by 8.0% (1 others on that product did not)"
    assert change_sentence(row) == words


def test_rows_part_by_place_and_direction_and_the_old_is_gone() -> None:
    plans = [
        plan("a", drift=fell(node="n3")),
        plan("b", drift=fell()),
        plan("c", drift=fell(after=0.44)),
        plan("d", drift=fell(at=NOW - DAY - 1)),
        plan("e", drift=fell(at=NOW + 60)),
    ]
    assert {(row.node, row.direction, row.workloads) for row in change_rows(plans, NOW)} == {
        ("n3", "Fell", 1),
        ("", "Fell", 1),
        ("", "Rose", 1),
    }


def today(mfu: float | None = 0.3, lost: float | None = 10.0) -> Today:
    factors = Factors(scheduling=0.8)
    return Today(Figure(8, 8, mfu, mfu, mfu, 1.0, 0.0, 0.0, 0.0, 16.0, 0.0, factors), lost)


def test_a_day_is_the_mean_of_figures_five_minutes_apart() -> None:
    rows = trend_rows((), today(0.3), NOW)
    assert trend_rows(rows, today(0.9), NOW + 299) == rows
    (row,) = trend_rows(rows, today(0.5), NOW + 300)
    assert (row.mfu, row.samples, row.lost_per_hour) == ("0.4000", 2, "10.00")
    assert trend_rows(rows, today(None), NOW + 600) == rows


def test_days_are_kept_for_a_month_and_stand_in_order() -> None:
    rows: tuple[DayFigures, ...] = ()
    for day in range(40):
        rows = trend_rows(rows, today(), NOW + DAY * day)
    assert len(rows) == MOST_DAYS
    assert [row.day for row in rows] == sorted(row.day for row in rows)


def test_a_time_that_does_not_read_holds_nothing_up() -> None:
    (row,) = trend_rows((), today(0.3), NOW)
    (after,) = trend_rows((row.model_copy(update={"updated_at": "yesterday"}),), today(0.3), NOW + 1)
    assert after.samples == 2


def by_mean(seconds: float | None) -> Latency:
    return Latency((Attained(LatencyObjective.TPOT, 0.03),), seconds)


def timed(first: float | None, each: float | None) -> Latency:
    objectives = ((LatencyObjective.TTFT, first, 400.0), (LatencyObjective.TPOT, each, 100.0))
    return Latency(tuple(Attained(objective, 0.03, share, count) for objective, share, count in objectives))


@pytest.mark.parametrize(
    ("latencies", "row"),
    [
        ([None], None),
        ([by_mean(0.02), by_mean(0.04), by_mean(None), None], (3, 2, 1)),
        ([timed(0.99, 0.96), timed(0.99, 0.9), timed(0.99, None), timed(None, 0.9)], (4, 3, 1)),
    ],
)
def test_objectives_are_counted_where_there_are_any(latencies: list[Latency | None], row: Any) -> None:
    found = service_row([plan(str(number), latency=each) for number, each in enumerate(latencies)])
    assert (found and (found.with_objective, found.known, found.kept)) == row


def test_every_timed_answer_counts_once_in_the_fleet() -> None:
    busy = Latency((Attained(LatencyObjective.TTFT, 0.5, 0.99, 1000.0),))
    slow = Latency((Attained(LatencyObjective.TTFT, 0.2, 0.50, 100.0), Attained(LatencyObjective.TPOT, 0.03)))
    found = service_row([plan("busy", latency=busy), plan("slow", latency=slow)])
    assert found is not None
    assert (found.ttft_share, found.tpot_share) == ("0.9455", None)


def test_each_gpu_counts_once_and_unread_ones_not_at_all() -> None:
    names = [("a", None, "w"), ("a", 1, "w"), ("b", None, None), ("c", None, None)]
    devices = tuple(GPUIdentity(GPUKey(uuid, instance), "x", pod=pod) for uuid, instance, pod in names)
    values = np.full((4, METRICS), np.nan)
    values[:3, Metric.POWER] = [600.0, 600.0, 80.0]
    found = power_row(FleetReadings(devices, values, np.zeros(4)))
    assert found is not None
    assert (found.watts, found.gpus, found.idle_watts) == ("680", 2, "80")
    assert power_row(FleetReadings()) is None
