"""After a start: what stands in status was measured over whole windows, and a few fresh samples do not unsay it.

A fresh figure that covers less of its window than the standing one, and does not contradict it, leaves it as it is;
only its time is taken. What is gone is gone: unknown readings and other causes are said at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mfu.api.workload_status import Cost, Observed, Summary, WorkloadStatus

YOUNG_SECONDS: Final = 600.0
"""The longest window of telemetry: older than that, a process knows as much as the one before it did."""
_CONTRADICTION: Final = 0.1
"""Relative, where a figure has no band of its own."""
_ROWS: Final = (
    ("readings", ("name",)),
    ("losses", ("cause", "explains", "wasted")),
    ("recommendations", ("kind", "field", "from_", "to")),
    ("attainment", ("objective", "limit_milliseconds")),
)
"""What tells rows apart besides their figures: losses, and what is recommended against them, stay together."""
_FROM_READINGS: Final = ("observed", "gap", "lost_per_hour", "observed_slo")


def unshaken(standing: WorkloadStatus, said: WorkloadStatus) -> WorkloadStatus:
    """`said` with the standing figures where those know better."""
    known = {_row_key(row): row for row in standing.observed}
    better = {
        key: known[key] for row in said.observed if (key := _row_key(row)) in known and _knows_better(known[key], row)
    }
    if not better:
        return said
    observed = tuple(_dated(better[key], row) if (key := _row_key(row)) in better else row for row in said.observed)
    ten_minutes = [_row_key(row) for row in said.observed if row.window == "10m"]
    derived = _derived(standing, said) if all(key in better for key in ten_minutes) else {}
    return said.model_copy(update={"observed": observed, **derived})


def _row_key(row: Observed) -> tuple[str, str]:
    return row.window, row.meter


def _dated(standing: Observed, fresh: Observed) -> Observed:
    if fresh.observed_at is None:
        return standing
    return standing.model_copy(update={"observed_at": fresh.observed_at})


def _knows_better(standing: Observed, fresh: Observed) -> bool:
    if float(standing.coverage or 0) <= float(fresh.coverage or 0):
        return False
    pairs = [(standing.mfu, fresh.mfu), (standing.mbu, fresh.mbu)]
    if any((mine is None) is not (theirs is None) for mine, theirs in pairs):
        return False
    return any(_agrees(float(mine), float(theirs), fresh) for mine, theirs in pairs if mine and theirs)


def _agrees(standing: float, value: float, fresh: Observed) -> bool:
    if abs(standing - value) <= _CONTRADICTION * abs(standing):
        return True
    return fresh.low is not None and fresh.high is not None and float(fresh.low) <= standing <= float(fresh.high)


def _derived(standing: WorkloadStatus, said: WorkloadStatus) -> dict[str, Any]:
    """What follows from the ten minutes, where nothing else about it has changed."""
    kept: dict[str, Any] = {}
    if _apart_from_readings(standing.summary) == _apart_from_readings(said.summary):
        kept["summary"] = standing.summary
    # What is lost is said twice, there and in the summary: both stand, or neither.
    if kept and standing.cost and said.cost and standing.cost.per_hour == said.cost.per_hour:
        kept["cost"] = said.cost.model_copy(update=_known_of(standing.cost))
    if kept and standing.factors and said.factors and standing.factors.scheduling == said.factors.scheduling:
        kept["factors"] = standing.factors
    for name, heads in _ROWS:
        rows = getattr(standing, name)
        if rows and _heads(rows, heads) == _heads(getattr(said, name), heads):
            kept[name] = rows
    return kept


def _known_of(standing: Cost) -> dict[str, Any]:
    """What an older version did not say is said now."""
    found = {name: getattr(standing, name) for name in Cost.model_fields}
    return {name: value for name, value in found.items() if value is not None}


def _apart_from_readings(summary: Summary | None) -> Summary | None:
    return summary and summary.model_copy(update=dict.fromkeys(_FROM_READINGS))


def _heads(rows: Sequence[Any], fields: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, field) for field in fields) for row in rows]
