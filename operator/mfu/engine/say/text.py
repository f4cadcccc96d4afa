"""Text forms that several parts of a plan share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mfu.api.conditions import timestamp


def compact_json(value: Mapping[str, Any]) -> str:
    """One line, keys in order, so that the same value is always the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def pruned(value: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that are unknown; the API never shows null."""
    return {key: each for key, each in value.items() if each is not None}


def moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
