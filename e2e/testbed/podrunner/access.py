"""What a pod may do: a kubeconfig made from a token of its own service account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.cluster.credentials import write_private
from e2e.testbed.podrunner.fields import Document

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def request_token(cluster: ClusterAccess, pod: Document, *, audience: str | None = None) -> str:
    """A one-hour token of the pod's service account by TokenRequest; not renewed, as a kubelet would.

    Bound to the pod, as a kubelet's: it names the pod's node, and ends with the pod.
    """
    metadata = pod["metadata"]
    account = pod["spec"].get("serviceAccountName", "default")
    wanted = ["--duration=1h", *([f"--audience={audience}"] if audience else [])]
    if "uid" in metadata:
        bound = {"kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        wanted += [f"--bound-object-{key}={value}" for key, value in bound.items()]
    return cluster.kubectl("create", "token", account, "-n", metadata["namespace"], *wanted).strip()


def mounts_token(cluster: ClusterAccess, pod: Document, container: Document) -> bool:
    """Whether the container would find a token where in-cluster clients look for it."""
    if any(mount["mountPath"] == _TOKEN_PATH for mount in container.get("volumeMounts", [])):
        return True
    if "uid" in pod["metadata"]:
        # A pod from the API server has passed admission: what is not mounted now never will be.
        return False
    account = pod["spec"].get("serviceAccountName", "default")
    found: dict[str, Any] = cluster.get("serviceaccount", account, "-n", pod["metadata"]["namespace"])
    asked = pod["spec"].get("automountServiceAccountToken", found.get("automountServiceAccountToken"))
    return asked is not False


def write_pod_kubeconfig(cluster: ClusterAccess, pod: Document, path: Path) -> Path:
    """A kubeconfig for the same API server with the pod's token instead of the administrator's credentials."""
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    (user,), (context,) = config["users"], config["contexts"]
    user["user"] = {"token": request_token(cluster, pod)}
    context["context"]["namespace"] = pod["metadata"]["namespace"]
    return write_private(path, json.dumps(config))
