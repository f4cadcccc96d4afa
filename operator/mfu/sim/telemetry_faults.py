"""Broken telemetry on demand: what exporters, proxies and networks do to the text on its way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class TelemetryFault(StrEnum):
    REFUSED = "refused"
    """The connection is closed without an answer; without a target the whole endpoint stops listening."""
    ERROR_500 = "error-500"
    ENDLESS = "endless"
    """A body that never ends."""
    REDIRECT = "redirect"
    SLOW = "slow"
    """Headers, then silence."""
    NAN = "nan"
    BLANK = "blank"
    """DCGM's blank sentinels leak as numbers."""
    RESET = "counter-reset"
    """Counters start again from zero."""
    STALE = "stale"
    """The same values for ever."""
    DUPLICATE = "duplicate"
    """Every series twice, the second time with other values' pod, as under time-slicing."""
    UNKNOWN_PRODUCT = "unknown-product"
    PROFILING_MISSING = "no-profiling"
    """The profiling module is not loaded: no DCGM_FI_PROF rows."""
    MALFORMED = "malformed"
    """A line that is no sample in the middle of the page."""


TRANSPORT: Final = frozenset(
    {
        TelemetryFault.REFUSED,
        TelemetryFault.ERROR_500,
        TelemetryFault.ENDLESS,
        TelemetryFault.REDIRECT,
        TelemetryFault.SLOW,
    }
)
"""Faults of the answer as a whole; the others change its text."""


class InvalidFault(ValueError):
    """A fault request that is not understood; the message says what is."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """One switched-on fault. `target` is a node, or `namespace/pod`; empty means everything."""

    kind: TelemetryFault
    target: str = ""
    metric: str = ""
    """Only families whose name contains this; empty means all."""
    since: float = 0.0

    def hits(self, target: str) -> bool:
        return self.target in ("", target)


def parse_fault(document: dict[str, object], now: float) -> ActiveFault:
    """A fault from `{"kind": …, "target": …, "metric": …}`. Raises InvalidFault."""
    unknown = document.keys() - {"kind", "target", "metric"}
    if unknown:
        raise InvalidFault(f"{min(unknown)!r} is no field of a fault; use kind, target, metric")
    try:
        kind = TelemetryFault(str(document.get("kind", "")))
    except ValueError:
        raise InvalidFault(f"kind is one of {', '.join(TelemetryFault)}") from None
    return ActiveFault(kind, str(document.get("target", "")), str(document.get("metric", "")), now)


_SAMPLE: Final = re.compile(r"^(?P<name>[A-Za-z_:][\w:]*)(?P<labels>\{.*\})? (?P<value>\S+)$", re.MULTILINE)
_BLANK_INT64: Final = "9223372036854775794"
_BLANK_FP64: Final = "140737488355328.000000"


def break_text(text: str, faults: Iterable[ActiveFault]) -> str:
    """The page as it arrives with those faults switched on; transport faults leave it as it is."""
    for fault in faults:
        text = _break(text, fault)
    return text


def _break(text: str, fault: ActiveFault) -> str:
    kind = fault.kind
    if kind is TelemetryFault.UNKNOWN_PRODUCT:
        return re.sub(r'modelName="[^"]*"', 'modelName="NVIDIA X900 Prototype"', text)
    if kind is TelemetryFault.PROFILING_MISSING:
        return "".join(line for line in text.splitlines(keepends=True) if "DCGM_FI_PROF_" not in line)
    if kind is TelemetryFault.MALFORMED:
        half = text.find("\n", len(text) // 2) + 1
        return text[:half] + 'DCGM_FI_DEV_SM_CLOCK{gpu="0",UUID="GPU- 17\n' + text[half:]
    if kind in (TelemetryFault.NAN, TelemetryFault.BLANK, TelemetryFault.DUPLICATE):
        return _SAMPLE.sub(lambda match: _broken_sample(match, fault), text)
    return text


def _broken_sample(match: re.Match[str], fault: ActiveFault) -> str:
    line, name, value = match[0], match["name"], match["value"]
    if fault.metric not in name:
        return line
    if fault.kind is TelemetryFault.DUPLICATE:
        return f"{line}\n{_other_pod(line)}"
    broken = "NaN"
    if fault.kind is TelemetryFault.BLANK:
        broken = _BLANK_FP64 if "." in value else _BLANK_INT64
    return line[: len(line) - len(value)] + broken


def _other_pod(line: str) -> str:
    return re.sub(r'pod="([^"]*)"', r'pod="\1-shared"', line)


def counter_values(text: str) -> dict[str, float]:
    """Value of every counter sample on the page, by the sample's name and labels."""
    families = {
        line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ") and line.endswith(" counter")
    }
    matches = (match for match in _SAMPLE.finditer(text) if match["name"] in families)
    return {match["name"] + (match["labels"] or ""): float(match["value"]) for match in matches}


def since_baseline(text: str, baseline: dict[str, float]) -> str:
    """The page with every counter counting from where `baseline` was taken: what a restart makes of it."""

    def restarted(match: re.Match[str]) -> str:
        series = match["name"] + (match["labels"] or "")
        if series not in baseline:
            return match[0]
        return f"{series} {float(match['value']) - baseline[series]:.0f}"

    return _SAMPLE.sub(restarted, text)
