"""The table of workloads, the same from a live cluster and from a replayed snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = (
    "NAMESPACE",
    "NAME",
    "MODE",
    "MODEL",
    "GPUS",
    "EXPECTED",
    "OBSERVED",
    "ATTAINABLE",
    "SCALE",
    "CAUSE",
    "$/H",
    "LOST/H",
    "READY",
)


def row(namespace: str, name: str, mode: str, status: Mapping[str, Any]) -> tuple[str, ...]:
    """One workload as `kubectl get mw` shows it."""
    summary = status.get("summary") or {}
    said = [str(summary.get(key, "Unknown")) for key in _SUMMARY]
    return (namespace, name, mode, *said, ready(status))


_SUMMARY = ("model", "gpus", "expected", "observed", "attainable", "scale", "cause", "costPerHour", "lostPerHour")


def ready(status: Mapping[str, Any]) -> str:
    conditions: Iterable[Mapping[str, Any]] = status.get("conditions") or ()
    return next((str(each["status"]) for each in conditions if each["type"] == "Ready"), "Unknown")
