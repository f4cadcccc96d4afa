"""The table of workloads, the same from a live cluster and from a replayed snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mfu.api.conditions import ConditionType, find
from mfu.api.workload_status import Summary, WorkloadStatus
from mfu.show.figures import UNKNOWN

COLUMNS: Final = (
    "NAMESPACE",
    "NAME",
    "MODE",
    "MODEL",
    "GPUS",
    "EXPECTED",
    "OBSERVED",
    "ATTAINABLE",
    "SCALE",
    "CAUSE",
    "$/H",
    "LOST/H",
    "READY",
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One workload that is to be shown: what it is called, Training or Inference, and what its status says."""

    namespace: str
    name: str
    mode: str
    status: WorkloadStatus

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def row(workload: Listed) -> tuple[str, ...]:
    """One workload as `kubectl get mw` shows it, a cell for each of COLUMNS."""
    said = workload.status.summary or Summary()
    return (
        workload.namespace,
        workload.name,
        workload.mode,
        said.model,
        said.gpus,
        said.expected,
        said.observed,
        said.attainable,
        said.scale,
        said.cause,
        said.cost_per_hour,
        said.lost_per_hour,
        ready(workload.status),
    )


def ready(status: WorkloadStatus) -> str:
    """True, False or Unknown."""
    condition = find(status.conditions, ConditionType.READY)
    return UNKNOWN if condition is None else str(condition.status)
