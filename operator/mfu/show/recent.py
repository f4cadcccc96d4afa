"""The last hour of one workload, minute by minute, while the operator remembers it."""

from __future__ import annotations

from math import isfinite

from mfu.api.workload_status import Meter
from mfu.engine.history.longterm import LongTerm
from mfu.engine.history.remembered import WorkloadMemory


def recent(memory: WorkloadMemory) -> tuple[tuple[float, float], ...]:
    """Unix seconds and reference MFU of each minute, oldest first; by progress where that is reported."""
    for meter in (Meter.PROGRESS, Meter.COUNTERS):
        bins = memory.long.get(meter, LongTerm())
        minutes = zip(bins.times().tolist(), bins.reference().tolist(), strict=True)
        found = tuple((at, mfu) for at, mfu in minutes if isfinite(mfu))
        if found:
            return found
    return ()
