"""What a workload's past says: re-measured advice, drift told once, and what comes back after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.workload_status import Meter, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.history.remembered import Current, WorkloadMemory, remember, restored, sample_of
from mfu.engine.history.setting import setting_of
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover, Plan
from mfu.engine.say.history import drift_row, history_rows
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from mfu.observe.drift import SETTLING_SECONDS, Drift, DriftKind, Identity
from mfu.observe.history import Advice, Entry, promises
from mfu.predict import attainable
from mfu.predict.declared import from_spec, placement_for, tunable_of
from mfu.predict.types import Attainable, Placement, Training
from tests.builders.cases import SERVING, case, node
from tests.builders.scenes import NOW, STEADY, pod, series, training, workload, written

CASE = case()
DECLARED = setting_of(CASE.setup)


def seen(mfu: float | None = 0.4, **fields: Any) -> Assessment:
    best = Observation(Window.TEN_MINUTES, Meter.PROGRESS, mfu, mfu, None, None, None, 1.0, "test", NOW, 0.9)
    return Assessment((replace(best, **fields),), (), True, state=TelemetryState.OK)


def paired(ten: float, one: float, meter: Meter = Meter.PROGRESS) -> Assessment:
    """Both windows."""
    (best,) = seen(ten).observations
    minute = replace(best, window=Window.MINUTE, meter=meter, mfu=one, reference_mfu=one)
    return replace(seen(ten), observations=(best, minute))


RUNNING = Current(CASE.setup, CASE.placement, "llama", "v1", 8, CASE.expected, CASE.attainable)


def lived(
    levels: list[float], memory: WorkloadMemory | None = None, start: float = NOW
) -> tuple[WorkloadMemory, list[Drift]]:
    """One sample a minute."""
    memory, found = memory or WorkloadMemory(), []
    for number, level in enumerate(levels):
        memory, _, drift = remember(memory, RUNNING, seen(level), start + 60.0 * number)
        found += [drift] if drift else []
    return memory, found


REMEMBERED: dict[str, tuple[Assessment, bool]] = {
    "trusted": (seen(), True),
    "one meter alone": (replace(seen(), intent_consistent=None), True),
    "meters that disagree": (replace(seen(), intent_consistent=False), False),
    "stale": (replace(seen(), state=TelemetryState.STALE), False),
    "no profiling": (replace(seen(), state=TelemetryState.NO_PROFILING), False),
    "most of the window": (seen(coverage=0.8), True),
    "a part of the window": (seen(coverage=0.79), False),
    "no reference figure": (seen(reference_mfu=None), False),
    "nothing observed": (Assessment(state=TelemetryState.OK), False),
    "only the last minute": (seen(window=Window.MINUTE), False),
}


@pytest.mark.parametrize("name", REMEMBERED)
def test_only_trusted_figures_become_history(name: str) -> None:
    assessment, remembered = REMEMBERED[name]
    memory, _, drift = remember(WorkloadMemory(), RUNNING, assessment, NOW)
    assert (len(memory.history) == 1) is remembered
    assert (memory.sampled_at == NOW) is remembered
    assert drift is None


def test_one_sample_a_minute() -> None:
    memory, *_ = remember(WorkloadMemory(), RUNNING, seen(), NOW)
    later = NOW + SETTLING_SECONDS + Window.TEN_MINUTES.seconds
    again, *_ = remember(memory, RUNNING, seen(), later)
    assert [each.samples for each in again.history] == [2]
    same, *_ = remember(again, RUNNING, seen(), later + 59.0)
    assert same.history == again.history
    after, *_ = remember(same, RUNNING, seen(), later + 60.0)
    assert [each.samples for each in after.history] == [3]


def test_what_starts_is_no_level_yet() -> None:
    memory, *_ = remember(WorkloadMemory(), RUNNING, seen(0.05), NOW)
    memory, *_ = remember(memory, RUNNING, seen(0.2), NOW + 60.0)
    assert [(each.samples, each.mfu) for each in memory.history] == [(1, 0.2)]


SAMPLED: dict[str, tuple[float, Assessment, float]] = {
    "steps of a second: the last minute": (1.0, paired(0.40, 0.30), 0.30),
    "steps of a minute: ten of them": (60.0, paired(0.40, 0.30), 0.40),
    "the minute is not known": (1.0, seen(0.40), 0.40),
    "the minute is of another meter": (1.0, paired(0.40, 0.30, Meter.COUNTERS), 0.40),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sample_is_of_a_minute_that_holds_enough_steps(name: str) -> None:
    step_seconds, assessment, mfu = SAMPLED[name]
    sample = sample_of(assessment, step_seconds)
    assert sample is not None
    assert sample.mfu == mfu
    assert sample.settling_seconds == (600.0 if mfu == 0.30 else 1200.0)


def test_a_service_with_little_to_do_has_not_changed() -> None:
    serving = case(SERVING)
    current = Current(serving.setup, serving.placement, "llama", "v1", 1, serving.expected, None)
    idle = Finding(
        Cause.LOW_CONCURRENCY,
        0.9,
        Explains.CONFIGURATION,
        0.1,
        None,
        "",
        Actor.TENANT,
        wasted=True,
        evidence=(),
        speedup=2,
    )
    memory, found = WorkloadMemory(), []
    for number in range(120):
        busy = number < 60
        told = replace(seen(0.40 if busy else 0.10), findings=() if busy else (idle,))
        memory, _, drift = remember(memory, current, told, NOW + 60.0 * number)
        found += [drift] if drift else []
    assert found == []


def test_advice_is_the_whole_way_to_attainable_where_it_is_worth_a_word() -> None:
    assert CASE.attainable is not None
    best, gained = CASE.attainable, CASE.attainable.prediction.tokens_per_s_per_gpu / CASE.expected.tokens_per_s_per_gpu
    assert RUNNING.advice == Advice(setting_of(best.setup), cast(float, pytest.approx(gained - 1)))
    quarter = replace(best.prediction, tokens_per_s_per_gpu=1.25 * CASE.expected.tokens_per_s_per_gpu)
    little = replace(best.prediction, tokens_per_s_per_gpu=1.04 * CASE.expected.tokens_per_s_per_gpu)
    makes: Callable[[Attainable | None], Current] = lambda each: replace(RUNNING, best=each)  # noqa: E731
    promised = makes(replace(best, prediction=quarter)).advice
    assert promised is not None
    assert promised.gain == pytest.approx(0.25)
    assert makes(replace(best, prediction=little)).advice is None
    assert makes(replace(best, changes=())).advice is None
    assert makes(None).advice is None


def test_drift_is_found_once_and_stays_in_status() -> None:
    memory, found = lived([0.46] * 40 + [0.35] * 30)
    assert len(found) == 1
    assert memory.drift == found[-1]
    calm, more = lived([0.35] * 20, memory, NOW + 3600.0)
    assert more == []
    assert calm.drift == found[-1]
    row = drift_row(memory.drift)
    assert row is not None
    assert drift_row(None) is None


class Cluster:
    """One job on eight H100s, cycle after cycle; its declaration may change and the operator may restart."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.now = NOW
        self.snapshot = Snapshot((workload(document=document),), (pod(),), (node("n0"),))
        self.events: list[tuple[str, str]] = []

    @property
    def view(self) -> WorkloadView:
        return self.snapshot.workloads[0]

    def runs(self, mfu: float, minutes: int) -> Plan:
        for _ in range(minutes):
            readings = {self.view.key: series(self.view, mfu, now=self.now)}
            plan = evaluate(replace(self.snapshot, series=readings), self.now)
            self.events += [(each.type, each.reason) for each in plan.workloads[0].events]
            self.snapshot = written(self.snapshot, plan)
            self.now += 60.0
        return plan

    def declares(self, document: dict[str, Any]) -> None:
        changed = replace(self.view, spec=workload(document=document).spec, generation=self.view.generation + 1)
        self.snapshot = replace(self.snapshot, workloads=(changed,))

    def restarts(self) -> None:
        self.snapshot = replace(self.snapshot, before=Handover())


