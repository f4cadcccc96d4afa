"""Names that other programs see: group, kinds, labels, annotations, gates; spelled here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = "mfu.gpuaas.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is addressed at the API server."""

    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...]

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path; parts may be left out: `MODEL_WORKLOAD.path("a", "b", "status")` ends in
        /namespaces/a/modelworkloads/b/status."""
        parts = ["/apis", GROUP, VERSION]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/".join(parts)


MODEL_WORKLOAD: Final = Kind("ModelWorkload", "modelworkloads", "modelworkload", True, ("mw",))
MFU_POLICY: Final = Kind("MFUPolicy", "mfupolicies", "mfupolicy", False, ("mfup",))
GPU_NODE: Final = Kind("GPUNode", "gpunodes", "gpunode", False, ("gn",))
FLEET_REPORT: Final = Kind("FleetReport", "fleetreports", "fleetreport", False, ("fleet",))
KINDS: Final = (MODEL_WORKLOAD, MFU_POLICY, GPU_NODE, FLEET_REPORT)

FLEET_REPORT_NAME: Final = "fleet"
"""The only FleetReport that there is."""

CATEGORY: Final = "mfu"
"""`kubectl get mfu` lists all kinds of the group."""

# Labels
GATE_LABEL: Final = f"{GROUP}/gate"
"""On namespaces: `enabled` has the admission policy of the chart put our scheduling gate on their labelled pods."""
WORKLOAD_LABEL: Final = f"{GROUP}/workload"
"""On pods: name of the ModelWorkload in the same namespace that they belong to; wins over targetRef and podSelector."""

# Annotations people set
PAUSED_ANNOTATION: Final = f"{GROUP}/paused"
"""`"true"` freezes everything about an object: no status, no decision, no action."""

# Annotations the operator writes and never reads back
DECISION_ANNOTATION_PREFIX: Final = f"{GROUP}/decision-"
"""Followed by the decision type in lower case, e.g. mfu.gpuaas.io/decision-placement."""
RANK_ORDER_ANNOTATION: Final = f"{GROUP}/decision-rank-order"
"""On pods that their controller numbers: which ranks go to which node, such as `n0=0-3,n1=4-7`."""
RECOMMENDED_AFFINITY_ANNOTATION: Final = f"{GROUP}/recommended-affinity"
"""Ready-to-paste `affinity` block, JSON."""
RECOMMENDED_REPLICAS_ANNOTATION: Final = f"{GROUP}/recommended-replicas"
"""Replicas that would carry the load, a whole number."""
RECOMMENDED_MIG_PROFILE_ANNOTATION: Final = f"{GROUP}/recommended-mig-profile"
"""Smallest MIG profile that would do, such as 1g.10gb."""

# Reserved for the rungs of the ladder that act
GATED_ANNOTATION: Final = f"{GROUP}/gated"
"""On pods that were made with our gate: how they came by it."""
PLACEMENT_GATE: Final = f"{GROUP}/placement"
"""Scheduling gate on pods that wait for a placement decision; it has a deadline. No other gate is ever removed."""
ADMISSION_CHECK: Final = f"{GROUP}/admission"
"""Controller name of the Kueue AdmissionCheck."""

# Kubernetes' own, and Kueue's
DELETION_COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
"""On pods: a ReplicaSet that shrinks ends those of the lowest first."""
QUEUE_GATE_ANNOTATION: Final = "kueue.x-k8s.io/admission-gated-by"
"""On Jobs: Kueue looks at none while this names anybody, with commas between; ours is the name of PLACEMENT_GATE."""

# Who writes
FIELD_MANAGER: Final = "mfu-operator"
"""Field manager of status; the whole status is applied at once by this manager."""
ANNOTATION_FIELD_MANAGER: Final = "mfu-operator-annotations"
"""Separate from FIELD_MANAGER: an apply removes what the same manager applied before and now leaves out."""
AGENT_FIELD_MANAGER: Final = "mfu-agent"
LEASE_NAME: Final = "mfu-operator"


def decision_annotation(decision_type: str) -> str:
    """`decision_annotation("Placement") == "mfu.gpuaas.io/decision-placement"`."""
    return DECISION_ANNOTATION_PREFIX + decision_type.lower()
