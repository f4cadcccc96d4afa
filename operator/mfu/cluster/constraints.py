"""What of a pod's spec says where it may go, beyond its constraints on single nodes."""

from __future__ import annotations

from mfu.api.names import PLACEMENT_GATE
from mfu.cluster.resources import JSON
from mfu.decide.fleet.constraints import Constraints
from mfu.decide.types import NodeView


def surely_admits(pod_spec: JSON, node: NodeView) -> bool:
    """By nodeSelector, required node affinity and tolerations. A label that is not kept of nodes gives no certainty."""
    return Constraints.read(pod_spec).admit(node, unsure=False)


def others_have_a_say(pod_spec: JSON) -> bool:
    """Whether where it may go depends on more than one node: on other pods, or on who holds another gate of it.

    Pods that must not share a node can not all be kept to one; Kueue names a node when it opens its own gate.
    """
    affinity = pod_spec.get("affinity") or {}
    pods = (affinity.get(kind) or {} for kind in ("podAffinity", "podAntiAffinity"))
    spread = pod_spec.get("topologySpreadConstraints") or ()
    return (
        any(each.get("requiredDuringSchedulingIgnoredDuringExecution") for each in pods)
        or any(each.get("whenUnsatisfiable") == "DoNotSchedule" for each in spread)
        or any(gate.get("name") != PLACEMENT_GATE for gate in pod_spec.get("schedulingGates") or ())
    )
