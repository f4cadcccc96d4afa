"""What people declared and what runs, as the cycle sees it: workloads, pods and policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.act.checks import CheckQuestion
from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.workload_status import WorkloadStatus
from mfu.decide.fleet.constraints import Constraints
from mfu.engine.packed import Packed
from mfu.hardware.portions import Portion
from mfu.hardware.problem import Problem

NO_STATUS: Final = Packed(WorkloadStatus, {})
NO_POLICY_STATUS: Final = Packed(PolicyStatus, {})


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
    status: Packed[WorkloadStatus] = NO_STATUS
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Only the operator's own, to be compared with; never read back into a decision."""
    annotated: bool = False
    """It has annotations, whoever's."""
    resource_version: str = ""
    """Precondition of a status write, which does not look at the uid."""
    changed_at: float | None = None
    """When its spec was last written, where the server says."""
    key: str = field(init=False, compare=False, repr=False)
    """`namespace/name`."""

    @property
    def declared_at(self) -> float | None:
        """Unix seconds since when the spec is as it is; None where that is not known."""
        if self.changed_at is not None:
            return self.changed_at
        return self.created_at if self.generation <= 1 else None

    def __post_init__(self) -> None:
        # Asked for many times in each cycle of each of ten thousand.
        object.__setattr__(self, "key", f"{self.namespace}/{self.name}")


@dataclass(frozen=True, slots=True)
class Queued:
    """What Kueue knows of an object that it queues, before any pod of it is there."""

    namespace: str
    owner: tuple[str, str]
    """Kind and name of the object; empty where nothing owns the Workload."""
    priority: int
    question: CheckQuestion | None = None
    """What our check asks of it; None where its queue does not ask us."""


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod that asks for GPUs or has resource claims, or that carries our label.

    `owners` are (kind, name) from the nearest outwards.
    """

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
    priority: int | None = None
    """spec.priority; None where no priority class set it."""
    priority_class: str = ""
    """spec.priorityClassName; empty where it names none."""
    started_at: float | None = None
    """When its node took it on (Unix seconds), None while none has."""
    host_network: bool = False
    """It has its node's address instead of one of its own."""
    claims: tuple[str, ...] = ()
    """Its resource claims (DRA), as the pod names them; which devices are behind them is not known here."""
    gated: bool = False
    """It carries our scheduling gate: no scheduler looks at it yet."""
    seems: str = ""
    """What it seems to run, in a line, from its images and arguments; empty where they do not tell."""
    constraints: Constraints | None = None
    """Which nodes its own words admit; None where they are not known, and once it has a node."""
    key: str = field(init=False, compare=False, repr=False)
    """`namespace/name`."""
    portion: Portion | None = None
    """What a sharing system gives it of each of `gpus`; None where they are its own, or turns of equal length."""
    deletion_cost: int | None = None
    """What it would cost to end it rather than another of its ReplicaSet, as it says itself; None where it says nothing
    that can be read."""
    reserves: bool = False
    """It computes nothing: by it a scheduler takes a GPU for the pods that share it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.namespace}/{self.name}")

    @property
    def active(self) -> bool:
        return self.phase in ("Pending", "Running")

    @property
    def held(self) -> bool:
        """It waits behind our gate."""
        return self.gated and self.active and self.node is None

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
    status: Packed[PolicyStatus] = NO_POLICY_STATUS
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """`pods` by workload key; `conflicts` says of a younger workload which pod an older one keeps."""

    pods: Mapping[str, tuple[PodView, ...]]
    conflicts: Mapping[str, Problem]
    unclaimed: tuple[PodView, ...]
    """GPU pods without a ModelWorkload."""
    elsewhere: tuple[PodView, ...] = ()
    """GPU pods of namespaces that another operator speaks of."""
    idle: bool = True
    """Devices that nobody holds are spoken of; otherwise another operator speaks of them."""