SELECTIVE = training(recompute="Selective")


def advice() -> dict[str, Any]:
    """The declared job with everything changed that is advised."""
    spec = workload(document=SELECTIVE).spec
    assert spec is not None
    setup, where = from_spec(spec), placement_for(spec, "H100-SXM5")
    assert isinstance(setup, Training) and isinstance(where, Placement)
    best = attainable(setup, where, tunable_of(spec))
    assert isinstance(best, Attainable) and isinstance(best.setup, Training)
    cut, found = best.setup.parallelism, best.setup
    degrees = {
        "tensor": cut.tensor,
        "pipeline": cut.pipeline,
        "data": cut.data,
        "virtualPipeline": cut.virtual_pipeline,
    }
    return training(
        microBatchSize=found.micro_batch_size,
        recompute=found.recompute.value,
        sharding=found.sharding.value,
        parallelism=degrees,
    )


CLOSES = {
    "the gain came": (0.43, True),
    "most of it came": (0.42, True),
    "nothing came": (0.40, False),
    "it got worse": (0.35, False),
}


@pytest.mark.parametrize("restart", [False, True], ids=["", "after a restart"])
@pytest.mark.parametrize("name", CLOSES)
def test_re_measure_closes_the_loop(name: str, restart: bool) -> None:
    after, kept = CLOSES[name]
    cluster = Cluster(SELECTIVE)
    advised = cluster.runs(0.40, 16).workloads[0].status.document()["history"][0]
    assert float(advised["advisedGain"]) > 0.05
    if restart:
        cluster.restarts()
    cluster.declares(advice())
    early = cluster.runs(after, 12).workloads[0]
    assert early.status.document()["history"][0]["setting"] == advised["advisedSetting"]
    assert "kept" not in early.status.document()["history"][0]
    plan = cluster.runs(after, 12).workloads[0]
    row = plan.status.document()["history"][0]
    assert (row["before"], row["after"]) == ("0.4000", f"{after:.4f}")
    assert row["promised"] == advised["advisedGain"]
    assert row["kept"] is kept
    counted = promises(plan.memory.history)
    assert (counted.kept, counted.broken) == ((1, 0) if kept else (0, 1))


