"""The same 300 jobs on the same 64 nodes three times: the default scheduler, Kueue, and ours on the default scheduler.

`make bench-placement` or `python -m benchmarks.bench_placement`: real API server, scheduler and Kueue, KWOK for
kubelets; about six minutes a contender and seed. `--contender` and `--seed` run a part of it. All results are kept in
benchmarks/results/placement.json, those of the seed that is the worst for ours on top; benchmarks/placement.md shows
them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.placement.contenders import Contender, prepare, running
from benchmarks.placement.drive import play
from benchmarks.placement.fleet import fleet
from benchmarks.placement.score import score
from benchmarks.placement.table import summary, table
from benchmarks.placement.work import ARRIVE_WITHIN_SECONDS, work
from benchmarks.placement_truth import Truth
from e2e.testbed.cluster.plane import ControlPlane

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "results" / "placement.json"
PAGE: Final = ROOT / "benchmarks" / "placement.md"
SEEDS: Final = (1, 2, 3)
NODES, JOBS, LIMIT_SECONDS = 64, 300, 480.0


def one(contender: Contender, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One run of one contender in one seed's world."""
    nodes, jobs = fleet(seed, args.nodes), work(seed, args.jobs, args.within)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mfu-placement-") as name, ControlPlane.start() as plane:
        plane.keep_logs = args.keep_logs
        prepare(plane, nodes)
        with running(contender, plane, nodes, Path(name)):
            drive = asyncio.run(
                play(
                    plane.kubeconfig,
                    contender,
                    nodes=nodes,
                    jobs=jobs,
                    truth=Truth(seed),
                    limit_seconds=args.limit,
                )
            )
    found = score(drive)
    return {**found, "seed": seed, "load_average_before": round(load, 1), "date": time.strftime("%Y-%m-%d")}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", type=Contender, choices=list(Contender), action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--within", type=float, default=ARRIVE_WITHIN_SECONDS, help="seconds in which all jobs arrive")
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds after which a run is cut")
    parser.add_argument("--keep-logs", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args(argv)
    known: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    runs = {(each["contender"], each["seed"]): each for each in known.get("runs", [])}
    for seed in args.seed or SEEDS:
        for contender in args.contender or list(Contender):
            found = one(contender, seed, args)
            print(contender, json.dumps(found), flush=True)
            runs[contender.value, seed] = {"contender": contender.value, **found}
            args.out.parent.mkdir(exist_ok=True)
            args.out.write_text(json.dumps(summary(list(runs.values())), indent=2) + "\n")
    if args.out == RESULT:
        PAGE.write_text(table(json.loads(args.out.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
