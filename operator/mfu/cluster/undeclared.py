"""Fields that the cluster's definitions do not know: an operator newer than they are says what they have room for.

A server-side apply with one field too many is refused whole (`.status.summary.slo: field not declared in schema`), so
that before the definitions are upgraded, and after a way back, not one status would be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

FORGET_SECONDS: Final = 300.0
"""After this long all is tried again: the definitions may have been upgraded meanwhile."""
_REFUSED = re.compile(r"(?:^|\s)\.(?P<path>\S+): field not declared in schema")
_ITEM = re.compile(r"\[[^\]]*\]")

Path = tuple[str, ...]


def undeclared(message: str) -> frozenset[Path]:
    """The fields that the API server names; items of a list count as one.

    `.status.decisions[type="Placement"].hint: field not declared in schema` gives ("status", "decisions", "hint").
    """
    return frozenset(tuple(_ITEM.sub("", found["path"]).split(".")) for found in _REFUSED.finditer(message))


def without(document: Any, paths: Iterable[Path]) -> Any:
    """A copy without these fields, in each item where one lies within a list."""
    if isinstance(document, list):
        return [without(each, paths) for each in document]
    if not isinstance(document, dict):
        return document
    here = {path[0] for path in paths if len(path) == 1}
    below: dict[str, list[Path]] = {}
    for path in paths:
        if len(path) > 1:
            below.setdefault(path[0], []).append(path[1:])
    return {
        key: without(value, below[key]) if key in below else value for key, value in document.items() if key not in here
    }


@dataclass(slots=True)
class UndeclaredFields:
    """What was refused lately, by kind."""

    _known: dict[str, frozenset[Path]] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)

    def fitted(self, kind: str, body: dict[str, Any], now: float) -> dict[str, Any]:
        """`body` as far as the definition is known to have room for it."""
        if now - self._since.get(kind, now) > FORGET_SECONDS:
            self._known.pop(kind, None)
            self._since.pop(kind, None)
        paths = self._known.get(kind)
        if not paths:
            return body
        fitting: dict[str, Any] = without(body, paths)
        return fitting

    def learned(self, kind: str, message: str, now: float) -> frozenset[Path]:
        """The fields in a refusal that were not known before; none where it says something else."""
        known = self._known.get(kind, frozenset())
        fresh = undeclared(message) - known
        if fresh:
            self._known[kind] = known | fresh
            self._since.setdefault(kind, now)
        return fresh
