"""What falls under the policy's floor for running workloads is told once, with its cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfu.api.mfupolicy import PolicySpec
from mfu.api.workload_status import Basis, Expected, Meter, Observed, Summary, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.packed import Packed
from mfu.engine.saved import load
from mfu.engine.say.events import most_of_expected, on_floor
from mfu.engine.snapshot import PolicyView

SAVED = Path(__file__).parents[2] / "examples" / "snapshot.json"


def running(high: str | None, **fields: Any) -> WorkloadStatus:
    """Expected 40 % MFU."""
    seen: dict[str, Any] = {"window": "10m", "meter": Meter.PROGRESS, "coverage": "0.97", "confidence": "0.9", **fields}
    measured = Observed(**seen, mfu=high, high=high, mbu="0.6")
    told = Expected(product="H100-SXM5", basis=Basis.ASSIGNED, mfu="0.4", mbu="0.8")
    return WorkloadStatus(
        summary=Summary(scale="MFU", cause="Communication"), expected=(told,), observed=(measured,) if high else ()
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (running("0.36"), running("0.2"), True),
        (running(None), running("0.2"), True),
        (WorkloadStatus(), running("0.2"), True),
        # Already told; recovered; just above; nothing measured; hardly measured; a minute only.
        (running("0.2"), running("0.1"), False),
        (running("0.2"), running("0.39"), False),
        (running("0.36"), running("0.2801"), False),
        (running("0.36"), running(None), False),
        (running("0.36"), running("0.2", coverage="0.5"), False),
        (running("0.36"), running("0.2", window="1m"), False),
    ],
)
def test_it_is_told_as_it_falls(before: WorkloadStatus, now: WorkloadStatus, told: bool) -> None:
    events = on_floor(before, now, 0.7)
    assert [each.reason for each in events] == ["BelowFloor"] * told


def test_memory_bound_work_is_judged_on_its_own_scale() -> None:
    memory_bound = running("0.05").model_copy(update={"summary": Summary(scale="MBU")})
    assert most_of_expected(memory_bound) == pytest.approx(0.75)
    assert most_of_expected(running("0.2")) == pytest.approx(0.5)


def test_the_surest_meter_is_asked() -> None:
    sure, unsure = running("0.36"), running("0.1", meter=Meter.COUNTERS, confidence="0.4")
    both = sure.model_copy(update={"observed": (*unsure.observed, *sure.observed)})
    assert most_of_expected(both) == pytest.approx(0.9)


@pytest.mark.parametrize(("floor", "told"), [(70, {"team-vision/faulty-training"}), (0, set()), (20, set())])
def test_of_the_saved_cluster_one_workload_is_told_and_zero_flags_nothing(floor: int, told: set[str]) -> None:
    snapshot, now = load(SAVED.read_text())
    spec = PolicySpec.model_validate({"floors": {"observedOfExpectedPercent": floor}})
    fresh = tuple(replace(each, status=Packed(WorkloadStatus, {})) for each in snapshot.workloads)
    plan = evaluate(replace(snapshot, workloads=fresh, policies=(PolicyView("p", "uid", 1, spec),)), now)
    events = {each.key: event for each in plan.workloads for event in each.events if event.reason == "BelowFloor"}
    assert set(events) == told
    for event in events.values():
        assert event.message == (
            "ran under 70% of what is expected of it for ten minutes (floors.observedOfExpectedPercent); "
            "main cause: Communication"
        )
