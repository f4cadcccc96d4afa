"""Pods behind gates, for tests on a real API server."""

from __future__ import annotations

import secrets
from typing import Any

from e2e.testbed.cluster.plane import ControlPlane
from mfu.api.names import PLACEMENT_GATE

CONTAINER = {"name": "train", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}


def gated(
    name: str = "", *, gates: tuple[str, ...] = (PLACEMENT_GATE,), annotations: Any = None, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name or f"pod-{secrets.token_hex(4)}"}
    if annotations:
        metadata["annotations"] = annotations
    made = {"containers": [CONTAINER], "schedulingGates": [{"name": each} for each in gates], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made}


def create(server: ControlPlane, space: str, document: dict[str, Any]) -> dict[str, Any]:
    server.apply(document, namespace=space)
    found: dict[str, Any] = server.get("pod", document["metadata"]["name"], "-n", space)
    return found


def gates_of(pod: dict[str, Any]) -> list[str]:
    return [each["name"] for each in pod["spec"].get("schedulingGates", [])]
