"""The operator at full scale on a real API server, with real writes and telemetry of every GPU.

`make bench-scale` or `python -m benchmarks.bench_scale`: 10,000 ModelWorkloads, 5,000 nodes, 40,000 GPU pods. A cold
start; once all was judged anew after it, a quiet phase (a change every two seconds, to have news at all) and one of 20
changes a second; meanwhile readers hold the metrics page open and do not read. Writes benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from benchmarks.bench_cold_start import wipe
from benchmarks.measure import reference_seconds
from benchmarks.scale.fleet import Size, fill
from benchmarks.scale.news import Answers, Changes, watch
from benchmarks.scale.operator import OLDEST, Running, Sampled, operator, slow_readers
from e2e.testbed.cluster.plane import ControlPlane

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "results" / "scale.json"
QUIET_PER_SECOND, CHURN_PER_SECOND = 0.5, 20.0
LAST_NEWS_SECONDS: Final = 5.0
"""Changes of the last moments of a phase have this long to be answered; what is not then counts as it has waited."""
COLD_START_SECONDS: Final = 900.0
"""A start that has not said everything by then has not; the phases are measured all the same."""
SETTLE_SECONDS: Final = 420.0
"""Judgements of the start itself have this long to be made again before the phases; then they count as they are."""
TELL_SECONDS: Final = 10.0
"""Between two lines about a cold start under way."""
SAMPLE_SECONDS: Final = 10.0
"""Between two scrapes of the operator's own page."""
COUNTED: Final = ("mfu_operator_writes{", "mfu_operator_cycles_total{", "mfu_operator_relists{")
"""What the operator itself counted, kept beside what was seen of it."""


def p99(values: list[float]) -> float | None:
    return round(quantiles(values, n=100, method="inclusive")[98], 3) if len(values) > 1 else None


async def cold_start(running: Running, answers: Answers, size: Size, longest: float) -> dict[str, Any]:
    """Until every workload has an answer, or `longest` seconds."""
    began = told = time.monotonic()
    while len(answers.generations) < size.workloads:
        now = time.monotonic()
        if now - began > longest:
            break
        if now - told >= TELL_SECONDS:
            told = now
            said, cpu = len(answers.generations), running.cpu_seconds()
            print(f"after {now - began:.0f} s: {said} of {size.workloads} said, {cpu:.0f} CPU-seconds", flush=True)
        await asyncio.sleep(0.5)
    return {
        "seconds": round(time.monotonic() - began, 1),
        "said": len(answers.generations),
        "cpu_seconds": round(running.cpu_seconds(), 1),
        "peak_mib": round(running.peak_mib(), 1),
    }


async def settled(running: Running, longest: float) -> float:
    """Seconds until the oldest judgement is younger than the end of the start, at most `longest`."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < longest:
        oldest = (await asyncio.to_thread(running.page)).get(OLDEST)
        if oldest is not None and oldest < waited:
            break
        await asyncio.sleep(SAMPLE_SECONDS)
    return round(waited, 1)


@dataclass(frozen=True)
class Lasting:
    """Seconds."""

    start: float
    settling: float
    phase: float


async def phase(running: Running, beside: Mapping[str, int], changes: Changes, seconds: float) -> dict[str, Any]:
    sampled = Sampled(running, beside)
    sampled.begin()
    end = sampled.began + seconds
    making = asyncio.create_task(changes.run(lambda: time.monotonic() >= end))
    while not making.done():
        await asyncio.to_thread(sampled.sample)
        await asyncio.sleep(SAMPLE_SECONDS)
    cores = sampled.cores()
    await asyncio.sleep(LAST_NEWS_SECONDS)
    latencies = changes.answers.since(sampled.began, time.monotonic())
    return {
        "changes": making.result(),
        "answered": len(latencies),
        "news_p50_seconds": round(sorted(latencies)[len(latencies) // 2], 3) if latencies else None,
        "news_p99_seconds": p99(latencies),
        "namespaces_apart": changes.answers.apart(sampled.began, time.monotonic()),
        "judgement_age_p99_seconds": max(sampled.ages, default=None),
        "judgement_age_oldest_seconds": max(sampled.oldest, default=None),
        "cpu_share": cores["operator"],
        "cores": cores,
        "peak_mib": round(running.peak_mib(), 1),
    }


async def measured(
    running: Running, beside: Mapping[str, int], kubeconfig: Path, size: Size, lasting: Lasting
) -> dict[str, Any]:
    answers = Answers()
    watching = asyncio.create_task(watch(kubeconfig, answers))
    found: dict[str, Any] = {"cold_start": await cold_start(running, answers, size, lasting.start)}
    print(found["cold_start"], flush=True)
    found["settled_seconds"] = await settled(running, lasting.settling)
    print(f"settled after {found['settled_seconds']} s", flush=True)
    with slow_readers(running.port):
        for name, per_second in (("quiet", QUIET_PER_SECOND), ("churn", CHURN_PER_SECOND)):
            changes = Changes(kubeconfig, size, answers, per_second)
            found[name] = await phase(running, beside, changes, lasting.phase)
            print(name, found[name], flush=True)
    watching.cancel()
    page = await asyncio.to_thread(running.page)
    found["operator"] = {name: value for name, value in page.items() if name.startswith(COUNTED)}
    return found


@contextmanager
def exporters(size: Size) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.scale.exporters", str(size.workloads), str(size.nodes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def document(found: dict[str, Any], size: Size, load: tuple[float, float, float]) -> dict[str, Any]:
    both = (found["quiet"], found["churn"])
    return {
        "peak_mib": max(found["cold_start"]["peak_mib"], *(each["peak_mib"] for each in both)),
        "news_p99_seconds": max((each["news_p99_seconds"] or 0.0 for each in both), default=None),
        **found,
        "workloads": size.workloads,
        "nodes": size.nodes,
        "pods": size.pods,
        "changes_per_second": CHURN_PER_SECOND,
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "reference_loop_cpu_seconds": round(reference_seconds(), 3),
            "load_average_before": round(load[0], 1),
            "date": time.strftime("%Y-%m-%d"),
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each phase")
    parser.add_argument("--dir", type=Path, help="folder of the control plane, kept and used again")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--cold-start-seconds", type=float, default=COLD_START_SECONDS, help="longest wait for it")
    parser.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS, help="longest wait after that")
    parser.add_argument("--keep", action="store_true", help="begin with the statuses that --dir holds already")
    parser.add_argument("--fill-only", action="store_true", help="make the objects in --dir and end")
    args = parser.parse_args()
    size, load = Size(args.workloads, args.nodes), os.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="mfu-scale-") as name,
        ControlPlane.start(args.dir, scheduler=False, controller_manager=False, kwok=False) as plane,
        exporters(size) as port,
    ):
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
        began = time.monotonic()
        asyncio.run(fill(plane.kubeconfig, size))
        if not args.keep:
            asyncio.run(wipe(plane.kubeconfig))
        print(f"filled in {time.monotonic() - began:.0f} s: {size.pods} pods", flush=True)
        if args.fill_only:
            return 0
        with operator(plane.kubeconfig, Path(name), port) as running:
            lasting = Lasting(args.cold_start_seconds, args.settle_seconds, args.seconds)
            beside = {**plane.pids(), "bench": os.getpid()}
            found = asyncio.run(measured(running, beside, plane.kubeconfig, size, lasting))
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(document(found, size, load), indent=2) + "\n")
    print(args.out.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
