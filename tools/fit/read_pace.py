"""Whether the busy share that is read of a program alone tells how fast its host lets it go.

    python -m tools.fit.read_pace e2e/recordings/h100_*.jsonl

Programs come from their shape and the share of the time in which kernels ran while they were alone, as the operator
sees workloads. `asleep`: what is idle beyond the usual host is sleep. `paced`: up to the slowest host recorded it is
the host's pace.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU
from mfu.predict.sharing.pair import SharingMode, share
from mfu.predict.sharing.program import GPU_BOUND_FROM, SharedProgram, expected_program
from mfu.predict.sharing.spec import Spec

SLOWEST_LAUNCH_SECONDS: Final = 39e-6
"""Of one eager launch on the slowest host recorded; the usual one is 23 µs."""
Rule = Callable[[SharedProgram, float], SharedProgram]


@dataclass(frozen=True, slots=True)
class Alone:
    """One program by itself: share of the time in which kernels ran, and steps a second."""

    busy: float
    rate: float


def asleep(program: SharedProgram, busy: float) -> SharedProgram:
    return replace(program, asleep_seconds=max(0.0, program.busy_seconds / busy - program.active_seconds))


def paced(program: SharedProgram, busy: float) -> SharedProgram:
    step, slowest = program.busy_seconds / busy, program.kernels * SLOWEST_LAUNCH_SECONDS
    active = min(max(step, program.busy_seconds), max(program.busy_seconds, slowest))
    return replace(program, active_seconds=active, asleep_seconds=max(0.0, step - active))


RULES: Final[Mapping[str, Rule]] = {"asleep": asleep, "paced": paced}


def alone(runs: Sequence[Mapping[str, Any]]) -> dict[str, Alone]:
    """By spec, the mean of its windows; of each the upper two thirds of its readings, as it starts within it."""
    found: dict[str, list[Alone]] = {}
    for run in runs:
        if run["mode"] == "alone":
            read = sorted(each["gpm"]["GRAPHICS_UTIL"] / 100.0 for each in run["series"])
            window = Alone(fmean(read[len(read) // 3 :]), float(run["result"][0]["rate"]))
            found.setdefault(run["spec"][0], []).append(window)
    return {
        spec: Alone(max(0.05, fmean(each.busy for each in all_)), fmean(each.rate for each in all_))
        for spec, all_ in found.items()
    }


def errors(runs: Sequence[Mapping[str, Any]], rule: Rule, gpu: GPU) -> Iterator[tuple[bool, float]]:
    """(whether its host sets the pace, predicted less measured share) of every side."""
    known = alone(runs)
    for run in runs:
        specs = run["spec"]
        if run["mode"] not in tuple(SharingMode) or not all(_told(spec, known) for spec in specs):
            continue
        pair = [
            rule(replace(expected_program(Spec.parse(each), gpu), asleep_seconds=0.0), known[each].busy)
            for each in specs
        ]
        for spec, kept, result in zip(
            specs, share(pair[0], pair[1], SharingMode(run["mode"])), run["result"], strict=True
        ):
            host = spec.startswith("train") and known[spec].busy < GPU_BOUND_FROM and spec.endswith(" 0")
            yield host, kept.share - float(result["rate"]) / known[spec].rate


def _told(spec: str, known: Mapping[str, Alone]) -> bool:
    return spec.split()[0] in ("train", "decode") and spec in known


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="+")
    gpu = load().by_api_name("H100-SXM5")
    assert isinstance(gpu, GPU)
    for path in parser.parse_args().recordings:
        runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if not any(run.get("mode") in tuple(SharingMode) for run in runs):
            continue
        for name, rule in RULES.items():
            found = list(errors(runs, rule, gpu))
            print(path.name, name, *(_said(found, host) for host in (False, True)))
    return 0


def _said(found: Sequence[tuple[bool, float]], host: bool) -> str:
    off = [abs(error) for paced_by_host, error in found if paced_by_host is host]
    return f"{'host' if host else 'GPU'}: {len(off)} sides {fmean(off):.3f}" if off else ""


if __name__ == "__main__":
    sys.exit(main())
