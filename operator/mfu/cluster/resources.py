"""The kinds that we read and write, as REST paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GROUP: Final = "mfu.gpuaas.io"
VERSION: Final = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object: `path()` is its collection, `path(namespace, name, subresource)` one object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        parts = [root + scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


NODES: Final = Resource("", "v1", "nodes", "Node", namespaced=False)
NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
PODS: Final = Resource("", "v1", "pods", "Pod")
CONFIGMAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
JOBS: Final = Resource("batch", "v1", "jobs", "Job")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")
MODELWORKLOADS: Final = Resource(GROUP, VERSION, "modelworkloads", "ModelWorkload")
MFUPOLICIES: Final = Resource(GROUP, VERSION, "mfupolicies", "MFUPolicy", namespaced=False)
GPUNODES: Final = Resource(GROUP, VERSION, "gpunodes", "GPUNode", namespaced=False)
FLEETREPORTS: Final = Resource(GROUP, VERSION, "fleetreports", "FleetReport", namespaced=False)
