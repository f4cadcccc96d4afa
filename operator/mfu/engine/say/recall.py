"""After a start: what stands in status was measured over whole windows, and a few fresh samples do not unsay it.

A fresh figure that covers less of its window than the standing one, and does not contradict it, leaves it as it is;
only its time is taken. What is gone is gone: unknown readings and other causes are said at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

JSON = dict[str, Any]

YOUNG_SECONDS: Final = 600.0
"""The longest window of telemetry: older than that, a process knows as much as the one before it did."""
_FIGURES: Final = ("observed", "gap", "lostPerHour")
_CONTRADICTION: Final = 0.1
"""Relative, where a figure has no band of its own."""


def unshaken(standing: Mapping[str, Any], said: Mapping[str, Any]) -> JSON:
    """`said` with the standing figures where those know better; both are statuses of a ModelWorkload."""
    known = {_row_key(row): row for row in standing.get("observed") or ()}
    rows: Sequence[Mapping[str, Any]] = said.get("observed") or ()
    better = {key: known[key] for row in rows if (key := _row_key(row)) in known and _knows_better(known[key], row)}
    if not better:
        return dict(said)
    observed = [{**better[key], **_time(row)} if (key := _row_key(row)) in better else row for row in rows]
    ten_minutes = [_row_key(row) for row in rows if row.get("window") == "10m"]
    derived = _derived(standing, said) if all(key in better for key in ten_minutes) else {}
    return {**said, "observed": observed, **derived}


def _row_key(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row.get("window"), row.get("meter")


def _time(row: Mapping[str, Any]) -> JSON:
    return {"observedAt": row["observedAt"]} if "observedAt" in row else {}


def _knows_better(standing: Mapping[str, Any], fresh: Mapping[str, Any]) -> bool:
    if float(standing.get("coverage", 0)) <= float(fresh.get("coverage", 0)):
        return False
    names = [name for name in ("mfu", "mbu") if name in standing and name in fresh]
    if {"mfu", "mbu"} & standing.keys() != {"mfu", "mbu"} & fresh.keys() or not names:
        return False
    return any(_agrees(float(standing[name]), float(fresh[name]), fresh) for name in names)


def _agrees(standing: float, value: float, fresh: Mapping[str, Any]) -> bool:
    if abs(standing - value) <= _CONTRADICTION * abs(standing):
        return True
    return "low" in fresh and "high" in fresh and float(fresh["low"]) <= standing <= float(fresh["high"])


def _derived(standing: Mapping[str, Any], said: Mapping[str, Any]) -> JSON:
    """What follows from the ten minutes, where nothing else about it has changed."""
    kept: JSON = {}
    before, now = standing.get("summary") or {}, said.get("summary") or {}
    if _without(before, _FIGURES) == _without(now, _FIGURES):
        kept["summary"] = before
    cost_before, cost_now = standing.get("cost"), said.get("cost")
    if cost_before and cost_now and cost_before.get("perHour") == cost_now.get("perHour"):
        kept["cost"] = cost_before
    for name, fields in (("readings", ("name",)), ("losses", ("cause", "explains", "wasted"))):
        if name in standing and _heads(standing[name], fields) == _heads(said.get(name) or (), fields):
            kept[name] = standing[name]
    return kept


def _without(value: Mapping[str, Any], names: Sequence[str]) -> JSON:
    return {key: each for key, each in value.items() if key not in names}


def _heads(rows: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(row.get(field) for field in fields) for row in rows]
