"""Operations of a JSON patch that says what it was made from: another object, or a later state of it, refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfu.cluster.resources import JSON


def operation(kind: str, path: str, value: Any) -> JSON:
    return {"op": kind, "path": path, "value": value}


def annotated(metadata: JSON, name: str, words: str) -> JSON:
    """One annotation, beside those that are there."""
    (change,) = put(metadata, "annotations", {name: words})
    return change


def put(metadata: JSON, kind: str, values: Mapping[str, str]) -> list[JSON]:
    """Labels or annotations (`kind`), beside those that are there."""
    if not metadata.get(kind):
        return [operation("add", f"/metadata/{kind}", dict(values))]
    return [operation("add", f"/metadata/{kind}/{step(name)}", value) for name, value in values.items()]


def as_read(metadata: JSON) -> list[JSON]:
    """Tests that it is this object, in the state that was read."""
    return [operation("test", f"/metadata/{name}", metadata[name]) for name in ("uid", "resourceVersion")]


def place(name: str) -> str:
    """`place("a/b") == "/metadata/annotations/a~1b"`."""
    return f"/metadata/annotations/{step(name)}"


def step(name: str) -> str:
    """A key as one step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
