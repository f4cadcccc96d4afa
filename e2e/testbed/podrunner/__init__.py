"""Runs a pod of a real API server as a child process: its command, environment, files, rights and probes.

    pod = find_pod(cluster, "deployment/mfu-operator", namespace="mfu-system")
    with LocalPod.run(cluster, pod) as running:
        running.wait_ready()

What is like a kubelet's doing: the command, arguments and environment with `$(VAR)` expanded, downward fields, config
maps, secrets and tokens as files, a token of the pod's own service account (so RBAC holds), and the probes with their
thresholds. What is left out: the image (the command is this checkout's), limits and security context, network and
mount isolation, restarts. Mount paths are mapped into a temporary folder by rewriting them where they stand in
arguments and environment. A field that is neither obeyed nor listed as harmless is refused (`UnsupportedField`).
"""

from e2e.testbed.podrunner.fields import UnsupportedField
from e2e.testbed.podrunner.local_pod import LocalPod, NodeStandIn, PodFailed
from e2e.testbed.podrunner.lookup import find_pod, pod_of_template

__all__ = ["LocalPod", "NodeStandIn", "PodFailed", "UnsupportedField", "find_pod", "pod_of_template"]
