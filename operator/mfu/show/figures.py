"""Decimal strings of the API as numbers, and numbers as they stand in sentences. Unknown stays unknown."""

from __future__ import annotations

from math import isfinite
from typing import Final

from mfu.units import money

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


def priced(amount: str | None, currency: str, per: str) -> str:
    """`priced("0.4213", "$", "per M tokens") == "$0.421 per M tokens"`; "" where it is unknown."""
    value = number(amount)
    if value is None:
        return ""
    return f"{money(value, currency)} {per}" if value >= 1 or not value else f"{currency}{value:.3g} {per}"
