"""Raw log text → clean lines with their times: no colours, carriage returns, or wrapping of container runtimes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

LONGEST_LINE: Final = 16_384
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")
_RUNTIME: Final = re.compile(r"^(\d{4}-\d\d-\d\dT\S+?(?:Z|[+-]\d\d:\d\d))\s+(?:(?:stdout|stderr)\s+[FP]\s+)?")
"""`kubectl logs --timestamps`, and the files of containerd and CRI-O."""
_TIMES: Final = (
    (re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"), "ymd"),
    (re.compile(r"\b(\d\d)/(\d\d)/(\d{4}),? (\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?"), "mdy"),
    (re.compile(r"^[IWEF](\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d+)"), "md"),
)
_SOME_YEAR: Final = 2024
"""Of glog lines, which give none; only differences count."""
_TIME_WITHIN: Final = 120


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without decoration; `at` seconds by its own clock, None without a time."""

    text: str
    at: float | None = None


def lines(raw: Iterable[str]) -> Iterator[LogLine]:
    """Every line and every state of a progress bar; what is longer than 16 KiB is cut.

    `[each.text for each in lines(["a\\rb\\n"])] == ["a", "b"]`.
    """
    for row in raw:
        for part in row.replace("\n", "\r").split("\r"):
            if part.strip():
                yield _line(part[:LONGEST_LINE])


def _line(part: str) -> LogLine:
    text, outer = _unwrapped(_COLOURS.sub("", part))
    return LogLine(text, outer if outer is not None else time_of(text))


def _unwrapped(text: str) -> tuple[str, float | None]:
    """Without Docker's JSON or the runtime's prefix, and the time that they gave."""
    if text.startswith('{"log":'):
        try:
            entry = json.loads(text)
            return _COLOURS.sub("", str(entry["log"])).strip(), time_of(str(entry.get("time", "")))
        except (ValueError, KeyError):
            return text, None
    prefix = _RUNTIME.match(text)
    return (text, None) if prefix is None else (text[prefix.end() :], time_of(prefix[1]))


def time_of(text: str) -> float | None:
    """Seconds of the first time in a line, as UTC whatever zone it meant."""
    for expression, order in _TIMES:
        match = expression.search(text[:_TIME_WITHIN])
        if match is not None:
            return _seconds(match.groups(), order)
    return None


def _seconds(parts: tuple[str | None, ...], order: str) -> float | None:
    *whole, fraction = parts
    numbers = [int(each or 0) for each in whole]
    if order == "mdy":
        numbers = [numbers[2], numbers[0], numbers[1], *numbers[3:]]
    elif order == "md":
        numbers = [_SOME_YEAR, *numbers]
    try:
        year, month, day, hour, minute, second = numbers
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
