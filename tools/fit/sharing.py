"""Fits the constants of `mfu.predict.sharing.pair` to recorded pairs; prints them, and the error of each file.

    python -m tools.fit.sharing e2e/recordings/h100_{pairs,kinds,paced}*.jsonl [--score FILE.jsonl]
    python -m tools.fit.sharing e2e/recordings/h100_{pairs,kinds,paced}*.jsonl --leave-out program|kind
    python -m tools.fit.sharing e2e/recordings/h100_{pairs,kinds,paced}*.jsonl --leave-out kind --afresh --score FILE

Random search from the present values: the error of kept shares over every mode, squared up to 0.15 and straight from
there, for hosts that drift. Programs are as recorded alone; what its host paces is as fast as its file says it was
last, and counts a tenth where that was not right before the pair. FILE is of the shared host. `--afresh` begins far
from the present values: its pairs are then predicted by constants that owe nothing to any program of the kind.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp
from pathlib import Path
from typing import Any, Final

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Unmatched
from mfu.predict.sharing.pair import FITTED, SharingConstants, SharingMode, share
from mfu.predict.sharing.program import SharedProgram
from mfu.predict.sharing.recorded import program_of
from mfu.predict.validate.sharing import read_pairs, validate_sharing

TRIES: Final = 300
TRIES_LEFT_OUT: Final = 40
SPREAD: Final = 0.12
AFRESH: Final = 0.3
ROBUST_FROM: Final = 0.15
DRIFTED_WEIGHT: Final = 0.1
GPU_PACED_FROM: Final = 0.9
ADJACENT_LINES: Final = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One recorded pair; `weights` of its two sides."""

    names: tuple[str, ...]
    programs: tuple[SharedProgram, SharedProgram]
    mode: SharingMode
    shares: Sequence[float]
    weights: tuple[float, float]

    def kinds(self) -> set[str]:
        return {each.split()[0] for each in self.names}


def cases(rows: Sequence[Mapping[str, Any]]) -> list[Case]:
    found, alone = [], dict[str, tuple[int, float]]()
    for number, row in enumerate(rows):
        if row["mode"] == "alone":
            alone[row["spec"][0]] = number, row["result"][0]["rate"]
        elif row["mode"] != "profile" and not isinstance(device := load().resolve(row["gpu"]), Unmatched):
            found.append(_case(row, number, device.gpu, alone))
    return found


def _case(row: Mapping[str, Any], number: int, gpu: GPU, alone: Mapping[str, tuple[int, float]]) -> Case:
    first, second = (_as_alone(program_of(spec, gpu), alone.get(spec)) for spec in row["spec"])
    weights = [
        _weight(program, number, alone.get(spec)) for program, spec in zip((first, second), row["spec"], strict=True)
    ]
    mode = SharingMode(row["mode"])
    return Case(tuple(row["spec"]), (first, second), mode, row["share_of_alone"], (weights[0], weights[1]))


def _as_alone(program: SharedProgram, known: tuple[int, float] | None) -> SharedProgram:
    if known is None or program.busy_share >= GPU_PACED_FROM:
        return program
    return replace(program, active_seconds=max(program.busy_seconds, 1.0 / known[1] - program.asleep_seconds))


def _weight(program: SharedProgram, number: int, known: tuple[int, float] | None) -> float:
    adjacent = known is not None and number - known[0] <= ADJACENT_LINES
    return 1.0 if adjacent or program.busy_share >= GPU_PACED_FROM else DRIFTED_WEIGHT


def errors(found: Sequence[Case], constants: SharingConstants) -> list[float]:
    return [wrong for wrong, _ in weighed(found, constants)]


def weighed(found: Sequence[Case], constants: SharingConstants) -> list[tuple[float, float]]:
    """Error and weight of each side."""
    return [
        (kept.share - measured, weight)
        for case in found
        for kept, measured, weight in zip(
            share(*case.programs, case.mode, constants), case.shares, case.weights, strict=True
        )
    ]


def loss(found: Sequence[Case], constants: SharingConstants) -> float:
    wrong = weighed(found, constants)
    return sum(weight * _robust(abs(each)) for each, weight in wrong) / sum(weight for _, weight in wrong)


