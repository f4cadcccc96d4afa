"""The shape of an answer, and what several questions read alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mfu.api.causes import Cause
from mfu.api.conditions import ConditionStatus, ConditionType, find
from mfu.api.workload_status import History, Loss, WorkloadStatus
from mfu.observe.drift import LEAST_SHIFT
from mfu.observe.history import SETTLED
from mfu.show.facts import Fact
from mfu.show.figures import number
from mfu.show.workloads import Listed

SAME: Final = LEAST_SHIFT
"""Figures within a twentieth of each other are the same: steady runs scatter by 1 to 2 %."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One question about one workload, or about one model in one setting."""

    question: str
    about: str
    verdict: str
    """One or two words: Yes, No, Unknown, or what the question asks for."""
    sentence: str
    evidence: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """What one setting reached on one product and number of GPUs: reference MFU, a mean over `samples` minutes."""

    workload: str
    product: str
    gpus: int
    setting: str
    mfu: float
    samples: int


def points(workloads: Iterable[Listed]) -> dict[str, list[HistoryPoint]]:
    """By model, newest first within each workload. Figures that have not settled are left out."""
    found: dict[str, list[HistoryPoint]] = defaultdict(list)
    for workload in workloads:
        for row in workload.status.history:
            point = _point(workload.key, row)
            if point is not None:
                found[row.model].append(point)
    return found


def _point(workload: str, row: History) -> HistoryPoint | None:
    mfu = number(row.after)
    if mfu is None or mfu <= 0 or row.gpus is None or not row.product or row.samples < SETTLED:
        return None
    return HistoryPoint(workload, row.product, row.gpus, row.setting, mfu, row.samples)


def mean_mfu(found: Iterable[HistoryPoint]) -> float:
    """Weighted by minutes. At least one point is needed."""
    weighed = [(each.mfu * each.samples, each.samples) for each in found]
    return sum(total for total, _ in weighed) / sum(samples for _, samples in weighed)


def loss_to(status: WorkloadStatus, cause: Cause) -> Loss | None:
    """The loss to that cause whose share is known, the larger one of both kinds."""
    mine = [each for each in status.losses if each.cause is cause and number(each.share) is not None]
    return max(mine, key=lambda each: number(each.share) or 0.0, default=None)


def why_unknown(status: WorkloadStatus) -> str:
    """What is missing, in the words of the first condition that is not True."""
    for kind in (ConditionType.ACCEPTED, ConditionType.TELEMETRY_AVAILABLE, ConditionType.READY):
        condition = find(status.conditions, kind)
        if condition is not None and condition.status is not ConditionStatus.TRUE and condition.message:
            return condition.message
    return "it has not been judged yet" if not status.conditions else "nothing was measured"


def commas(parts: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
