"""Decimal strings of the API as numbers, and numbers as they stand in sentences. Unknown stays unknown."""

from __future__ import annotations

from math import isfinite
from typing import Final

UNKNOWN: Final = "Unknown"


def number(text: str | None) -> float | None:
    """`number("0.48") == 0.48`. "1e999" is a decimal string as well, and says nothing."""
    if text is None:
        return None
    value = float(text)
    return value if isfinite(value) else None


def share(fraction: float | None) -> str:
    """A fraction in a sentence: `share(0.48) == "48.0 %"`."""
    return UNKNOWN if fraction is None else f"{100 * fraction:.1f} %"
