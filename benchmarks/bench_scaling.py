"""Replicas for a day of real requests: ours against the scalers of today, each tuned on other days.

`make bench-scaling`, or `python -m benchmarks.bench_scaling`: writes benchmarks/scaling.md and results/scaling.json.
About five minutes of one core, and a C compiler.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing import Pool
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.scaling.day import Day
from benchmarks.scaling.deployment import Case, Outcome, Scaler, simulate
from benchmarks.scaling.foresight import bounds
from benchmarks.scaling.lies import LIES, for_an_hour
from benchmarks.scaling.ours import Ours
from benchmarks.scaling.rivals import WVA, HPAOnQueue, HPAOnUtilisation, KEDAOnTokens
from benchmarks.scaling.service_times import fitted
from benchmarks.scaling.table import page

HERE: Final = Path(__file__).parent
TUNED_ON: Final = (100, 101, 102, 103)
SEEDS: Final = (1, 2, 3, 4, 5)
LEVELS: Final = (0.99, 0.995, 0.999)
"""Shares of requests for which both promises are to be kept on the tuning days; the first is MLPerf's percentile."""
COMPARED_AT: Final = 0.999
"""The level of the main table."""
BEGIN, SECONDS = 8 * 3600, 3 * 3600
"""The part of a day in which metrics lie."""
FIRST: Final = 12
"""Replicas that it begins with."""


@dataclass(frozen=True)
class Candidate:
    """One scaler: how it is made, and the settings among which it is tuned."""

    make: Callable[..., Scaler]
    grid: tuple[tuple[Any, ...], ...]


CANDIDATES: Final[dict[str, Candidate]] = {
    "ours": Candidate(Ours, tuple((each,) for each in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4))),
    "keda-all-tokens": Candidate(
        KEDAOnTokens, tuple(("all", 1e3 * each, 60.0) for each in (12, 13.5, 15, 16.5, 18, 19.5, 21, 22.5))
    ),
    "keda-output-tokens": Candidate(
        KEDAOnTokens, tuple(("output", each, 60.0) for each in (700.0, 850.0, 1000.0, 1200.0, 1400.0))
    ),
    "hpa-queue": Candidate(
        HPAOnQueue, ((0.25, 60.0), (0.5, 60.0), (1.0, 60.0), (2.0, 60.0), (0.5, 300.0), (1.0, 300.0))
    ),
    "hpa-gpu-utilisation": Candidate(HPAOnUtilisation, ((0.8, 60.0), (0.9, 60.0))),
    "wva": Candidate(
        WVA,
        (*((most, 20.0, 120.0) for most in (2, 3, 4, 6, 8)), *((most, 60.0, 120.0) for most in (3, 4, 8))),
    ),
}


@dataclass(frozen=True)
class Run:
    """One day, or a part of one, with one setting."""

    name: str
    setting: tuple[Any, ...]
    seed: int
    lie: str = ""


@dataclass(frozen=True)
class Result:
    gpu_hours: float
    slo_ttft: float
    slo_tpot: float
    direction_changes_per_hour: float
    most_replicas: int

    @property
    def kept(self) -> float:
        """Of the promise that is kept less often."""
        return min(self.slo_ttft, self.slo_tpot)


def measure(runs: Sequence[Run]) -> list[tuple[Run, Result]]:
    """Runs of one day; either the whole of it or the part in which metrics lie. Says on standard error what came."""
    law = fitted()
    day = Day(runs[0].seed, law)
    cases = [
        Case(
            day,
            CANDIDATES[run.name].make(*run.setting),
            for_an_hour(run.lie) if run.lie in LIES else None,
            first=FIRST if run.lie else 4,
        )
        for run in runs
    ]
    part = {"seconds": SECONDS, "begin": BEGIN} if runs[0].lie else {}
    found = [(run, result(outcome)) for run, outcome in zip(runs, simulate(cases, law, **part), strict=True)]
    for run, each in found:
        said = f"{each.gpu_hours:.0f} GPU-hours, {each.slo_ttft:.4f} and {each.slo_tpot:.4f} kept"
        print(f"{run.name} {run.setting} day {run.seed} {run.lie}: {said}", file=sys.stderr, flush=True)
    return found


def result(outcome: Outcome) -> Result:
    return Result(
        outcome.gpu_hours,
        outcome.slo_ttft,
        outcome.slo_tpot,
        outcome.direction_changes_per_hour,
        max(outcome.replicas),
    )


