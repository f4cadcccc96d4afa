"""Pods that may speak for the GPUs of their node."""

from __future__ import annotations

from dataclasses import dataclass

from mfu.cluster.resources import JSON
from mfu.telemetry.addresses import is_plain


@dataclass(frozen=True, slots=True)
class ExporterPods:
    """Where exporters of one kind are looked for: nowhere but in the namespace that its admin keeps."""

    namespace: str
    selector: str


@dataclass(frozen=True, slots=True)
class Exporter:
    """One pod that serves metrics of its node's GPUs."""

    name: str
    node: str
    address: str


def exporter(item: JSON) -> Exporter | None:
    """None for a pod that may not speak for its node: one that does not run, is going, or no DaemonSet put there."""
    metadata, status = item["metadata"], item.get("status") or {}
    node, address = item["spec"].get("nodeName"), status.get("podIP")
    owners = metadata.get("ownerReferences") or ()
    placed = any(owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners)
    running = status.get("phase") == "Running" and metadata.get("deletionTimestamp") is None
    if not (node and address and placed and running and is_plain(address)):
        return None
    return Exporter(metadata["name"], node, address)
