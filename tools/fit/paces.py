"""Prints `mfu/predict/sharing/data/paces.csv`: how fast each recorded host lets programs go that it paces.

    python -m tools.fit.paces ../shared/data/sharing/h100_pairs.jsonl > operator/mfu/predict/sharing/data/paces.csv

A window of a program alone, or beside one that leaves it its pace, tells the host's pace and what drifts: the log of
its step is that of the program, plus the host's own, plus chance. How far windows of one host lie apart, and hosts, is
estimated from all of them; a host's pace is its mean, drawn to the mean of hosts by what chance explains.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, log
from pathlib import Path
from statistics import fmean, variance
from typing import Any, Final

from mfu.predict.sharing.hosts import SHARED_HOST, HostPace
from mfu.predict.sharing.pair import SharingMode, share
from mfu.predict.sharing.program import SharedProgram
from mfu.predict.sharing.recorded import recordings
from mfu.predict.validate.sharing import read_pairs

RECORDINGS: Final = Path(__file__).parents[2] / "e2e" / "recordings"
OWN_HOSTS: Final = {
    "pairs": ("h100_pairs.jsonl", "h100_pairs_unseen.jsonl"),
    "kinds": ("h100_kinds_sliced.jsonl", "h100_kinds_mps.jsonl", "h100_paced_sliced.jsonl", "h100_paced_mps.jsonl"),
    "repeated": ("h100_repeated.jsonl",),
}
HOST_PACED_BELOW: Final = 0.85
"""Of its active time that kernels run: above, the host is seen too little."""
LEAVES_ITS_PACE: Final = 0.9
"""A side that is predicted to keep so much is paced by its host beside the other too."""
PRODUCT: Final = "H100-SXM5"
HEADER: Final = """\
# How fast a host lets go a program that it paces, seconds awake a step: alone as recorded, and as expected of it (drawn
# to the mean of hosts by what chance explains). Written by `python -m tools.fit.paces`."""

Windows = Mapping[tuple[str, str], Sequence[float]]
"""By spec and host: logs of the seconds awake a step."""


def rows_of(shared: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Recorded rows by host."""
    files = {SHARED_HOST: (shared,)} | {
        host: tuple(RECORDINGS / name for name in names) for host, names in OWN_HOSTS.items()
    }
    return {host: [row for path in paths for row in read_pairs(path.read_text())] for host, paths in files.items()}


def host_paces(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], HostPace]:
    """By spec and host."""
    alone = _alone(rows)
    windows = {key: [*found, *_beside(key, rows[key[1]], alone)] for key, found in alone.items()}
    chance, apart = spreads(windows)
    return {
        key: HostPace(len(windows[key]), exp(fmean(alone[key])), exp(expected))
        for spec in sorted({spec for spec, _ in windows})
        for key, expected in _drawn(spec, windows, chance, apart).items()
    }


def spreads(windows: Windows) -> tuple[float, float]:
    """Variance of windows of one program on one host, and of hosts, both of logs."""
    off = [each - fmean(found) for found in windows.values() for each in found]
    chance = sum(each * each for each in off) / (len(off) - len(windows))
    hosts = [_of(spec, windows) for spec in {spec for spec, _ in windows}]
    several = [found for found in hosts if len(found) > 2]
    apart = fmean(
        variance([fmean(each) for each in found.values()]) - fmean([chance / len(each) for each in found.values()])
        for found in several
    )
    return chance, max(apart, 0.0)


def _of(spec: str, windows: Windows) -> dict[tuple[str, str], Sequence[float]]:
    return {key: found for key, found in windows.items() if key[0] == spec}


def _drawn(spec: str, windows: Windows, chance: float, apart: float) -> dict[tuple[str, str], float]:
    mine = _of(spec, windows)
    weights = {key: 1.0 / (apart + chance / len(found)) for key, found in mine.items()}
    middle = sum(weights[key] * fmean(found) for key, found in mine.items()) / sum(weights.values())
    return {key: middle + apart * weights[key] * (fmean(found) - middle) for key, found in mine.items()}


def _alone(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], list[float]]:
    found = defaultdict[tuple[str, str], list[float]](list)
    for host, each in rows.items():
        for row in each:
            spec = row["spec"][0]
            program = recordings()[(PRODUCT, spec)]
            if row["mode"] == "alone" and program.busy_share < HOST_PACED_BELOW:
                found[(spec, host)].append(log(1.0 / row["result"][0]["rate"] - program.asleep_seconds))
    return dict(found)


def _beside(key: tuple[str, str], rows: Sequence[Mapping[str, Any]], alone: Windows) -> list[float]:
    """One window a pair: twins are measured in the same moment."""
    found = []
    for row in rows:
        if row["mode"] in list(SharingMode) and key[0] in row["spec"]:
            sides = [log(each) for each in _as_alone(key, row, alone)]
            found.extend([fmean(sides)] if sides else [])
    return found


def _as_alone(key: tuple[str, str], row: Mapping[str, Any], alone: Windows) -> list[float]:
    """Seconds awake a step that the sides of that program would have taken alone, by the share they are to keep."""
    spec, host = key
    pair = [_program(each, host, alone) for each in row["spec"]]
    kept = share(pair[0], pair[1], SharingMode(row["mode"]))
    steps = [
        side.share / result["rate"] - program.asleep_seconds
        for name, side, result, program in zip(row["spec"], kept, row["result"], pair, strict=True)
        if name == spec and side.share >= LEAVES_ITS_PACE
    ]
    return [each for each in steps if each > 0.0]


def _program(spec: str, host: str, alone: Windows) -> SharedProgram:
    program = recordings()[(PRODUCT, spec)]
    known = alone.get((spec, host))
    return replace(program, active_seconds=exp(fmean(known))) if known else program


def main(arguments: Sequence[str]) -> int:
    found = host_paces(rows_of(Path(arguments[0])))
    print(HEADER)
    print("gpu,spec,host,windows,recorded_s,expected_s")
    for (spec, host), pace in sorted(found.items()):
        print(f"{PRODUCT},{spec},{host},{pace.windows},{pace.recorded_seconds:.5g},{pace.expected_seconds:.5g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
