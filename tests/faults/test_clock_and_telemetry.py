"""The clock jumps, exporters and Prometheus go away: unknown while nothing is known, then right again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import Snapshot
from mfu.observe.readings import METRICS, Counter, GPURound, Metric, ProgressReading, SourceState
from mfu.telemetry.prometheus.adapter import PrometheusAPI
from mfu.telemetry.store.recent import Store
from tests.builders.cases import node
from tests.builders.scenes import NOW, identity, pod, series, workload, written

pytestmark = pytest.mark.prove(times=20)

EVERY = 15.0
POD = ("team-a", "w-0")
DEVICES = tuple(identity(index, *POD) for index in range(2))


def round_at(at: float, tensor: float) -> GPURound:
    values = np.full((2, METRICS), np.nan)
    values[:, Metric.TENSOR_ACTIVE] = tensor
    return GPURound("dcgm-exporter", SourceState.OK, DEVICES, np.full(2, at), values, EVERY)


def fed(store: Store, began: float, rounds: int, tensor: float, done: float = 0.0) -> float:
    """Rounds one after the other; returns when the next is due."""
    for row in range(rounds):
        at = began + EVERY * row
        store.add_round(round_at(at, tensor), at)
        count = {Counter.TRAINED_TOKENS: done + 1000.0 * row}
        store.add_progress([ProgressReading(*POD, "report", at, count, {}, True)])
    return began + EVERY * rounds


def known(store: Store, now: float) -> float | None:
    """Newest tensor activity of the pod."""
    found = store.series([POD], now)
    if found is None or not found.times.size:
        return None
    fresh = found.values[found.times >= now - 2 * EVERY][..., Metric.TENSOR_ACTIVE]
    return float(np.nanmean(fresh)) if np.isfinite(fresh).any() else None


@pytest.mark.parametrize("jump", [-600.0, -601.0, -150.0, 600.0, 3600.0, -86_400.0])
def test_a_clock_that_jumps_freezes_nothing(jump: float) -> None:
    store = Store(interval_seconds=EVERY)
    due = fed(store, NOW, 40, 0.4)
    assert known(store, due) == pytest.approx(0.4)
    # The first moment on the new clock: nothing is known of it yet.
    assert known(store, due + jump) is None
    due = fed(store, due + jump, 2, 0.7, done=100_000.0)
    assert known(store, due) == pytest.approx(0.7)
    found = store.series([POD], due)
    assert found is not None
    assert [each.observed_at for each in found.progress][-1] == due - EVERY
    latest = store.latest(due)
    assert latest.values[:, Metric.TENSOR_ACTIVE] == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize("jump", [-600.0, 600.0])
def test_a_clock_that_jumps_and_comes_back_changes_no_decision(jump: float) -> None:
    view = workload()

    def moment(now: float) -> Snapshot:
        return Snapshot((view,), (pod(),), (node("n0"),), series={view.key: series(view, 0.43, now=now)})

    first = evaluate(moment(NOW), NOW)
    stands = written(moment(NOW), first)
    there = evaluate(stands, NOW + jump)
    back = evaluate(written(stands, there, series=moment(NOW + 60.0).series), NOW + 60.0)
    assert there.workloads[0].error is None
    assert decided(there) == decided(back) == decided(first)
    assert back.workloads[0].status.document()["summary"] == first.workloads[0].status.document()["summary"]


def decided(plan: Plan) -> list[tuple[str, str]]:
    return [(str(each.type), str(each.outcome)) for each in plan.workloads[0].decisions]


def test_telemetry_that_goes_is_unknown_and_freezes_decisions() -> None:
    view = workload()
    whole = Snapshot((view,), (pod(),), (node("n0"),), series={view.key: series(view, 0.43)})
    first = evaluate(whole, NOW)
    gone = evaluate(replace(written(whole, first), series={}), NOW + 60.0)
    assert gone.workloads[0].status.document()["summary"]["observed"] == "Unknown"
    assert decided(gone) == decided(first)
    assert gone.figures.fleet is not None
    assert gone.figures.fleet.mfu is None


def test_a_prometheus_that_is_down_is_a_state_and_never_old_numbers() -> None:
    async def work() -> None:
        source, store = PrometheusAPI("http://127.0.0.1:1", interval_seconds=EVERY), Store(interval_seconds=EVERY)
        due = fed(store, NOW, 10, 0.4)
        for row in range(4):
            found = await source.read(due + EVERY * row)
            assert (found.state, found.devices) == (SourceState.UNREACHABLE, ())
            store.add_round(found, due + EVERY * row)
        assert known(store, due + 3 * EVERY) is None
        await source.close()

    asyncio.run(work())
