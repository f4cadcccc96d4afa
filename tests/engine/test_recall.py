"""A restart unsays nothing: with a few fresh samples of the same state, every status stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.engine.say.packed import plain
from mfu.engine.say.recall import YOUNG_SECONDS, unshaken
from mfu.engine.snapshot import Snapshot
from mfu.observe.readings import WorkloadSeries

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"
ROW: dict[str, Any] = {"window": "10m", "meter": "Progress", "mfu": "0.4000", "low": "0.38", "high": "0.42"}


def row(mfu: str, coverage: str, **fields: str) -> dict[str, Any]:
    return {**ROW, "mfu": mfu, "coverage": coverage, "observedAt": "2026-11-22T06:00:00Z", **fields}


@pytest.fixture(scope="module")
def moment() -> tuple[Snapshot, float]:
    return load(SAVED.read_text())


def cut(series: WorkloadSeries, since: float) -> WorkloadSeries:
    inside = series.times >= since
    progress = tuple(each for each in series.progress if each.observed_at >= since)
    return replace(series, times=series.times[inside], values=series.values[inside], progress=progress)


@pytest.mark.parametrize("seconds", [7.0, 10.0, 15.0])
def test_a_restart_with_the_same_state_changes_no_status(moment: tuple[Snapshot, float], seconds: float) -> None:
    snapshot, now = moment
    said = {each.uid: each for each in evaluate(snapshot, now).workloads}
    after = replace(
        snapshot,
        series={key: cut(each, now - seconds) for key, each in snapshot.series.items()},
        workloads=tuple(
            replace(view, status=said[view.uid].status, annotations=said[view.uid].annotations)
            for view in snapshot.workloads
        ),
    )
    for each in evaluate(after, now).workloads:
        assert plain(each.status) == plain(said[each.uid].status), each.name
        assert each.annotations == said[each.uid].annotations
        assert each.events == ()


@pytest.mark.parametrize(
    ("standing", "fresh", "mfu"),
    [
        (row("0.4000", "0.95"), row("0.4100", "0.10"), "0.4000"),
        (row("0.4000", "0.95"), row("0.4100", "0.95"), "0.4100"),
        (row("0.4000", "0.95"), row("0.2000", "0.10", low="0.15", high="0.25"), "0.2000"),
        (row("0.4000", "0.95"), row("0.2000", "0.10", low="0.00", high="0.90"), "0.4000"),
        (row("0.4000", "0.95"), row("0.4100", "0.10", window="1m"), "0.4100"),
        (row("0.4000", "0.95"), row("0.4100", "0.10", meter="Counters"), "0.4100"),
    ],
    ids=["knows less", "knows as much", "contradicts", "cannot tell", "another window", "another meter"],
)
def test_which_figure_stands(standing: dict[str, Any], fresh: dict[str, Any], mfu: str) -> None:
    merged = unshaken({"observed": [standing]}, {"observed": [{**fresh, "observedAt": "2026-11-22T06:05:00Z"}]})
    assert merged["observed"][0]["mfu"] == mfu
    assert merged["observed"][0]["observedAt"] == "2026-11-22T06:05:00Z"


def test_what_is_gone_is_said_at_once() -> None:
    assert unshaken({"observed": [row("0.4", "0.95")]}, {"summary": {"observed": "Unknown"}}) == {
        "summary": {"observed": "Unknown"}
    }


def test_another_cause_is_said_at_once() -> None:
    standing = {"observed": [row("0.4", "0.95")], "summary": {"observed": "40.0%", "cause": "None"}}
    said = {"observed": [row("0.41", "0.1")], "summary": {"observed": "41.0%", "cause": "Straggler"}}
    assert unshaken(standing, said)["summary"] == said["summary"]


def test_only_a_young_process_leans_on_what_stands(moment: tuple[Snapshot, float]) -> None:
    """Half the coverage gone is news, once the process has seen a whole window itself."""
    snapshot, now = moment
    plan = evaluate(snapshot, now)
    old = replace(
        plan.handover,
        plans={uid: replace(each, first_judged_at=now - YOUNG_SECONDS) for uid, each in plan.handover.plans.items()},
    )
    views = tuple(replace(view, status=old.plans[view.uid].status) for view in snapshot.workloads)
    series = {key: cut(each, now - 7.0) for key, each in snapshot.series.items()}
    again = evaluate(replace(snapshot, workloads=views, series=series, before=old), now)
    assert any(each.status != old.plans[each.uid].status for each in again.workloads)
