"""All that the cycle may know, frozen and dated. Built by `cluster`, saved and replayed by `mfu replay`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mfu.act.templates import HeldOwner
from mfu.api.fleetreport import FleetStatus
from mfu.api.powers import ActionType
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.decide.types import NodeView
from mfu.engine.packed import Packed
from mfu.engine.plan import NO_REPORT, Handover
from mfu.engine.views import Assignment as Assignment
from mfu.engine.views import PodView as PodView
from mfu.engine.views import PolicyView as PolicyView
from mfu.engine.views import Queued as Queued
from mfu.engine.views import WorkloadView as WorkloadView
from mfu.observe.readings import METRICS, Floats, GPUIdentity, SourceState, WorkloadSeries
from mfu.predict.types import Corrections


@dataclass(frozen=True, slots=True)
class FleetReadings:
    """The newest reading of every device. Rows that went stale are already NaN."""

    devices: tuple[GPUIdentity, ...] = ()
    values: Floats = field(default_factory=lambda: np.empty((0, METRICS)))
    observed_at: Floats = field(default_factory=lambda: np.empty(0))
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why readings of a node were not believed, by node."""


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
    """The recent past of each workload's own pods, by workload key; only of those in `turn`."""
    corrections: Corrections = field(default_factory=Corrections)
    before: Handover = field(default_factory=Handover)
    """What the last cycle handed on; empty after a start."""
    claims: Assignment | None = None
    """Whose pod is whose, where the builder of the snapshot knows already."""
    turn: frozenset[str] | None = None
    """uids of the workloads to be judged in this cycle; the others say what they said. None: everyone."""
    steady: frozenset[str] = frozenset()
    """uids of others that were looked at and run as they did when they were judged."""
    behind: int = 0
    """How many others wait to be judged anew."""
    report: Packed[FleetStatus] = NO_REPORT
    """Status of the FleetReport as it stands."""
    queued: tuple[Queued, ...] = ()
    """Kueue's Workloads; empty where Kueue is not read."""
    flavors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Node labels of Kueue's flavors, by name."""
    held: tuple[HeldOwner, ...] = ()
    """Owners of which nothing runs; empty where no action needs them."""
    partitioned: tuple[PartitionedNode, ...] = ()
    """Nodes whose driver cuts slices on allocation (DRA)."""
    switched_on: frozenset[ActionType] = frozenset()
    """Actions that this operator carries out; of all others there is only the dry run."""
