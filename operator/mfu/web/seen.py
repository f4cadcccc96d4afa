"""What there is to show, and how much of it somebody may see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from mfu.api.fleetreport import FleetStatus
from mfu.api.workload_status import WorkloadStatus
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT
from mfu.show.workloads import Listed


@dataclass(frozen=True, slots=True)
class Known:
    """One workload with its status at rest: ten thousand of them typed would take hundreds of megabytes."""

    namespace: str
    name: str
    mode: str
    status: Packed[WorkloadStatus]
    recent: tuple[tuple[float, float], ...] = ()
    """Reference MFU of each minute of the last hour, oldest first: Unix seconds and a fraction."""

    def listed(self) -> Listed:
        return Listed(self.namespace, self.name, self.mode, self.status.read())


@dataclass(frozen=True, slots=True)
class Seen:
    """A moment of the cluster."""

    at: float
    """Unix seconds."""
    workloads: tuple[Known, ...] = ()
    report: Packed[FleetStatus] | None = NO_REPORT
    """None for those who may not see the fleet."""

    def of(self, namespace: str | None) -> Seen:
        """Those of one namespace; all of them for None."""
        if namespace is None:
            return self
        return replace(self, workloads=tuple(each for each in self.workloads if each.namespace == namespace))

    def find(self, namespace: str, name: str) -> Known | None:
        return next((each for each in self.workloads if (each.namespace, each.name) == (namespace, name)), None)

    def listed(self) -> Iterator[Listed]:
        """One after the other, typed while it is looked at."""
        return (each.listed() for each in self.workloads)


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may see. Nothing, unless it is said."""

    everything: bool = False
    """ModelWorkloads of every namespace."""
    namespaces: frozenset[str] = frozenset()
    fleet: bool = False
    """The FleetReport."""

    def of(self, seen: Seen) -> Seen:
        """What is left of it for them."""
        mine = tuple(each for each in seen.workloads if self.everything or each.namespace in self.namespaces)
        return replace(seen, workloads=mine, report=seen.report if self.fleet else None)


class Unavailable(Exception):
    """There is nothing to show now; the message says why."""


Source = Callable[[], Awaitable[Seen]]
"""The newest moment. Raises Unavailable."""
Refusal = int
"""HTTP status to refuse with."""
MayShow = Callable[[str | None, frozenset[str]], Awaitable[Rights | Refusal]]
"""What the bearer of an Authorization header may see, of the namespaces that there are."""