def test_a_change_that_nobody_advised_promises_nothing() -> None:
    cluster = Cluster(training())
    cluster.runs(0.40, 6)
    cluster.declares(training(microBatchSize=4))
    row = cluster.runs(0.45, 7).workloads[0].status.document()["history"][0]
    assert row["before"] == "0.4000"
    assert "promised" not in row
    assert "kept" not in row


def test_drift_is_told_once_and_outlives_the_operator() -> None:
    cluster = Cluster(training())
    cluster.runs(0.46, 30)
    plan = cluster.runs(0.40, 25).workloads[0]
    assert cluster.events == [("Warning", "EfficiencyDropped")]
    drift = plan.status.document()["drift"]
    assert drift["kind"] == "Infrastructure"
    assert float(drift["after"]) < float(drift["before"])
    cluster.restarts()
    again = cluster.runs(0.40, 3).workloads[0]
    assert again.status.document()["drift"] == drift
    assert len(cluster.events) == 1


figures = st.floats(0, 1).map(lambda each: round(each, 4))
gains = st.one_of(st.none(), figures)
names = st.text("abc 123", max_size=8)
entries = st.lists(
    st.builds(
        Entry,
        st.builds(Identity, names, names, names, names, st.integers(1, 10**4)),
        figures,
        st.integers(1, 10**6),
        st.integers(0, 4 * 10**9).map(float),
        st.just(0.0),
        gains,
        gains,
        st.one_of(st.none(), st.builds(Advice, names.filter(bool), figures)),
    ),
    max_size=16,
)


@STEADY
@given(entries)
def test_history_reads_back_from_its_rows(mine: list[Entry]) -> None:
    history = tuple(replace(each, updated_at=each.changed_at) for each in mine)
    rows = history_rows(history)
    said = Packed.of(WorkloadStatus(history=rows))
    assert said.read().history == rows
    assert restored(said.read().history) == tuple(each for each in history if each.identity.product)


ROW = {
    "model": "m",
    "setting": "s",
    "product": "H100-SXM5",
    "gpus": 8,
    "after": "0.4000",
    "changedAt": "2026-11-22T06:00:00Z",
}
DAMAGED: dict[str, Any] = {
    "no row": "nonsense",
    "no product": {name: value for name, value in ROW.items() if name != "product"},
    "no time": {name: value for name, value in ROW.items() if name != "changedAt"},
    "a time that does not read": {**ROW, "changedAt": "yesterday"},
    "words": {**ROW, "after": "fast"},
    "not a number": {**ROW, "after": "nan"},
    "without end": {**ROW, "before": "inf"},
    "half of an advice": {**ROW, "advisedSetting": "s2"},
    "an endless count": {**ROW, "samples": float("inf")},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_rows_that_do_not_read_are_dropped_and_the_others_stay(name: str) -> None:
    (entry,) = restored(Packed(WorkloadStatus, {"history": [DAMAGED[name], ROW]}).read().history)
    assert (entry.identity, entry.mfu, entry.samples) == (Identity("m", "", "s", "H100-SXM5", 8), 0.4, 1)


def test_a_change_of_product_is_told_as_a_row() -> None:
    found = Drift(DriftKind.SCALING, 0.4, 0.3, NOW)
    row = {"kind": "Scaling", "before": "0.4000", "after": "0.3000", "at": "2027-01-15T08:00:00Z"}
    told = drift_row(found)
    assert told is not None
    assert {name: each for name, each in told.to_api().items() if each} == row
