"""How fast a host lets go a program that it paces: what it was recorded to do, and what may be expected of it.

A share is measured against a rate alone, and where the host sets the pace that rate is one draw of many: the same
program alone goes an eighth faster or slower from minute to minute. So a host's pace is not the recording, but the
recording drawn towards other hosts, as far as chance explains that it is off.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

SHARED_HOST: Final = "shared"
"""The host of the shared pairs, whose programs alone were recorded over ten seconds; elsewhere over two to four."""


@dataclass(frozen=True, slots=True)
class HostPace:
    """Seconds awake a step: `recorded_seconds` alone, `expected_seconds` of the next that is seen of it."""

    windows: int
    recorded_seconds: float
    expected_seconds: float


@lru_cache(maxsize=1)
def paces() -> Mapping[tuple[str, str, str], HostPace]:
    """By product, spec and host, from `data/paces.csv`; `tools.fit.paces` writes it."""
    text = (resources.files("mfu.predict.sharing") / "data" / "paces.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        (row["gpu"], row["spec"], row["host"]): HostPace(
            int(row["windows"]), float(row["recorded_s"]), float(row["expected_s"])
        )
        for row in rows
    }


def hosts() -> tuple[str, ...]:
    return tuple(sorted({host for _, _, host in paces()}))
