"""Numbers as people and programs print them, with their units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Final

NUMBER: Final = r"(?P<value>[-+]?(?:\d{1,3}(?:[,_]\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?)(?P<scale>[kKMGB])?(?![\w.])"
"""With thousands separators, exponents, and the suffixes of nanotron (11.5K)."""
_UNIT: Final = (
    r"(?P<value>[-+]?\d[\d,_]*(?:\.\d+)?(?:[eE][-+]?\d+)?)(?P<scale>)\s*"
    r"(?P<unit>ms|us|s(?:ec(?:onds?)?)?|min)?(?![\w/])"
)
_SCALES: Final[Mapping[str, float]] = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_UNITS: Final[Mapping[str, float]] = {"ms": 1e-3, "us": 1e-6, "min": 60.0}
_CLOCK: Final = re.compile(r"(?:(\d+) days?,? )?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")
_WORDS: Final = re.compile(r"(?:(\d+)d\s*)?(?:(\d+)h\s*)?(?:(\d+)m\s*)?(?:(\d+(?:\.\d+)?)s)")


def expression(text: str) -> re.Pattern[str]:
    """A pattern in which `#` stands for a number and `@` for a duration with its unit, if it has one."""
    return re.compile(text.replace("#", NUMBER).replace("@", _UNIT))


def value(match: re.Match[str]) -> float | None:
    """The number of a match in base units; None for what is no finite number, nan of a loss included.

    `value(expression("tps: #").search("tps: 7,012")) == 7012.0`, and "time 561.94ms" is 0.56194 s.
    """
    found = match.groupdict()
    try:
        number = float((found["value"] or "").replace(",", "").replace("_", ""))
    except ValueError:
        return None
    number *= _SCALES.get(found.get("scale") or "", 1.0) * _UNITS.get(found.get("unit") or "", 1.0)
    return number if isfinite(number) else None


def duration(text: str) -> float | None:
    """`duration("1:42:42") == 6162.0`, `duration("1m 2s") == 62.0`; None for anything else."""
    match = _CLOCK.fullmatch(text.strip()) or _WORDS.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (float(each or 0) for each in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
