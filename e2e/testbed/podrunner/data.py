"""Contents of the config maps and secrets that a pod names."""

from __future__ import annotations

import base64
import json
from typing import Any

from e2e.testbed.cluster import ClusterAccess
from e2e.testbed.podrunner.fields import Document


def read_data(cluster: ClusterAccess, pod: Document, kind: str, reference: Document) -> dict[str, bytes]:
    """All keys of a `configMap` or `secret` in the pod's namespace; empty when it is missing and `optional`.

    Raises KubectlFailed when it is missing and needed: a kubelet would hold the pod back.
    """
    name = reference.get("name") or reference["secretName"]
    missing = ("--ignore-not-found",) if reference.get("optional") else ()
    text = cluster.kubectl("get", kind, name, "-n", pod["metadata"]["namespace"], "-o", "json", *missing)
    found: dict[str, Any] = json.loads(text or "{}")
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}
    texts = {key: value.encode() for key, value in found.get("data", {}).items()}
    return texts | {key: base64.b64decode(value) for key, value in found.get("binaryData", {}).items()}
