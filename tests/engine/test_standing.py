"""A restart unsays nothing: with a few fresh samples of the same state, every status stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfu.api.workload_status import Cost, Meter, Observed, Summary, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from mfu.engine.say.standing import YOUNG_SECONDS, unshaken
from mfu.engine.snapshot import Snapshot
from mfu.observe.readings import WorkloadSeries

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"
ROW = Observed(
    window="10m", meter=Meter.PROGRESS, mfu="0.4000", low="0.38", high="0.42", observed_at="2026-11-22T06:00:00Z"
)
LATER = "2026-11-22T06:05:00Z"


def row(mfu: str, coverage: str, **fields: str) -> Observed:
    return ROW.model_copy(update={"mfu": mfu, "coverage": coverage, **fields})


def status(reading: Observed, **columns: str) -> WorkloadStatus:
    return WorkloadStatus(observed=(reading,), summary=Summary(**columns))


@pytest.fixture(scope="module")
def moment() -> tuple[Snapshot, float]:
    return load(SAVED.read_text())


def cut(series: WorkloadSeries, since: float) -> WorkloadSeries:
    inside = series.times >= since
    progress = tuple(each for each in series.progress if each.observed_at >= since)
    return replace(series, times=series.times[inside], values=series.values[inside], progress=progress)


def told(document: dict[str, Any]) -> dict[str, Any]:
    """Of decisions the verdicts: of a load that is still being learned the reason may read otherwise after a start."""
    verdicts = [(each["type"], each["outcome"], each["reason"]) for each in document.get("decisions", ())]
    return {**document, "decisions": verdicts}


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
        assert told(each.status.document()) == told(said[each.uid].status.document()), each.name
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
        (row("0.4000", "0.95"), row("0.4100", "0.10", meter=Meter.COUNTERS), "0.4100"),
    ],
    ids=["knows less", "knows as much", "contradicts", "cannot tell", "another window", "another meter"],
)
def test_which_figure_stands(standing: Observed, fresh: Observed, mfu: str) -> None:
    merged = unshaken(status(standing), status(fresh.model_copy(update={"observed_at": LATER})))
    assert merged.observed[0].mfu == mfu
    assert merged.observed[0].observed_at == LATER


def test_what_is_gone_is_said_at_once() -> None:
    gone = WorkloadStatus(summary=Summary(observed="Unknown"))
    assert unshaken(status(row("0.4", "0.95")), gone) == gone


def test_columns_follow_the_figures_that_stand() -> None:
    stands, said = status(row("0.4", "0.95"), observed="40.0%"), status(row("0.41", "0.1"), observed="41.0%")
    assert unshaken(stands, said).summary == stands.summary


def test_another_cause_is_said_at_once() -> None:
    stands = status(row("0.4", "0.95"), observed="40.0%", cause="None")
    said = status(row("0.41", "0.1"), observed="41.0%", cause="Straggler")
    assert unshaken(stands, said).summary == said.summary


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


def test_what_an_older_version_did_not_say_is_said_beside_what_stands() -> None:
    standing = status(row("0.4000", "0.90")).model_copy(update={"cost": Cost(per_hour="20.00", lost_per_hour="5.00")})
    fresh = Cost(per_hour="20.00", lost_per_hour="4.00", per_million_output_tokens="7.5000")
    said = status(row("0.4010", "0.02")).model_copy(update={"cost": fresh})
    assert unshaken(standing, said).cost == fresh.model_copy(update={"lost_per_hour": "5.00"})
