"""Workloads in the order of what deserves a look, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mfu.api.workload_status import Summary, WorkloadFactors, WorkloadStatus
from mfu.show.figures import number
from mfu.show.levels import ScaleLevels, levels
from mfu.show.workloads import Listed


class TopOrder(StrEnum):
    LOST = "lost"
    """Most money lost per hour first."""
    GPUS = "gpus"
    OBSERVED = "observed"
    """Least observed first."""
    NAME = "name"


@dataclass(frozen=True, slots=True)
class TopRow:
    """One workload. `lost_per_hour` is None where it has no price."""

    key: str
    model: str
    gpus: int
    scale: str
    levels: ScaleLevels
    factors: tuple[float | None, float | None, float | None]
    """Scheduling, runtime and program efficiency."""
    cause: str
    lost_per_hour: float | None
    lost: str


def top(workloads: Iterable[Listed], by: TopOrder) -> tuple[TopRow, ...]:
    """Unknown figures come last, equal ones by name."""
    return tuple(sorted(map(_row, workloads), key=lambda row: (*_KEYS[by](row), row.key)))


def _row(workload: Listed) -> TopRow:
    status, said = workload.status, workload.status.summary or Summary()
    return TopRow(
        key=workload.key,
        model=said.model,
        gpus=status.allocation.gpus if status.allocation else 0,
        scale=said.scale,
        levels=levels(status),
        factors=_factors(status),
        cause=said.cause,
        lost_per_hour=number(status.cost.lost_per_hour) if status.cost else None,
        lost=said.lost_per_hour,
    )


def _factors(status: WorkloadStatus) -> tuple[float | None, float | None, float | None]:
    found = status.factors or WorkloadFactors()
    return number(found.scheduling), number(found.runtime), number(found.program)


def _last(value: float | None, sign: float) -> tuple[bool, float]:
    return value is None, sign * (value or 0.0)


_KEYS: Final[Mapping[TopOrder, Callable[[TopRow], tuple[bool | float, ...]]]] = MappingProxyType(
    {
        TopOrder.LOST: lambda row: _last(row.lost_per_hour, -1.0),
        TopOrder.GPUS: lambda row: (-row.gpus,),
        TopOrder.OBSERVED: lambda row: _last(row.levels.observed, 1.0),
        TopOrder.NAME: lambda row: (),
    }
)
