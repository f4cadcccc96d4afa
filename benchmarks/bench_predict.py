"""Speed of the training model: `python -m benchmarks.bench_predict [--write]`.

Layouts evaluated per second on one core, one full plan of a 70B model on 1,024 GPUs, and attainable for 10,000
workloads. Each figure is also given as a ratio to a fixed loop of pure Python timed in the same run, so that machines
can be compared. Exit status 1 when a mean passes its limit.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict import attainable, predict
from mfu.predict.attainable import best_setup, limits_of
from mfu.predict.plan import Option, best_on
from mfu.predict.training.case import case_of
from mfu.predict.training.constants import shipped
from mfu.predict.training.layouts import Space, evaluate, table
from mfu.predict.types import Parallelism, Placement, Precisions, Sharding, Training, Tunable
from mfu.workload.presets import preset

REPORT = Path(__file__).with_name("predict.md")
RUNS = 7
WORKLOADS = 10_000
SAFE = frozenset({Tunable.MICRO_BATCH, Tunable.RECOMPUTE, Tunable.LAYOUT})


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing; `least` or `most` is the limit of its mean."""

    what: str
    unit: str
    samples: tuple[float, ...]
    per_reference: float
    least: float | None = None
    most: float | None = None

    @property
    def passes(self) -> bool:
        average = mean(self.samples)
        return (self.least is None or average >= self.least) and (self.most is None or average <= self.most)


def job() -> tuple[Training, Placement]:
    """Llama-3.1-70B on 1,024 H100."""
    gpu = load().by_api_name("H100-SXM5")
    if not isinstance(gpu, GPU):
        raise SystemExit("the catalog has no H100-SXM5")
    setup = Training(
        architecture=preset("llama-3.1-70b"),
        precisions=Precisions(),
        sequence_length=8192,
        global_batch_size=1024,
        micro_batch_size=1,
        parallelism=Parallelism(4, 4, 2, 32, 1, 5),
        sharding=Sharding.ZERO1,
        engine="NeMo",
    )
    return setup, Placement(Device(gpu), 1024)


def reference_loop() -> float:
    """Seconds of a fixed amount of pure Python: three million additions."""
    started = time.process_time()
    total = 0
    for number in range(3_000_000):
        total += number
    return time.process_time() - started


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def layouts_per_second() -> float:
    setup, placement = job()
    case = case_of(setup, placement, shipped())
    if case is None:
        raise SystemExit("no peak")
    layouts = table(limits_of(setup, placement), Space())
    seconds = timed(lambda: evaluate(case, layouts, shipped()))
    return len(np.asarray(layouts.tensor)) / seconds


def full_plan() -> float:
    setup, placement = job()
    return timed(lambda: best_on(setup, Option(placement, Precision.BF16)))


def single_prediction() -> float:
    """Seconds of one prediction that is in no cache."""
    setup, placement = job()
    jobs = [replace(setup, global_batch_size=1024 * step) for step in range(1, 101)]
    return timed(lambda: [predict(each, placement) for each in jobs]) / len(jobs)


def many_workloads() -> float:
    """10,000 workloads of 50 kinds, as a cluster has them: each kind is searched once."""
    setup, placement = job()
    best_setup.cache_clear()
    kinds = [replace(setup, global_batch_size=1024 + 128 * kind) for kind in range(50)]
    return timed(lambda: [attainable(kinds[index % len(kinds)], placement, SAFE) for index in range(WORKLOADS)])


def measure() -> tuple[Figure, ...]:
    reference = mean(reference_loop() for _ in range(3))
    layouts_per_second()
    rate = tuple(layouts_per_second() for _ in range(RUNS))
    plan = tuple(full_plan() for _ in range(RUNS))
    one = (1e3 * single_prediction(),)
    many = tuple(many_workloads() for _ in range(3))
    return (
        Figure("layouts evaluated (time and memory), one core", "1/s", rate, mean(rate) * reference, least=100_000),
        Figure("full plan, Llama-3.1-70B on 1,024 H100", "s", plan, mean(plan) / reference, most=2.0),
        Figure("one prediction, not cached", "ms", one, mean(one) / 1e3 / reference, most=10.0),
        Figure("attainable of 10,000 workloads of 50 kinds", "s", many, mean(many) / reference, most=10.0),
    )


def report(figures: tuple[Figure, ...]) -> str:
    lines = [
        "# Prediction and planning",
        "",
        f"`python -m benchmarks.bench_predict --write`, CPU time of one core, {platform.machine()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, {time.strftime('%Y-%m-%d', time.gmtime())}.",
        "`reference` is a loop of three million additions in pure Python, timed in the same run: rates are times it,",
        "durations are divided by it.",
        "",
        "| what | mean | spread | runs | over reference | limit |",
        "|---|---|---|---|---|---|",
    ]
    for each in figures:
        spread = f"± {stdev(each.samples):,.3g}" if len(each.samples) > 1 else "-"
        limit = f"at least {each.least:,.0f}" if each.least is not None else f"at most {each.most:g}"
        shown = f"{mean(each.samples):,.4g}" if mean(each.samples) < 1000 else f"{mean(each.samples):,.0f}"
        cells = [each.what, f"{shown} {each.unit}", spread, str(len(each.samples)), f"{each.per_reference:,.3g}", limit]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"rewrite {REPORT.name}")
    options = parser.parse_args(arguments)
    figures = measure()
    text = report(figures)
    print(text)
    if options.write:
        REPORT.write_text(text, encoding="utf-8")
    return 0 if all(each.passes for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
