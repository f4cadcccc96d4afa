"""What `mfu read` says of one thing, and of one that it refuses."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def refused(field: str, problem: str, fix: str) -> Document:
    return {"field": field, "problem": problem, "fix": fix}
