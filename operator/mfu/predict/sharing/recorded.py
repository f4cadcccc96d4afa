"""Programs that were recorded alone, so that a pair of them need not be guessed from its shape."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from typing import Final

from mfu.hardware.types import GPU
from mfu.predict.sharing.hosts import SHARED_HOST, paces
from mfu.predict.sharing.program import SharedProgram, expected_program
from mfu.predict.sharing.spec import Spec

_COLUMNS: Final = ("active_s", "asleep_s", "busy_s", "kernels", "sms", "dram", "long_kernel_s", "occupancy")


@lru_cache(maxsize=1)
def recordings() -> Mapping[tuple[str, str], SharedProgram]:
    """By product and spec. Each row of `data/alone.csv` names the recording that it is from."""
    text = (resources.files("mfu.predict.sharing") / "data" / "alone.csv").read_text(encoding="utf-8")
    found = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        values = (float(row[name]) for name in _COLUMNS)
        found[(row["gpu"], row["spec"])] = SharedProgram(*values)
    return found


def program_of(spec: str, gpu: GPU, host: str = SHARED_HOST) -> SharedProgram:
    """The recorded program as fast as that host lets it go, or the one that its shape lets expect.

    ValueError for a text that is no program, and for kinds that are known as recorded alone.
    """
    found = recordings().get((gpu.api_name, spec))
    if found is None:
        return expected_program(Spec.parse(spec), gpu)
    pace = paces().get((gpu.api_name, spec, host))
    return replace(found, active_seconds=pace.expected_seconds) if pace else found


def pace_ratio(spec: str, gpu: GPU, host: str = SHARED_HOST) -> float:
    """The step that was recorded alone ÷ the one to be expected: what a share of the recorded rate is to be scaled by.

    36.1 ms recorded where 33.0 are expected: 1.09, so a program that loses nothing is measured to keep 1.09. 1 where
    the GPU sets the pace, or the host is not known.
    """
    pace, found = paces().get((gpu.api_name, spec, host)), recordings().get((gpu.api_name, spec))
    if pace is None or found is None:
        return 1.0
    return (pace.recorded_seconds + found.asleep_seconds) / (pace.expected_seconds + found.asleep_seconds)
