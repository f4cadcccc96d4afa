"""Decisions that ask something of somebody, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mfu.api.decisions import Decision
from mfu.show.workloads import Listed

SETTLED: Final = frozenset({"Admit", "Keep", "None"})
"""Outcomes with which everything stays as it is."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One workload's decision."""

    namespace: str
    name: str
    decision: Decision


def asks(workloads: Iterable[Listed]) -> Iterator[Asking]:
    """Those that want something changed, in the order of the workloads."""
    for workload in workloads:
        for decision in workload.status.decisions:
            if decision.outcome not in SETTLED:
                yield Asking(workload.namespace, workload.name, decision)
