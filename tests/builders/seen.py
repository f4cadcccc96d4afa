"""Moments of a cluster for the page: the example fleet, and large ones made of its workloads."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.web.planned import seen_of
from mfu.web.seen import Seen

EXAMPLE = Path(__file__).parents[2] / "examples" / "snapshot.json"


@cache
def example() -> Seen:
    snapshot, now = load(EXAMPLE.read_text())
    return seen_of(evaluate(snapshot, now), now)


def many(count: int, *, namespaces: int = 20) -> Seen:
    """So many workloads over so many namespaces, with the example's statuses in turn."""
    seen = example()
    rows = tuple(
        replace(
            seen.workloads[number % len(seen.workloads)],
            namespace=f"team-{number % namespaces:02d}",
            name=f"job-{number:04d}",
        )
        for number in range(count)
    )
    return replace(seen, workloads=rows)
