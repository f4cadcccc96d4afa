"""Fits the seven constants of `mfu.predict.sharing.pair` to recorded pairs; prints them, and the error of each pair.

    python -m tools.fit.sharing e2e/recordings/h100_pairs.jsonl [FILE.jsonl to score, never fitted]

Random search from the present values: the squared error of kept shares over every mode, alone from the shape and from
recordings, so that neither way of knowing a program is favoured.
"""

from __future__ import annotations

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


def fit(found: Sequence[Case]) -> SharingConstants:
    draw = random.Random(0)
    best, least = FITTED, squared(found, FITTED)
    for _ in range(TRIES):
        changed = {
            name: value * exp(draw.gauss(0, SPREAD)) for name, value in asdict(best).items() if draw.random() < 0.3
        }
        trial = replace(best, **changed)
        if trial.capacity > 1.0 or trial.switching > 1.0 or trial.launch > 1.0:
            continue
        if (wrong := squared(found, trial)) < least:
            best, least = trial, wrong
    return best


def show(name: str, found: Sequence[Case], constants: SharingConstants) -> None:
    wrong = [abs(each) for each in errors(found, constants)]
    near = f"{sum(each <= 0.1 for each in wrong)}/{len(wrong)}"
    print(f"{name}: mean {sum(wrong) / len(wrong):.3f}, worst {max(wrong):.3f}, within 0.10 {near}")


def main(arguments: Sequence[str]) -> int:
    files = [read_pairs(Path(each).read_text(encoding="utf-8")) for each in arguments]
    fitted = fit([*cases(files[0], recorded=True), *cases(files[0], recorded=False)])
    print(fitted)
    for name, rows in zip(arguments, files, strict=True):
        for recorded in (True, False):
            show(f"{name} ({'recorded' if recorded else 'from the shape'})", cases(rows, recorded=recorded), fitted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
