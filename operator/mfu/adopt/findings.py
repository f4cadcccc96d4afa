"""What was found out about one workload, line by line: read, assumed, or not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Certainty(StrEnum):
    READ = "read"
    """The object says it."""
    ASSUMED = "assumed"
    """It does not: a default of the engine or the framework, or a usual value, to be corrected by whoever knows."""
    UNKNOWN = "unknown"
    """Nothing says it and no value was put in its place."""


@dataclass(frozen=True, slots=True)
class FoundLine:
    """One field, its value, and where it comes from or why it is not known."""

    certainty: Certainty
    field: str
    value: Any
    why: str
    named: str = ""
    """What the object calls it, where that is no value of the field: a model that is no preset."""

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {self.value}"
        return f"{self.certainty}: {self.field}{value} ({self.why})"


@dataclass(slots=True)
class Findings:
    """Collects lines while a workload is read; `declared` holds the values, nested as in the API."""

    lines: list[FoundLine] = field(default_factory=list)
    declared: dict[str, Any] = field(default_factory=dict)

    def read(self, path: str, value: Any, why: str) -> None:
        self._put(Certainty.READ, path, value, why)

    def assume(self, path: str, value: Any, why: str) -> None:
        self._put(Certainty.ASSUMED, path, value, why)

    def unknown(self, path: str, why: str, *, named: str = "") -> None:
        self.lines.append(FoundLine(Certainty.UNKNOWN, path, None, why, named))

    def holds(self, path: str) -> bool:
        return self.value(path) is not None

    def value(self, path: str) -> Any:
        """What was put at a path, None where nothing was."""
        node: Any = self.declared
        for step in path.split("."):
            node = node.get(step) if isinstance(node, Mapping) else None
        return node

    def _put(self, certainty: Certainty, path: str, value: Any, why: str) -> None:
        self.lines.append(FoundLine(certainty, path, _shown(value), why))
        *parents, last = path.split(".")
        node = self.declared
        for step in parents:
            node = node.setdefault(step, {})
        node[last] = value


def _shown(value: Any) -> Any:
    """Dimensions are in the declaration; the line names the model only."""
    if isinstance(value, Mapping) and "architecture" in value:
        return value.get("name", "dimensions")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return value
