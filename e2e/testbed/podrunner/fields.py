"""Which pod fields are obeyed, which are harmless to leave out, and which make the runner refuse the pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]


class UnsupportedField(ValueError):
    """The pod asks for something that this runner does not do; `field` is its path."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


# Placement and limits are somebody else's work; without isolation the rest has nothing to act on.
_POD_IGNORED = {
    "affinity",
    "dnsPolicy",
    "enableServiceLinks",
    "imagePullSecrets",
    "nodeSelector",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "tolerations",
    "topologySpreadConstraints",
}
_POD_OBEYED = {
    "automountServiceAccountToken",
    "containers",
    "hostNetwork",
    "nodeName",
    "serviceAccount",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "volumes",
}
_CONTAINER_IGNORED = {
    "image",
    "imagePullPolicy",
    "resources",
    "securityContext",
    "terminationMessagePath",
    "terminationMessagePolicy",
}
_CONTAINER_OBEYED = {
    "args",
    "command",
    "env",
    "envFrom",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "startupProbe",
    "volumeMounts",
    "workingDir",
}


def only_container(pod: Document) -> Document:
    """The pod's one container, once every field of both is known to be obeyed or harmless."""
    spec = pod["spec"]
    _refuse_unknown(spec, _POD_IGNORED | _POD_OBEYED, "spec")
    if len(spec["containers"]) != 1:
        raise UnsupportedField("spec.containers", f"one container is supported, not {len(spec['containers'])}")
    (container,) = spec["containers"]
    _refuse_unknown(container, _CONTAINER_IGNORED | _CONTAINER_OBEYED, "spec.containers[0]")
    if container.get("workingDir"):
        raise UnsupportedField("spec.containers[0].workingDir", "there is no container file system")
    return dict(container)


def _refuse_unknown(found: Document, known: set[str], path: str) -> None:
    for name, value in found.items():
        # An empty value asks for nothing.
        if name not in known and value not in (None, False, "", [], {}):
            raise UnsupportedField(f"{path}.{name}", "not supported by the pod runner")
