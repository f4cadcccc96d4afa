"""Did the operator tell the truth? Status against planted truth, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

TOLERANCE: Final = 0.02
NOTHING: Final = "None"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that status says otherwise than was planted."""

    workload: str
    what: str
    planted: str
    shown: str


def differences(statuses: Mapping[str, Mapping[str, Any]], truth: Mapping[str, Mapping[str, Any]]) -> list[Difference]:
    """Everything that differs, by workload; empty when all numbers and causes match. Keys are `namespace/name`."""
    found: list[Difference] = []
    for key, planted in sorted(truth.items()):
        found.extend(_of_one(key, statuses.get(key, {}), planted))
    return found


def fleet_differences(report: Mapping[str, Any], truth: Mapping[str, Any]) -> list[Difference]:
    """The fleet's own figure, idle GPUs included. Empty when it matches; `report` is the FleetReport's status."""
    shown = report.get("totals", {}).get("mfu")
    if shown is not None and abs(float(shown) - truth["mfu"]) <= TOLERANCE:
        return []
    return [Difference("(fleet)", "MFU of all GPUs", f"{truth['mfu']:.1%}", "unknown" if shown is None else shown)]


def observed_mfu(status: Mapping[str, Any]) -> float | None:
    """The observation that the columns show: progress where there is any, else counters; None when nothing is known."""
    known = [each for each in status.get("observed", ()) if "mfu" in each and each.get("window") == "10m"]
    best = max(known, key=lambda each: (each["meter"] == "Progress", float(each.get("confidence", 0))), default=None)
    return None if best is None else float(best["mfu"])


def _of_one(key: str, status: Mapping[str, Any], planted: Mapping[str, Any]) -> Iterable[Difference]:
    observed = observed_mfu(status)
    if observed is None or abs(observed - planted["mfu"]) > TOLERANCE:
        shown = "unknown" if observed is None else f"{observed:.1%}"
        yield Difference(key, "observed MFU", f"{planted['mfu']:.1%}", shown)
    summary = status.get("summary", {})
    scale = summary.get("scale", "MFU").lower()
    if planted.get(scale) is not None and _off(summary.get("observed"), planted[scale]):
        yield Difference(
            key, f"column OBSERVED ({scale.upper()})", f"{planted[scale]:.1%}", summary.get("observed", "unknown")
        )
    cause = summary.get("cause", "no status")
    if planted["cause"] == NOTHING:
        yield from _accusations(key, status, cause)
    elif cause != planted["cause"]:
        yield Difference(key, "main cause", planted["cause"], cause)


def _off(shown: str | None, planted: float) -> bool:
    """Whether a percentage of the columns is missing or further from the truth than the tolerance."""
    try:
        return abs(float((shown or "").rstrip("%")) / 100 - planted) > TOLERANCE
    except ValueError:
        return True


def _accusations(key: str, status: Mapping[str, Any], cause: str) -> Iterable[Difference]:
    """A healthy workload may be told what it could gain, but not that it wastes."""
    accused = [loss["cause"] for loss in status.get("losses", ()) if loss.get("wasted", True)]
    harmless = {loss["cause"] for loss in status.get("losses", ())} - set(accused)
    if accused:
        yield Difference(key, "accused of", NOTHING, ", ".join(accused))
    elif cause != NOTHING and cause not in harmless:
        yield Difference(key, "main cause", NOTHING, cause)
