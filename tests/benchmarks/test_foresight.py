"""The bound of perfect foresight: against every plan of a short day, and that it is one."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from benchmarks.scaling.deployment import MOST_REPLICAS
from benchmarks.scaling.foresight import MEAN_START_MINUTES, Played, Table, cheapest, least, table


def test_the_plan_is_the_cheapest_of_all() -> None:
    """Five minutes, every plan of up to four replicas tried."""
    chance = np.random.default_rng(3)
    lost = np.full((5, MOST_REPLICAS), 0.0)
    lost[:, :4] = np.sort(chance.uniform(0.0, 0.2, (5, 4)), axis=1)[:, ::-1]
    known = Table(lost, lost / 2)

    def pay(path: tuple[int, ...]) -> float:
        starts = MEAN_START_MINUTES * sum(max(0, b - a) for a, b in pairwise(path))
        broken = sum(
            100.0 * known.late[minute, each - 1] + 50.0 * known.slow[minute, each - 1]
            for minute, each in enumerate(path)
        )
        return float(sum(path) + starts + broken)

    plan = cheapest(known, 100.0, 50.0)
    best = min(product(range(1, 6), repeat=5), key=pay)
    assert pay(tuple(int(each) for each in plan.replicas)) == pytest.approx(pay(best))
    assert plan.gpu_hours * 60.0 == pytest.approx(pay(best) - 100.0 * plan.late - 50.0 * plan.slow)


def test_more_replicas_never_lose_more_and_too_few_lose_all() -> None:
    work = np.array([2.0, 4.0])
    played = [
        Played(1, 0.8, np.array([0.0, 1.0]), np.zeros(2)),
        Played(1, 1.2, np.array([20.0, 10.0]), np.array([4.0, 6.0])),
    ]
    known = table(work, played, np.array([100.0, 100.0]))
    assert known.late[0, 0] == 0.5, "two replicas' work on one"
    assert (np.diff(known.late, axis=1) <= 1e-12).all()
    assert known.late[0, 1] == pytest.approx(10.0 / 200.0), "a load of 1.0 lies half-way"
    assert known.slow[1, 9] == 0.0


def test_the_least_keeps_both() -> None:
    rows = [
        {"gpu_hours": 100.0, "slo_ttft": 0.98, "slo_tpot": 0.99},
        {"gpu_hours": 120.0, "slo_ttft": 0.99, "slo_tpot": 0.99},
        {"gpu_hours": 110.0, "slo_ttft": 0.99, "slo_tpot": 0.97},
    ]
    assert least(rows, {"slo_ttft": 0.985, "slo_tpot": 0.985}) == 120.0
    assert np.isnan(least(rows, {"slo_ttft": 0.999, "slo_tpot": 0.985}))
