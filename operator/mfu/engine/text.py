"""Text forms that several parts of a plan share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mfu.api.conditions import timestamp

MOST_WORDS: Final = 2048
"""Characters of a sentence in status."""


def compact_json(value: Mapping[str, Any]) -> str:
    """One line, keys in order, so that the same value is always the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))


def epoch(timestamp: str) -> float:
    """RFC 3339 → Unix seconds. Raises ValueError for anything else."""
    return datetime.fromisoformat(timestamp).timestamp()
