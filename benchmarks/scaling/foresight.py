"""The fewest GPU-hours with which a scaler that knows the whole day could keep a promise as often: a bound for all.

Every minute of a day is played with several numbers of replicas that serve the moment they are asked for. What each
number breaks in each minute is then a table, and the cheapest plan through it, start-ups paid, is found by Lagrange's
multipliers and dynamic programming. What one minute leaves to the next is not in the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from multiprocessing import Pool
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np

from benchmarks.scaling.day import DAY_SECONDS, Day
from benchmarks.scaling.deployment import MOST_REPLICAS, Case, Metrics, simulate
from benchmarks.scaling.service_times import Floats, fitted

MINUTES: Final = DAY_SECONDS // 60
LOADS: Final = (0.65, 0.72, 0.78, 0.84, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)
"""Work per replica that is played, in replicas that never pause at a batch of 64; larger batches carry more."""
MEAN_START_MINUTES: Final = 4.5
"""GPU time of one start, paid before it serves."""
SEEDS: Final = (1, 2, 3, 4, 5)
PRICES: Final = (3e2, 1e3, 3e3, 1e4, 2e4, 3e4, 6e4, 1e5, 2e5, 4e5, 1e6, 3e6)
"""GPU-minutes that all requests of a day may cost, by which one promise is weighed against the other."""
RESULTS: Final = Path(__file__).parents[1] / "results"


class Planned:
    """Follows a plan of one number a minute, and counts what was late in each."""

    def __init__(self, plan: Floats) -> None:
        self._plan = plan
        self.late, self.slow = np.zeros(MINUTES), np.zeros(MINUTES)

    def replicas(self, seen: Metrics | None) -> int | None:
        assert seen is not None, "no lens lies between"
        minute = int(seen.at) // 60
        if int(seen.at) % 60 == 0 and minute > 0:
            self.late[minute - 1], self.slow[minute - 1] = seen.late_first_tokens, seen.slow_answers
        return int(self._plan[minute])


def at_load(day: Day, load: float) -> Floats:
    """Replicas of each minute so that each carries at most `load`."""
    return np.clip(np.ceil(day.work() / load), 1, MOST_REPLICAS)


@dataclass(frozen=True)
class Played:
    """One day at one load, minute by minute: requests whose first token was late, and whose answer was slow."""

    seed: int
    load: float
    late: Floats
    slow: Floats


@dataclass(frozen=True)
class Table:
    """What a number of replicas breaks, minute by minute: shares of the day's requests, shape (minutes, replicas)."""

    late: Floats
    slow: Floats


def table(work: Floats, played: Sequence[Played], arriving: Floats) -> Table:
    """Of one day. Between two loads in a straight line; above the largest one, all that arrives is lost."""
    loads = np.array([each.load for each in played])
    numbers = np.arange(1, MOST_REPLICAS + 1)
    wanted = work[:, None] / numbers[None, :]
    ranks = np.interp(wanted, loads, np.arange(len(loads)))
    low = np.floor(ranks).astype(int)
    high, share = np.minimum(low + 1, len(loads) - 1), ranks - low
    minutes = np.arange(len(work))[:, None]

    def lost(counts: Floats) -> Floats:
        rising = np.maximum.accumulate(counts, axis=1)
        between = rising[minutes, low] * (1 - share) + rising[minutes, high] * share
        found: Floats = np.where(wanted > loads[-1], arriving[:, None], between) / arriving.sum()
        return found

    late, slow = (np.stack(columns, axis=1) for columns in zip(*((p.late, p.slow) for p in played), strict=True))
    return Table(lost(late), lost(slow))


@dataclass(frozen=True)
class Plan:
    replicas: Floats
    gpu_hours: float
    late: float
    slow: float


