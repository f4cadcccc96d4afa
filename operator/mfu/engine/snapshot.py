"""All that the cycle may know, frozen and dated. Built by `cluster`, saved and replayed by `mfu replay`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.decide.types import NodeView
from mfu.engine.memory import WorkloadMemory
from mfu.observe.readings import METRICS, Floats, GPUIdentity, SourceState, WorkloadSeries
from mfu.predict.types import Corrections


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One ModelWorkload. Either `spec` or `invalid` is set. `status` is what it says now, to be compared with."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: float
    spec: WorkloadSpec | None
    invalid: str | None = None
    paused: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Only the operator's own, to be compared with; never read back into a decision."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod that asks for GPUs, or that carries our label. `owners` are (kind, name) from the nearest outwards."""

    namespace: str
    name: str
    uid: str
    created_at: float
    node: str | None
    phase: str
    labels: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[tuple[str, str], ...] = ()
    gpus: Mapping[str, int] = field(default_factory=dict)
    """Requested devices by resource name."""
    address: str | None = None

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def active(self) -> bool:
        return self.phase in ("Pending", "Running")

    @property
    def bound(self) -> bool:
        return self.node is not None and self.active


@dataclass(frozen=True, slots=True)
class PolicyView:
    name: str
    uid: str
    generation: int
    spec: PolicySpec | None
    invalid: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FleetReadings:
    """The newest reading of every device. Rows that went stale are already NaN."""

    devices: tuple[GPUIdentity, ...] = ()
    values: Floats = field(default_factory=lambda: np.empty((0, METRICS)))
    observed_at: Floats = field(default_factory=lambda: np.empty(0))
    sources: Mapping[str, SourceState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    workloads: tuple[WorkloadView, ...] = ()
    pods: tuple[PodView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    policies: tuple[PolicyView, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels by namespace name."""
    fleet: FleetReadings = field(default_factory=FleetReadings)
    series: Mapping[str, WorkloadSeries] = field(default_factory=dict)
    """The recent past of each workload's own pods, by workload key."""
    corrections: Corrections = field(default_factory=Corrections)
    memory: Mapping[str, WorkloadMemory] = field(default_factory=dict)
    """What the last cycle handed on, by workload key; empty after a start."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """Status of the FleetReport as it stands."""
