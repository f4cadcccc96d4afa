"""Fits the eight constants of `mfu.predict.sharing.pair` to recorded pairs; prints them, and the error of each file.

    python -m tools.fit.sharing e2e/recordings/h100_pairs*.jsonl [--score FILE.jsonl]     # scored, never fitted
    python -m tools.fit.sharing e2e/recordings/h100_pairs*.jsonl --leave-out              # each program in turn

Random search from the present values: the squared error of kept shares over every mode, alone from the shape and from
recordings, so that neither way of knowing a program is favoured.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import exp
from pathlib import Path
from typing import Any, Final

from mfu.hardware.catalog import load
from mfu.hardware.types import Unmatched
from mfu.predict.sharing.pair import FITTED, SharingConstants, SharingMode, share
from mfu.predict.sharing.program import SharedProgram, Spec, expected_program
from mfu.predict.sharing.recorded import program_of
from mfu.predict.validate.sharing import read_pairs

TRIES: Final = 1500
TRIES_LEFT_OUT: Final = 300
SPREAD: Final = 0.12
Case = tuple[SharedProgram, SharedProgram, SharingMode, Sequence[float]]


def cases(rows: Sequence[Mapping[str, Any]], *, recorded: bool) -> list[Case]:
    found = []
    for row in rows:
        device = load().resolve(row["gpu"])
        if row["mode"] == "alone" or isinstance(device, Unmatched):
            continue
        gpu = device.gpu
        programs = [program_of(s, gpu) if recorded else expected_program(Spec.parse(s), gpu) for s in row["spec"]]
        found.append((programs[0], programs[1], SharingMode(row["mode"]), row["share_of_alone"]))
    return found


def errors(found: Sequence[Case], constants: SharingConstants) -> list[float]:
    return [
        kept.share - measured
        for first, second, mode, shares in found
        for kept, measured in zip(share(first, second, mode, constants), shares, strict=True)
    ]


def squared(found: Sequence[Case], constants: SharingConstants) -> float:
    wrong = errors(found, constants)
    return sum(each * each for each in wrong) / len(wrong)


def fit(found: Sequence[Case], tries: int = TRIES) -> SharingConstants:
    draw = random.Random(0)
    best, least = FITTED, squared(found, FITTED)
    for _ in range(tries):
        changed = {
            name: value * exp(draw.gauss(0, SPREAD)) for name, value in asdict(best).items() if draw.random() < 0.3
        }
        trial = replace(best, **changed)
        if max(trial.capacity, trial.switching, trial.launch) > 1.0 or trial.pace_power < 1.0:
            continue
        if (wrong := squared(found, trial)) < least:
            best, least = trial, wrong
    return best


def both(rows: Sequence[Mapping[str, Any]]) -> list[Case]:
    return [*cases(rows, recorded=True), *cases(rows, recorded=False)]


def left_out(rows: Sequence[Mapping[str, Any]]) -> dict[bool, list[float]]:
    """Errors of every pair by constants that saw no pair of one of its programs, by whether recordings are used."""
    pairs = [row for row in rows if row["mode"] != "alone"]
    wrong: dict[bool, list[float]] = {True: [], False: []}
    for program in sorted({spec for row in pairs for spec in row["spec"]}):
        held = [row for row in pairs if program in row["spec"]]
        fitted = fit(both([row for row in pairs if program not in row["spec"]]), TRIES_LEFT_OUT)
        for recorded, found in wrong.items():
            found.extend(errors(cases(held, recorded=recorded), fitted))
    return wrong


def show(name: str, wrong: Sequence[float]) -> None:
    sizes = [abs(each) for each in wrong]
    near = f"{sum(each <= 0.1 for each in sizes)}/{len(sizes)}"
    print(f"{name}: mean {sum(sizes) / len(sizes):.3f}, worst {max(sizes):.3f}, within 0.10 {near}")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fitted", type=Path, nargs="+")
    parser.add_argument("--score", type=Path, nargs="*", default=[])
    parser.add_argument("--leave-out", action="store_true")
    options = parser.parse_args(arguments)
    files = {path: read_pairs(path.read_text(encoding="utf-8")) for path in (*options.fitted, *options.score)}
    rows = [row for path in options.fitted for row in files[path]]
    fitted = fit(both(rows))
    print(fitted)
    for path, known in files.items():
        for recorded in (True, False):
            how = "recorded" if recorded else "from the shape"
            show(f"{path} ({how})", errors(cases(known, recorded=recorded), fitted))
    if options.leave_out:
        for recorded, wrong in left_out(rows).items():
            show(f"programs left out ({'recorded' if recorded else 'from the shape'})", wrong)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
