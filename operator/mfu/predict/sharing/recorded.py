"""Programs that were recorded alone, so that a pair of them need not be guessed from its shape."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from mfu.hardware.types import GPU
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


def program_of(spec: str, gpu: GPU) -> SharedProgram:
    """The recorded program, or the one that its shape lets expect. ValueError for a text that is no program, and
    for kinds that are known as recorded alone."""
    return recordings().get((gpu.api_name, spec)) or expected_program(Spec.parse(spec), gpu)
