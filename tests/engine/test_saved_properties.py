"""Any snapshot reads back as it was: arrays to seven digits, holes as holes, enums as themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicySpec, PolicyStatus
from mfu.api.workload_status import WorkloadStatus
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.engine.evaluate import evaluate
from mfu.engine.packed import Packed
from mfu.engine.saved import BadSnapshot, dump, load
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot
from mfu.observe.readings import METRICS, Counter, Gauge, Metric, ProgressReading, SourceState, WorkloadSeries
from mfu.predict.types import Correction, Corrections
from tests.builders.cases import SERVING, node
from tests.builders.scenes import NOW, STEADY, identity, pod, series, workload


def rich() -> Snapshot:
    """One of everything that a snapshot can hold."""
    view = workload(
        status=Packed(WorkloadStatus, {"summary": {"cause": "None"}}), annotations={"a": "b"}, resource_version="7"
    )
    broken = replace(workload("broken"), spec=None, invalid="spec.mode: missing")
    devices = (identity(0), identity(1, "team-a", "w-0", mig_profile="1g.10gb", shared=True))
    values = np.full((2, METRICS), np.nan)
    values[0, Metric.SM_CLOCK] = 1.755e9
    return Snapshot(
        workloads=(view, broken, workload("serve", SERVING, paused=True)),
        pods=(pod(owners=(("Job", "j"), ("JobSet", "s")), address="10.0.0.1"), pod("waits", None, node=None)),
        nodes=(node("n0", used=3, mig={"1g.10gb": 7}, domain="c.1", labels={"x": "y"}),),
        policies=(
            PolicyView("p", "u", 2, PolicySpec(), status=Packed(PolicyStatus, {"summary": "InForce"})),
            PolicyView("q", "v", 1, None, "no"),
        ),
        namespaces={"team-a": {"team": "a"}},
        fleet=FleetReadings(devices, values, np.array([NOW, np.nan]), {"agent": SourceState.STALE}),
        series={view.key: series(view, 0.45)},
        corrections=Corrections({"H100-SXM5/NeMo/Training": Correction(0.9, 0.05, 3)}),
        report=Packed(FleetStatus, {"summary": {"gpus": "8/8"}}),
        partitioned=(PartitionedNode("n1", "NVIDIA-H100-80GB-HBM3", ("1g.10gb", "3g.40gb")),),
    )


def test_everything_reads_back() -> None:
    snapshot = rich()
    text = dump(snapshot, NOW)
    again, now = load(text)
    assert now == NOW
    assert dump(again, now) == text
    for name in ("workloads", "pods", "nodes", "policies", "namespaces", "report", "partitioned"):
        assert getattr(again, name) == getattr(snapshot, name), name
    assert again.fleet.devices == snapshot.fleet.devices
    assert again.fleet.sources == snapshot.fleet.sources
    np.testing.assert_array_equal(again.fleet.values, snapshot.fleet.values)
    np.testing.assert_array_equal(again.fleet.observed_at, snapshot.fleet.observed_at)
    assert dict(again.corrections.by_key) == dict(snapshot.corrections.by_key)


def test_a_saved_moment_gives_the_same_plan() -> None:
    one, other = evaluate(rich(), NOW), evaluate(load(dump(rich(), NOW))[0], NOW)
    assert [each.status for each in other.workloads] == [each.status for each in one.workloads]
    assert other.report == one.report
    assert other.policies == one.policies


numbers = st.one_of(st.just(float("nan")), st.floats(-1e12, 1e12, allow_subnormal=False))


@st.composite
def readings(draw: st.DrawFn) -> WorkloadSeries:
    times, devices = draw(st.integers(0, 3)), draw(st.integers(0, 2))
    values = np.full((times, devices, METRICS), np.nan)
    for metric in draw(st.sets(st.sampled_from(Metric), max_size=4)):
        for place in np.ndindex(times, devices):
            values[(*place, metric)] = draw(numbers)
    reported = st.builds(
        ProgressReading,
        st.just("team-a"),
        st.sampled_from(["p", "q"]),
        st.just("vLLM"),
        st.floats(0, 2e9),
        st.dictionaries(st.sampled_from(Counter), st.floats(0, 1e15), max_size=3),
        st.dictionaries(st.sampled_from(Gauge), st.floats(0, 1e6), max_size=3),
        st.booleans(),
    )
    return WorkloadSeries(
        tuple(identity(number) for number in range(devices)),
        NOW + 10.0 * np.arange(times, dtype=np.float64),
        values,
        draw(st.floats(1, 60)),
        tuple(draw(st.lists(reported, max_size=3))),
        ("a", "b"),
    )


@STEADY
@given(readings())
def test_any_readings_read_back(mine: WorkloadSeries) -> None:
    again = load(dump(Snapshot(series={"team-a/w": mine}), NOW))[0].series["team-a/w"]
    assert (again.devices, again.progress, again.sources) == (mine.devices, mine.progress, mine.sources)
    assert again.interval_seconds == mine.interval_seconds
    np.testing.assert_array_equal(again.times, mine.times)
    np.testing.assert_array_equal(np.isnan(again.values), np.isnan(mine.values))
    np.testing.assert_allclose(again.values, mine.values, rtol=1e-6)


DAMAGE: dict[str, Any] = {
    "cut off": lambda text: text[: len(text) // 2],
    "a list": lambda _: "[]",
    "a number": lambda _: "7",
    "another version": lambda text: text.replace('"version":1', '"version":2'),
    "an unknown metric": lambda text: text.replace('"SM_CLOCK"', '"WARP_FACTOR"'),
    "a row that is too short": lambda text: text.replace('"metrics":["', '"metrics":["POWER_LIMIT","'),
    "an unknown state": lambda text: text.replace('"Stale"', '"Sleepy"'),
    "no pods": lambda text: text.replace('"pods":', '"pots":'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_not_raised_raw(name: str) -> None:
    text = dump(rich(), NOW)
    spoilt = DAMAGE[name](text)
    assert spoilt != text
    with pytest.raises(BadSnapshot):
        load(spoilt)
