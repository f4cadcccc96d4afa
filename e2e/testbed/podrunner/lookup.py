"""Finds the pod to run: a real one of a Deployment or DaemonSet, or one made from a template."""

from __future__ import annotations

from typing import Any

from e2e.testbed.cluster import ClusterAccess, wait_until
from e2e.testbed.podrunner.fields import Document


def find_pod(
    cluster: ClusterAccess, owner: str, *, namespace: str, bound: bool = False, within_seconds: float = 20.0
) -> Document:
    """A pod of `owner` (`deployment/NAME` or `daemonset/NAME`) as it stands on the API server, defaults filled in.

    Waits for the controller manager to make it and, if `bound`, for the scheduler to place it: only then do its
    token and its downward fields name a node. Raises TimeoutError when there is none in time.
    """
    selector = cluster.get(owner, "-n", namespace)["spec"]["selector"]["matchLabels"]
    labels = ",".join(f"{name}={value}" for name, value in selector.items())

    def newest() -> dict[str, Any] | None:
        pods: list[dict[str, Any]] = cluster.get("pods", "-n", namespace, "-l", labels)["items"]
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        if bound:
            live = [pod for pod in live if pod["spec"].get("nodeName")]
        return max(live, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)

    found = wait_until(newest, what=f"pod of {owner} in {namespace}", within_seconds=within_seconds)
    assert found is not None
    return found


def pod_of_template(owner: Document, *, namespace: str) -> Document:
    """A pod as a rendered Deployment or DaemonSet would make it, for an API server without controllers."""
    template = owner["spec"]["template"]
    metadata = {
        **template.get("metadata", {}),
        "name": f"{owner['metadata']['name']}-local",
        "namespace": owner["metadata"].get("namespace", namespace),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
