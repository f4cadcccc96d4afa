"""A real Kubernetes control plane as child processes, without containers.

    from e2e.testbed.cluster import ControlPlane

    with ControlPlane.start() as cluster:
        print(cluster.kubectl("get", "nodes"))

`python -m e2e.testbed.cluster build` builds the binaries once, `python -m e2e.testbed.cluster up` keeps one running.
"""

from e2e.testbed.cluster.binaries import BinaryUnavailable, ensure_binaries
from e2e.testbed.cluster.client import ClusterAccess, ForeignCluster, KubectlFailed
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.process import StartFailed
from e2e.testbed.cluster.waiting import wait_until

__all__ = [
    "BinaryUnavailable",
    "ClusterAccess",
    "ControlPlane",
    "ForeignCluster",
    "KubectlFailed",
    "StartFailed",
    "ensure_binaries",
    "wait_until",
]
