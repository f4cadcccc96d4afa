"""Operations of a JSON patch that says what it was made from: another object, or a later state of it, refuses it."""

from __future__ import annotations

from typing import Any

from mfu.cluster.resources import JSON


def operation(kind: str, path: str, value: Any) -> JSON:
    return {"op": kind, "path": path, "value": value}


def annotated(metadata: JSON, name: str, words: str) -> JSON:
    """One annotation, beside those that are there."""
    if not metadata.get("annotations"):
        return operation("add", "/metadata/annotations", {name: words})
    return operation("add", place(name), words)


def place(name: str) -> str:
    """`place("a/b") == "/metadata/annotations/a~1b"`."""
    return f"/metadata/annotations/{step(name)}"


def step(name: str) -> str:
    """A key as one step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
