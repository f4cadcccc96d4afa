"""Operations of a JSON patch that says what it was made from: another object, or a later state of it, refuses it."""

from __future__ import annotations

from typing import Any, Final

from mfu.cluster.client import JSON

JSON_PATCH: Final = "application/json-patch+json"


def operation(kind: str, path: str, value: Any) -> JSON:
    return {"op": kind, "path": path, "value": value}


def annotated(metadata: JSON, name: str, words: str) -> JSON:
    """One annotation, beside those that are there."""
    if not metadata.get("annotations"):
        return operation("add", "/metadata/annotations", {name: words})
    escaped = name.replace("~", "~0").replace("/", "~1")
    return operation("add", f"/metadata/annotations/{escaped}", words)
