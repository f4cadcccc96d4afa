"""Conversions between the units people write and the units the code computes in: flops, bytes, seconds, fractions."""

from __future__ import annotations

from math import isfinite
from typing import Final

KIB: Final = 1024
MIB: Final = 1024**2
GIB: Final = 1024**3
GIGA: Final = 10**9
TERA: Final = 10**12

_UNKNOWN: Final = "Unknown"


def tflops_to_flops(tflops_per_s: float) -> float:
    """TFLOP/s → FLOP/s. `tflops_to_flops(989.4) == 9.894e14`."""
    return tflops_per_s * TERA


def gigabytes_to_bytes(gigabytes: float) -> float:
    """Decimal GB (datasheet bandwidth and capacity) → bytes. `gigabytes_to_bytes(3350) == 3.35e12`."""
    return gigabytes * GIGA


def gigabits_to_bytes(gigabits: float) -> float:
    """Gbit, in which networks are sold → bytes. `gigabits_to_bytes(400) == 5e10`."""
    return gigabits * GIGA / 8


def percent(fraction: float | None, digits: int = 1) -> str:
    """Screen form of a fraction: `percent(0.412) == "41.2%"`; unknown stays "Unknown", infinity is unknown."""
    return _UNKNOWN if fraction is None or not isfinite(fraction) else f"{100 * fraction:.{digits}f}%"


def points(fraction: float | None, digits: int = 1) -> str:
    """Screen form of a difference of fractions in percentage points: `points(0.267) == "26.7pt"`."""
    return _UNKNOWN if fraction is None or not isfinite(fraction) else f"{100 * fraction:.{digits}f}pt"


def money(amount: float | None, symbol: str = "$") -> str:
    """Screen form of an amount: `money(332.1) == "$332.10"`."""
    return _UNKNOWN if amount is None or not isfinite(amount) else f"{symbol}{amount:,.2f}"


MOST_DIGITS: Final = 24
"""Letters of a decimal string of the API."""


def decimal(fraction: float | None, digits: int = 4) -> str | None:
    """API form of a fraction, a decimal string (the API has no floats): `decimal(0.41234) == "0.4123"`.

    None for what is not known, and for what is longer than the API takes: no such number means anything.
    """
    if fraction is None or not isfinite(fraction):
        return None
    text = f"{fraction:.{digits}f}"
    return text if len(text) <= MOST_DIGITS else None


def gibibytes(size_bytes: float | None) -> str:
    """Screen and quantity form of a size, whole GiB above ten: `gibibytes(61 * 1024**3) == "61Gi"`."""
    if size_bytes is None or not isfinite(size_bytes):
        return _UNKNOWN
    size = size_bytes / GIB
    return f"{size:.0f}Gi" if size >= 10 else f"{size:.1f}Gi"
