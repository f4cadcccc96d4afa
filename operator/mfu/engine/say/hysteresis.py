"""When is a status worth writing? Noise is not news: figures may wander a little, and times refresh slowly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

REFRESH_SECONDS: Final = 300.0
"""`observedAt` alone makes a write at most this often."""
ABSOLUTE: Final = 0.005
"""Half a point of a fraction."""
RELATIVE: Final = 0.02

# A number does not start inside a word: digits of a node name are news.
_NUMBER: Final = re.compile(r"(?<![\w.-])-?\d[\d,]*(?:\.\d+)?(?:[eE][+-]?\d+)?")
_REFRESHED: Final = frozenset({"observedAt", "generatedAt"})
# When an answer first came out or last turned is kept by the writer of the status; a new time alone is no news.
_TIMES: Final = frozenset({"evaluatedAt", "lastTransitionTime", "samples", "observations"})
# Sentences: their words are news, the readings inside them are not.
_PROSE: Final = frozenset({"message", "evidence", "action"})
# How much is known wanders with every round that comes in late; a tenth tells.
_TOLERANCES: Final = {"coverage": 0.1, "confidence": 0.1}
_PERCENT_TOLERANCE: Final = 100 * ABSOLUTE


def differs(current: Any, desired: Any, *, key: str = "") -> bool:
    """Whether `desired` says something new compared with `current` (two JSON values).

    >>> differs({"mfu": "0.4120"}, {"mfu": "0.4151"}), differs({"mfu": "0.4120"}, {"mfu": "0.4320"})
    (False, True)
    """
    if key in _TIMES:
        return False
    if isinstance(desired, Mapping):
        return not isinstance(current, Mapping) or _mappings_differ(current, desired)
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        return not isinstance(current, Sequence) or _lists_differ(current, desired, key)
    if current == desired:
        return False
    if isinstance(desired, str) and isinstance(current, str):
        return _strings_differ(current, desired, key)
    return True


def _mappings_differ(current: Mapping[str, Any], desired: Mapping[str, Any]) -> bool:
    if current.keys() != desired.keys():
        return True
    return any(differs(current[key], value, key=key) for key, value in desired.items())


def _lists_differ(current: Sequence[Any], desired: Sequence[Any], key: str) -> bool:
    if len(current) != len(desired):
        return True
    return any(differs(mine, theirs, key=key) for mine, theirs in zip(current, desired, strict=True))


def _strings_differ(current: str, desired: str, key: str) -> bool:
    if key in _REFRESHED:
        return _due(current, desired)
    if _NUMBER.sub("#", current) != _NUMBER.sub("#", desired):
        return True
    if key in _PROSE:
        return False
    absolute = _PERCENT_TOLERANCE if "%" in desired or desired.endswith("pt") else _TOLERANCES.get(key, ABSOLUTE)
    pairs = zip(_NUMBER.findall(current), _NUMBER.findall(desired), strict=True)
    return any(_apart(_float(mine), _float(theirs), absolute) for mine, theirs in pairs)


def _apart(mine: float, theirs: float, absolute: float) -> bool:
    return abs(mine - theirs) > max(absolute, RELATIVE * abs(mine))


def _float(text: str) -> float:
    return float(text.replace(",", ""))


def _due(current: str, desired: str) -> bool:
    """A time that does not read is due."""
    try:
        return abs(_seconds(desired) - _seconds(current)) >= REFRESH_SECONDS
    except (TypeError, ValueError):
        return True


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
