"""Am I memory- or compute-bound? Which of the two limits of the roofline is the nearer one.

The roofline has its ridge where compute peak ÷ bandwidth FLOPs are done for each byte (Williams, Waterman, Patterson,
Communications of the ACM 52, 2009): left of it memory is the limit, right of it compute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mfu.api.workload_status import Meter, Observed, Summary, WorkloadStatus
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU
from mfu.show.facts import Fact
from mfu.show.figures import number, share
from mfu.show.questions.answer import Answer, why_unknown
from mfu.show.waterfall import SHOWN_WINDOW, best_observed
from mfu.show.workloads import Listed

QUESTION = "Am I memory- or compute-bound?"
NEAR: Final = 0.25
"""Share of a limit below which it is not what holds a workload: then it waits for something else."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of the two limits that are used, fractions."""

    compute: float
    memory: float
    measured: bool
    reference_mfu: float | None

    @property
    def nearer(self) -> str:
        if max(self.compute, self.memory) < NEAR:
            return "Neither"
        return "Memory" if self.memory > self.compute else "Compute"


def bound(workloads: Sequence[Listed]) -> Iterator[Answer]:
    return map(_answer, workloads)


def _answer(workload: Listed) -> Answer:
    found = limits(workload.status)
    if found is None:
        return Answer(QUESTION, workload.key, "Unknown", f"Unknown: {why_unknown(workload.status)}.")
    said = workload.status.summary or Summary()
    how = "reaches" if found.measured else "is expected to reach"
    levels = f"it {how} {share(found.compute)} of the compute peak and {share(found.memory)} of the memory bandwidth"
    waits = f", so it waits for something else: main cause {said.cause}" if found.nearer == "Neither" else ""
    words = "Neither" if found.nearer == "Neither" else f"{found.nearer}-bound"
    return Answer(QUESTION, workload.key, found.nearer, f"{words}: {levels}{waits}.", _evidence(workload.status, found))


def limits(status: WorkloadStatus) -> Limits | None:
    """What is measured goes before what is expected; bandwidth is counters' where progress does not tell it."""
    best = best_observed(status)
    compute = None if best is None else number(best.mfu)
    memory = None if best is None else number(best.mbu) or _counted(status)
    if best is not None and compute is not None and memory is not None:
        return Limits(compute, memory, True, number(best.reference_mfu))
    first = status.expected[0] if status.expected else None
    promised = None if first is None else (number(first.mfu), number(first.mbu))
    if first is None or promised is None or promised[0] is None or promised[1] is None:
        return None
    return Limits(promised[0], promised[1], False, number(first.reference_mfu))


def _counted(status: WorkloadStatus) -> float | None:
    rows: Iterator[Observed] = (
        each for each in status.observed if each.window == SHOWN_WINDOW and each.meter is Meter.COUNTERS
    )
    return next((mbu for each in rows if (mbu := number(each.mbu)) is not None), None)


def _evidence(status: WorkloadStatus, found: Limits) -> tuple[Fact, ...]:
    product = status.allocation.product if status.allocation else ""
    product = product or (status.expected[0].product if status.expected else "")
    ridge = _ridge(product)
    if ridge is None or not found.memory or found.reference_mfu is None:
        return ()
    intensity = ridge * found.reference_mfu / found.memory
    words = f"{intensity:,.0f} model FLOPs per byte; the ridge of {product} is at {ridge:,.0f}"
    return (Fact("intensity", words),)


def _ridge(product: str) -> float | None:
    """FLOPs per byte at which both limits meet, dense 16-bit: 295 on H100-SXM5."""
    gpu = load().by_api_name(product.split("-MIG-")[0])
    if not isinstance(gpu, GPU) or gpu.reference_peak_flops_per_s is None:
        return None
    return gpu.reference_peak_flops_per_s / gpu.memory_bandwidth_bytes_per_s