def _robust(size: float) -> float:
    return size * size if size < ROBUST_FROM else ROBUST_FROM * (2.0 * size - ROBUST_FROM)


def afresh() -> SharingConstants:
    """Each constant a third off, by chance: a search from there owes nothing to the shipped ones but their form."""
    draw = random.Random(7)
    moved = {name: value * exp(draw.gauss(0, AFRESH)) for name, value in asdict(FITTED).items()}
    bounds = {name: min(moved[name], 0.95) for name in ("capacity", "switching", "visited")}
    return replace(FITTED, **(moved | bounds | {"wait_whole": min(moved["wait_whole"], 0.5)}))


def fit(found: Sequence[Case], tries: int = TRIES, start: SharingConstants = FITTED) -> SharingConstants:
    draw = random.Random(0)
    best, least = start, loss(found, start)
    for _ in range(tries):
        changed = {
            name: value * exp(draw.gauss(0, SPREAD)) for name, value in asdict(best).items() if draw.random() < 0.3
        }
        trial = replace(best, **changed)
        if max(trial.capacity, trial.switching, trial.visited, 2 * trial.wait_whole) > 1.0 or trial.pace_power < 1.0:
            continue
        if (wrong := loss(found, trial)) < least:
            best, least = trial, wrong
    return best


def left_out(found: Sequence[Case], by: str, start: SharingConstants = FITTED) -> dict[str, list[float]]:
    """Errors of the pairs of each program, or kind of program, by constants that saw no pair of it."""
    groups = [set(case.names) if by == "program" else case.kinds() for case in found]
    wrong = {}
    for out in sorted({name for group in groups for name in group}):
        held = [case for case, group in zip(found, groups, strict=True) if out in group]
        known = [case for case, group in zip(found, groups, strict=True) if out not in group]
        fitted = fit(known, TRIES_LEFT_OUT if start is FITTED else TRIES, start)
        wrong[out] = errors(held, fitted)
    return wrong


def kinds_left_out(
    found: Sequence[Case], scored: Sequence[Mapping[str, Any]], start: SharingConstants
) -> dict[str, list[float]]:
    """Errors of other pairs, of each kind of program by constants that saw none of that kind."""
    wrong = {}
    for out in sorted({spec.split()[0] for row in scored for spec in row["spec"]}):
        fitted = fit([case for case in found if out not in case.kinds()], start=start)
        rows = [row for row in scored if out in {spec.split()[0] for spec in row["spec"]}]
        wrong[out] = list(validate_sharing(rows, constants=fitted).errors)
    return wrong


def show(name: str, wrong: Sequence[float]) -> None:
    sizes = [abs(each) for each in wrong]
    near = f"{sum(each <= 0.1 for each in sizes)}/{len(sizes)}"
    print(f"{name}: mean {sum(sizes) / len(sizes):.3f}, worst {max(sizes):.3f}, within 0.10 {near}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fitted", type=Path, nargs="+")
    parser.add_argument("--score", type=Path, nargs="*", default=[])
    parser.add_argument("--leave-out", choices=("program", "kind"))
    parser.add_argument("--afresh", action="store_true", help="begin far from the shipped constants")
    options = parser.parse_args(arguments)
    start = afresh() if options.afresh else FITTED
    files = {path: cases(read_pairs(path.read_text(encoding="utf-8"))) for path in options.fitted}
    scored = {path: read_pairs(path.read_text(encoding="utf-8")) for path in options.score}
    known = [case for path in options.fitted for case in files[path]]
    fitted = fit(known, start=start)
    print(fitted)
    for path, found in files.items():
        show(str(path), errors(found, fitted))
    for path, rows in scored.items():
        show(str(path), validate_sharing(rows, constants=fitted).errors)
    if options.leave_out:
        for path, rows in scored.items():
            for name, each in kinds_left_out(known, rows, start).items():
                show(f"{path} by constants without {name}", each)
        wrong = left_out(known, options.leave_out, start)
        for name, each in wrong.items():
            show(f"left out: {name}", each)
        show("all that were left out", [each for one in wrong.values() for each in one])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
