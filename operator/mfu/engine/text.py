"""Text forms that several parts of a plan share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def compact_json(value: Mapping[str, Any]) -> str:
    """One line, keys in order, so that the same value is always the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
