"""What a policy lets the operator do to the cluster: single actions, the gate, the ladder of reclaim, oversubscription.

Nothing here evicts or deletes anything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mfu.api.base import Name, Resource, Share
from mfu.api.cel import validations
from mfu.api.policy_rules import RECLAIM_RULES

Minutes = Annotated[int, Field(ge=1, le=525_600)]


class ActionType(StrEnum):
    """Everything that may be done to the cluster, least power first; each is switched on by itself."""

    PREFERRED_AFFINITY = "PreferredAffinity"
    REQUIRED_AFFINITY = "RequiredAffinity"
    NODE_SELECTOR = "NodeSelector"
    TOPOLOGY_ANNOTATION = "TopologyAnnotation"
    MIG_RESOURCE = "MIGResource"
    POD_DELETION_COST = "PodDeletionCost"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    KUEUE_CHECK = "KueueCheck"
    SCALE = "Scale"
    SUSPEND = "Suspend"
    MIG_LAYOUT = "MIGLayout"


class PermittedAction(Resource):
    """One action that Enforce may take, and when."""

    type: ActionType
    """PreferredAffinity or RequiredAffinity of gated pods; NodeSelector, TopologyAnnotation or MIGResource of suspended
    owners; PodDeletionCost, PreferNoSchedule, KueueCheck, Scale, Suspend or MIGLayout."""
    min_confidence_percent: Share = 80
    """Least confidence of the decision, percent; below it nothing is done."""
    max_reading_age_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    """Age of the newest reading behind the decision, in seconds, above which nothing is done."""
    max_per_minute: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Most actions of this type per minute, in all namespaces that the policy governs."""
    dwell_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """Seconds for which a decision must have stood before it is acted upon again for the same workload."""


class Gate(Resource):
    """The scheduling gate mfu.gpuaas.io/placement, on pods of namespaces that opted in."""

    deadline_seconds: Annotated[int, Field(ge=1, le=3600)] = 60
    """Seconds after which a gated pod is released unmodified, whatever is known by then."""


class ReclaimAction(StrEnum):
    ANNOTATE = "Annotate"
    EVENT = "Event"
    SUSPEND = "Suspend"


class ReclaimStep(Resource):
    """One rung of the ladder by which idle GPUs are taken back."""

    after_idle_minutes: Minutes
    """Idle time, in minutes, after which the rung is reached; rises from rung to rung."""
    action: ReclaimAction
    """Annotate, Event or Suspend, least power first; never weaker than the rung before."""
    grace_minutes: Annotated[int, Field(ge=0, le=10_080)] = 10
    """Minutes between saying that this rung will be taken and taking it."""


class Reclaim(Resource):
    """How idle GPUs are taken back. Nothing is ever evicted or deleted."""

    model_config = validations(*RECLAIM_RULES)

    window_minutes: Minutes = 60
    """Window over which idleness is judged, in minutes."""
    max_exemption_hours: Annotated[int, Field(ge=0, le=8760)] = 72
    """Longest term of a tenant's objection (its spec.reclaim.exemptUntil), in hours from when it was made; 0 allows
    none."""
    steps: Annotated[tuple[ReclaimStep, ...], Field(max_length=8)] = ()
    """Rungs, by rising idle time; empty takes nothing back."""


class Oversubscription(Resource):
    """How much of the GPUs workloads of one priority class may ask for."""

    priority_class: Name
    """Name of a PriorityClass."""
    max_percent: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most GPUs that are promised to it, as a percentage of those there are; 100 promises each GPU once."""