def measured(runs: Sequence[Run], jobs: int) -> dict[Run, Result]:
    """A process takes one day after the other."""
    days = [[run for run in runs if run.seed == seed] for seed in dict.fromkeys(run.seed for run in runs)]
    with Pool(jobs) as pool:
        found = dict(pair for pairs in pool.imap_unordered(measure, days) for pair in pairs)
    return {run: found[run] for run in runs}


Grid = Mapping[tuple[Any, ...], Result]
"""Of one scaler: what each of its settings came to, in the mean of some days."""


def grids(found: Mapping[Run, Result], names: Sequence[str]) -> dict[str, Grid]:
    """By scaler, means of the days by setting."""
    return {
        name: {
            setting: mean_of([found[Run(name, setting, seed)] for seed in TUNED_ON])
            for setting in CANDIDATES[name].grid
        }
        for name in names
    }


def mean_of(results: Sequence[Result]) -> Result:
    """`most_replicas` is the most of any."""
    return replace(Result(**together(results)), most_replicas=max(each.most_replicas for each in results))


def tuned(grid: Grid, level: float) -> tuple[Any, ...]:
    """The cheapest setting that keeps both promises so often, else the one that keeps them most often."""
    keeping = [setting for setting, result in grid.items() if result.kept >= level]
    if keeping:
        return min(keeping, key=lambda each: grid[each].gpu_hours)
    return max(grid, key=lambda each: grid[each].kept)


def choose(found: Mapping[str, Grid]) -> dict[str, tuple[Any, ...]]:
    """All at one level, from the tuning days alone."""
    return {name: tuned(grid, COMPARED_AT) for name, grid in found.items()}


def together(results: Iterable[Result]) -> dict[str, Any]:
    rows = [asdict(each) for each in results]
    return {key: mean(row[key] for row in rows) for key in rows[0]}


def compared(jobs: int, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """All of them; with `known` results of the rivals, ours alone."""
    names = ("ours",) if known else tuple(CANDIDATES)
    found = grids(
        measured([Run(n, each, seed) for seed in TUNED_ON for n in names for each in CANDIDATES[n].grid], jobs), names
    )
    if known:
        found = {**{name: _read(row["grid"]) for name, row in known.items()}, **found}
    chosen = choose(found)
    levels = {name: {level: tuned(found[name], level) for level in LEVELS} for name in names}
    settings = {name: list(dict.fromkeys((chosen[name], *levels[name].values()))) for name in names}
    days = measured([Run(n, each, seed) for seed in SEEDS for n in names for each in settings[n]], jobs)
    lies = ("honest", *LIES)
    lied = measured([Run(name, chosen[name], SEEDS[0], lie) for lie in lies for name in names], jobs)
    return {name: _row(name, found[name], chosen[name], levels[name], days, lied) for name in names}


def _row(
    name: str,
    grid: Grid,
    setting: tuple[Any, ...],
    levels: Mapping[float, tuple[Any, ...]],
    days: Mapping[Run, Result],
    lied: Mapping[Run, Result],
) -> dict[str, Any]:
    def graded(one: tuple[Any, ...]) -> dict[str, Any]:
        return {**together(days[Run(name, one, seed)] for seed in SEEDS), "setting": list(one)}

    lies = {lie: lied[Run(name, setting, SEEDS[0], lie)] for lie in ("honest", *LIES)}
    return {
        **graded(setting),
        "days": {str(seed): asdict(days[Run(name, setting, seed)]) for seed in SEEDS},
        "levels": {
            f"{level:.1%}": {**graded(one), "reached": grid[one].kept >= level} for level, one in levels.items()
        },
        "grid": [{"setting": list(each), **asdict(result)} for each, result in grid.items()],
        "most_replicas_when": {lie: each.most_replicas for lie, each in lies.items()},
        "slo_ttft_when": {lie: each.slo_ttft for lie, each in lies.items()},
    }


def _read(rows: Sequence[Mapping[str, Any]]) -> Grid:
    return {tuple(row["setting"]): Result(**{key: row[key] for key in row if key != "setting"}) for row in rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only-ours", action="store_true", help="run ours anew and keep the rivals as committed")
    asked = parser.parse_args()
    results = HERE / "results" / "scaling.json"
    results.parent.mkdir(exist_ok=True)
    # Days, engines and rivals are the same to the last bit as long as their code is.
    known = json.loads(results.read_text(encoding="utf-8")) if asked.only_ours else None
    answer = {**(known or {}), **compared(asked.jobs, known)}
    results.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    text = page(answer, bounds(json.loads((HERE / "results" / "scaling_foresight.json").read_text()), answer))
    (HERE / "scaling.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
