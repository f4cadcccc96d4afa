"""Replicas for a day of real requests: ours against the scalers of today, each tuned on another day.

`make bench-scaling`, or `python -m benchmarks.bench_scaling`: writes benchmarks/scaling.md and results/scaling.json.
About ten minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
TUNED_ON: Final = 100
SEEDS: Final = (1, 2, 3, 4, 5)
KEPT: Final = 0.99
"""Share of requests for which both promises are to be kept: MLPerf's percentile."""
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
    "ours": Candidate(Ours, ((1.0, 20.0),)),
    "keda-all-tokens": Candidate(KEDAOnTokens, tuple(("all", 1e3 * each, 60.0) for each in (18, 19.5, 21, 22.5))),
    "keda-output-tokens": Candidate(KEDAOnTokens, tuple(("output", each, 60.0) for each in (700.0, 1000.0, 1400.0))),
    "hpa-queue": Candidate(HPAOnQueue, tuple((each, 60.0) for each in (1.0, 2.0, 4.0, 8.0))),
    "hpa-gpu-utilisation": Candidate(HPAOnUtilisation, ((0.7, 60.0), (0.9, 60.0))),
    "wva": Candidate(WVA, ((1, 20.0, 120.0), (4, 20.0, 120.0))),
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
    def keeps(self) -> bool:
        return min(self.slo_ttft, self.slo_tpot) >= KEPT


def measure(runs: Sequence[Run]) -> list[tuple[Run, Result]]:
    """Runs side by side; either whole days or the part in which metrics lie."""
    law = fitted()
    days = {run.seed: Day(run.seed, law) for run in runs}
    cases = [
        Case(
            days[run.seed],
            CANDIDATES[run.name].make(*run.setting),
            for_an_hour(run.lie) if run.lie in LIES else None,
            first=FIRST if run.lie else 4,
        )
        for run in runs
    ]
    part = {"seconds": SECONDS, "begin": BEGIN} if runs[0].lie else {}
    return [(run, result(outcome)) for run, outcome in zip(runs, simulate(cases, law, **part), strict=True)]


def result(outcome: Outcome) -> Result:
    return Result(
        outcome.gpu_hours,
        outcome.slo_ttft,
        outcome.slo_tpot,
        outcome.direction_changes_per_hour,
        max(outcome.replicas),
    )


def measured(runs: Sequence[Run], jobs: int) -> dict[Run, Result]:
    """Every `jobs`-th run in one process."""
    with Pool(jobs) as pool:
        found = dict(pair for pairs in pool.map(measure, [runs[each::jobs] for each in range(jobs)]) for pair in pairs)
    for run, each in found.items():
        said = f"{each.gpu_hours:.0f} GPU-hours, {each.slo_ttft:.4f} and {each.slo_tpot:.4f} kept"
        print(f"{run.name} {run.setting} day {run.seed} {run.lie}: {said}", file=sys.stderr, flush=True)
    return found


def tuned(found: dict[Run, Result], name: str) -> tuple[Any, ...]:
    """The cheapest setting that keeps both promises often enough, else the one that keeps them most often."""
    mine = {run.setting: result for run, result in found.items() if run.name == name}
    keeping = [setting for setting, result in mine.items() if result.keeps]
    if keeping:
        return min(keeping, key=lambda each: mine[each].gpu_hours)
    return max(mine, key=lambda each: min(mine[each].slo_ttft, mine[each].slo_tpot))


def together(results: Iterable[Result]) -> dict[str, float]:
    rows = [asdict(each) for each in results]
    return {key: mean(row[key] for row in rows) for key in rows[0]}


def _days(chosen: Mapping[str, tuple[Any, ...]]) -> list[Run]:
    return [Run(name, setting, seed) for seed in SEEDS for name, setting in chosen.items()]


def compared(jobs: int, names: Sequence[str]) -> dict[str, Any]:
    tries = [Run(n, each, TUNED_ON) for n in names for each in CANDIDATES[n].grid]
    if len(tries) == len(names):
        # Nothing is to be chosen: all days beside each other.
        chosen = {run.name: run.setting for run in tries}
        played = measured([*tries, *_days(chosen)], jobs)
        grid, days = ({run: played[run] for run in runs} for runs in (tries, _days(chosen)))
    else:
        grid = measured(tries, jobs)
        chosen = {name: tuned(grid, name) for name in names}
        days = measured(_days(chosen), jobs)
    lies = ("honest", *LIES)
    lied = measured([Run(name, chosen[name], SEEDS[0], lie) for lie in lies for name in chosen], jobs)
    answer: dict[str, Any] = {}
    for name, setting in chosen.items():
        mine = {run.seed: result for run, result in days.items() if run.name == name}
        answer[name] = {
            **together(mine.values()),
            "setting": list(setting),
            "days": {str(seed): asdict(mine[seed]) for seed in SEEDS},
            "grid": [{"setting": list(r.setting), **asdict(v)} for r, v in grid.items() if r.name == name],
            "most_replicas_when": {lie: lied[Run(name, setting, SEEDS[0], lie)].most_replicas for lie in lies},
            "slo_ttft_when": {lie: lied[Run(name, setting, SEEDS[0], lie)].slo_ttft for lie in lies},
        }
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", choices=tuple(CANDIDATES), help="run one anew and keep the others as committed")
    asked = parser.parse_args()
    results = HERE / "results" / "scaling.json"
    results.parent.mkdir(exist_ok=True)
    answer = compared(asked.jobs, [asked.only] if asked.only else list(CANDIDATES))
    if asked.only:
        # Days, engines and rivals are the same to the last bit as long as their code is.
        answer = {**json.loads(results.read_text(encoding="utf-8")), **answer}
    results.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    text = page(answer, bounds(json.loads((HERE / "results" / "scaling_foresight.json").read_text()), answer))
    (HERE / "scaling.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