def cheapest(known: Table, price_late: float, price_slow: float) -> Plan:
    """The path with the fewest GPU-minutes, each broken promise priced in GPU-minutes a day's share, starts paid."""
    pay = np.arange(1, MOST_REPLICAS + 1) + price_late * known.late + price_slow * known.slow
    numbers = np.arange(MOST_REPLICAS)
    change = MEAN_START_MINUTES * np.maximum(0, numbers[None, :] - numbers[:, None])
    best, came = pay[0].copy(), np.zeros(pay.shape, dtype=int)
    for minute in range(1, len(pay)):
        ways = best[:, None] + change
        came[minute] = ways.argmin(axis=0)
        best = ways.min(axis=0) + pay[minute]
    path = np.zeros(len(pay), dtype=int)
    path[-1] = int(best.argmin())
    for minute in range(len(pay) - 1, 0, -1):
        path[minute - 1] = came[minute, path[minute]]
    rows = np.arange(len(pay))
    starts = MEAN_START_MINUTES * np.maximum(0, np.diff(path)).sum()
    hours = float((path + 1).sum() + starts) / 60.0
    return Plan(path + 1.0, hours, float(known.late[rows, path].sum()), float(known.slow[rows, path].sum()))


def play(runs: Sequence[tuple[int, float]]) -> list[Played]:
    """Days at loads, side by side, with replicas that serve the moment they are asked for."""
    law = fitted()
    days = {seed: Day(seed, law) for seed, _ in runs}
    plans = [Planned(at_load(days[seed], load)) for seed, load in runs]
    cases = [
        Case(days[seed], plan, first=int(at_load(days[seed], load)[0]), start_seconds=(0.0, 0.0))
        for (seed, load), plan in zip(runs, plans, strict=True)
    ]
    simulate(cases, law)
    return [Played(seed, load, plan.late, plan.slow) for (seed, load), plan in zip(runs, plans, strict=True)]


def tables(played: Sequence[Played]) -> dict[int, Table]:
    law, middle = fitted(), np.arange(0.0, DAY_SECONDS, 60.0) + 30.0
    found = {}
    for seed in sorted({each.seed for each in played}):
        day = Day(seed, law)
        mine = sorted((each for each in played if each.seed == seed), key=lambda each: each.load)
        found[seed] = table(day.work(), mine, day.rates(middle).sum(axis=0) * 60.0)
    return found


def frontier(known: Mapping[int, Table]) -> list[dict[str, float]]:
    """GPU-hours and promises kept, means of the days, by what the promises are weighed."""
    rows = []
    for late, slow in product(PRICES, PRICES):
        plans = [cheapest(each, late, slow) for each in known.values()]
        rows.append(
            {
                "gpu_hours": mean(each.gpu_hours for each in plans),
                "slo_ttft": 1.0 - mean(each.late for each in plans),
                "slo_tpot": 1.0 - mean(each.slow for each in plans),
            }
        )
    return rows


def least(rows: Sequence[Mapping[str, float]], kept: Mapping[str, float]) -> float:
    """GPU-hours of the cheapest row that keeps both promises at least as often."""
    enough = [each for each in rows if all(each[name] >= kept[name] for name in ("slo_ttft", "slo_tpot"))]
    return min((each["gpu_hours"] for each in enough), default=float("nan"))


def bounds(rows: Sequence[Mapping[str, float]], answer: Mapping[str, Any]) -> dict[str, float]:
    """By scaler of `results/scaling.json`, what foresight needs to keep as much as it."""
    return {name: least(rows, row) for name, row in answer.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    jobs = parser.parse_args().jobs
    runs = [(seed, load) for seed in SEEDS for load in LOADS]
    with Pool(jobs) as pool:
        played = [each for part in pool.map(play, [runs[one::jobs] for one in range(jobs)]) for each in part]
    rows = frontier(tables(played))
    (RESULTS / "scaling_foresight.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    answer = json.loads((RESULTS / "scaling.json").read_text(encoding="utf-8"))
    for name, hours in bounds(rows, answer).items():
        print(f"{name}: {answer[name]['gpu_hours']:.0f} GPU-hours, foresight {hours:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
