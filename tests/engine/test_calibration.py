"""What workloads teach: who may, how often, within which bounds, and what a restart keeps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.fleetreport import Calibration, FleetStatus
from mfu.api.mfupolicy import Learning, PolicySpec
from mfu.api.runtime import Runtime
from mfu.api.workload_status import Meter
from mfu.engine.evaluate import evaluate
from mfu.engine.history.calibration import (
    LESSON_SECONDS,
    MOST_KEYS,
    MOST_OF_ONE,
    calibration_rows,
    learned_elsewhere,
    lesson_of,
    restored,
    taught,
)
from mfu.engine.history.remembered import Current
from mfu.engine.packed import Packed
from mfu.engine.snapshot import PolicyView, Snapshot
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from mfu.predict import key_of, predict
from mfu.predict.learn import HIGHEST, LOWEST, Lesson, acceptable, learn
from mfu.predict.learnkeys import known_engine
from mfu.predict.types import Correction, Corrections, Prediction
from tests.builders.cases import NAMED, SERVING, case, node
from tests.builders.scenes import NOW, STEADY, pod, series, workload, written

CASE = case(NAMED)
KEY = key_of(CASE.setup, CASE.placement)
RATE = CASE.expected.tokens_per_s_per_gpu
CURRENT = Current(CASE.setup, CASE.placement, "llama", "v1", 8, CASE.expected, CASE.attainable)


def seen(
    ratio: float | None = 1.1, *, meter: Meter = Meter.PROGRESS, consistent: bool | None = True, coverage: float = 1.0
) -> Assessment:
    """Tokens at `ratio` of what was expected."""
    rate = None if ratio is None else ratio * RATE
    best = Observation(
        Window.TEN_MINUTES, meter, 0.4, 0.4, None, None, None, coverage, "test", NOW, 0.9, tokens_per_s_per_gpu=rate
    )
    return Assessment((best,), (), consistent, state=TelemetryState.OK)


def finding(explains: Explains, *, wasted: bool = True) -> Finding:
    return Finding(Cause.STRAGGLER, 0.9, explains, 0.1, None, "mend it", Actor.TENANT, wasted, (), 1.2)


TEACHES: dict[str, tuple[Assessment, tuple[Finding, ...], bool]] = {
    "trusted progress": (seen(), (), True),
    "progress alone": (seen(consistent=None), (), True),
    "counters rest on the intent": (seen(meter=Meter.COUNTERS), (), False),
    "no rate": (seen(None), (), False),
    "nothing observed": (Assessment(), (), False),
    "meters that disagree": (seen(consistent=False), (), False),
    "stale readings": (replace(seen(), state=TelemetryState.STALE), (), False),
    "no profiling": (replace(seen(), state=TelemetryState.NO_PROFILING), (), False),
    "half of the window": (seen(coverage=0.5), (), False),
    "something is wrong at run time": (seen(), (finding(Explains.RUNTIME),), False),
    "a runtime limit that is no waste": (seen(), (finding(Explains.RUNTIME, wasted=False),), True),
    "a poor setting runs as predicted": (seen(), (finding(Explains.CONFIGURATION),), True),
    "far too slow for a slow stack": (seen(0.5), (), False),
    "far too fast": (seen(1.6), (), False),
}


@pytest.mark.parametrize("name", TEACHES)
def test_who_teaches(name: str) -> None:
    assessment, findings, teaches = TEACHES[name]
    lesson = lesson_of("team-a", CURRENT, assessment, findings)
    assert (lesson is not None and acceptable(lesson)) is teaches
    assert (learn(Corrections(), lesson) != Corrections() if lesson else False) is teaches


def test_it_is_kept_under_the_namespace_that_taught_it() -> None:
    lesson = lesson_of("team-a", CURRENT, seen(), ())
    assert lesson is not None
    assert (lesson.key, lesson.predicted) == (f"team-a/{KEY}", RATE)


def moment(mfu: float, now: float = NOW) -> Snapshot:
    view = workload(document=NAMED)
    return Snapshot(
        (view,), (pod(),), (node("n0"),), namespaces={"team-a": {}}, series={view.key: series(view, mfu, now=now)}
    )


def test_at_most_one_lesson_in_ten_minutes() -> None:
    now, snapshot = NOW, moment(0.45)
    taught = []
    for minute in range(25):
        now = NOW + 60.0 * minute
        plan = evaluate(replace(snapshot, series=moment(0.45, now).series), now)
        taught += [minute] if plan.workloads[0].lesson else []
        snapshot = written(snapshot, plan)
    assert taught == [0, 10, 20]
    assert LESSON_SECONDS == 600.0
    assert [each.observations for each in snapshot.corrections.by_key.values()] == [3]


def test_what_a_workload_teaches_moves_neither_its_expectation_nor_its_loss() -> None:
    snapshot, now = moment(0.43), NOW
    first = evaluate(snapshot, now)
    for _ in range(12):
        now += LESSON_SECONDS
        plan = evaluate(replace(snapshot, series=moment(0.43, now).series), now)
        snapshot = written(snapshot, plan)
    assert plan.corrections.by_key
    before, after = (each.workloads[0] for each in (first, plan))
    assert before.expected == after.expected
    assert before.lost_per_hour == after.lost_per_hour
    assert {each.basis for each in plan.workloads[0].status.read().expected} == {"Assigned"}


def test_what_other_namespaces_agree_on_is_shown_beside_and_changes_no_loss() -> None:
    learned = Corrections(
        {f"team-{name}/{KEY}": Correction(factor, 0.05, 3) for name, factor in (("x", 0.9), ("y", 0.92), ("z", 0.91))}
    )
    alone = evaluate(moment(0.43), NOW).workloads[0]
    told = evaluate(replace(moment(0.43), corrections=learned), NOW).workloads[0]
    rows = {str(each.basis): float(each.mfu or 0) for each in told.status.read().expected}
    assert rows["Learned"] / rows["Assigned"] == pytest.approx((0.9 * 0.92 * 0.91) ** (1 / 3), abs=0.02)
    assert (told.expected, told.lost_per_hour, told.cause) == (alone.expected, alone.lost_per_hour, alone.cause)
    (evidence,) = {each.evidence for each in told.status.read().expected if str(each.basis) == "Learned"}
    assert evidence == "0.91 x, 9 windows of 3 namespaces"


def test_a_policy_switches_it_off() -> None:
    learned = Corrections({f"team-{name}/{KEY}": Correction(0.9, 0.05, 3) for name in "xyz"})
    off = PolicyView("off", "uid-off", 1, PolicySpec(learning=Learning.OFF), None)
    told, plan = (
        evaluate(replace(moment(0.43), corrections=learned, policies=policies), NOW) for policies in ((), (off,))
    )
    assert {str(each.basis) for each in told.workloads[0].status.read().expected} == {"Assigned", "Learned"}
    assert {str(each.basis) for each in plan.workloads[0].status.read().expected} == {"Assigned"}
    assert plan.corrections == learned
    assert told.corrections != learned


def test_what_was_learned_is_a_line_of_its_own() -> None:
    shipped = predict(CASE.setup, CASE.placement)
    told = predict(CASE.setup, CASE.placement, Corrections({KEY: Correction(0.9, 0.05, 3)}))
    assert isinstance(shipped, Prediction) and isinstance(told, Prediction)
    named, before = ({each.name: each.seconds for each in found.waterfall} for found in (told, shipped))
    assert named.pop("learned correction") == pytest.approx(shipped.step_seconds * (1 / 0.9 - 1))
    assert named == pytest.approx(before)


@pytest.mark.parametrize(
    ("pods", "declared", "generation", "teaches"),
    [
        (100.0, None, 1, True),
        (0.0, None, 1, False),
        (100.0, 90.0, 2, True),
        (100.0, 101.0, 2, False),
        (100.0, None, 2, False),
    ],
)
def test_a_declaration_newer_than_its_pods_teaches_nothing(
    pods: float, declared: float | None, generation: int, teaches: bool
) -> None:
    """It may have been fitted to what it should explain; so may one of which nobody knows how old it is."""
    view = workload(document=NAMED, created_at=50.0, generation=generation, changed_at=declared)
    found = moment(0.45)
    plan = evaluate(replace(found, workloads=(view,), pods=(replace(pod(), created_at=pods),)), NOW)
    assert bool(plan.corrections.by_key) is teaches


@pytest.mark.parametrize(("engine", "teaches"), [("Megatron-LM", True), ("my-own-loop", False), (None, False)])
def test_an_engine_that_nobody_knows_teaches_nothing(engine: str | None, teaches: bool) -> None:
    spec = workload().spec
    assert spec is not None
    view = workload(spec=spec.model_copy(update={"runtime": Runtime(engine=engine) if engine else None}))
    plan = evaluate(replace(moment(0.45), workloads=(view,)), NOW)
    assert bool(plan.corrections.by_key) is teaches


@pytest.mark.parametrize(
    ("engine", "key", "known"),
    [
        ("vLLM", "vLLM", True),
        ("VLLM ", "vLLM", True),
        ("trtllm-serve", "TensorRT-LLM", True),
        ("homemade", "homemade", False),
        (None, "Unknown", False),
    ],
)
def test_one_engine_has_one_key(engine: str | None, key: str, known: bool) -> None:
    serving = case(SERVING)
    setup = replace(serving.setup, engine=engine)
    assert key_of(setup, serving.placement).split("/")[1] == key
    assert known_engine(setup) is known


@example([("a", stack) for stack in range(30)])
@example([(each, stack) for each in "abcdefghijklmnopq" for stack in range(8)])
@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstu"), st.integers(0, 30)), max_size=400))
def test_no_namespace_fills_what_is_remembered(taught_by: list[tuple[str, int]]) -> None:
    known = Corrections()
    for namespace, stack in taught_by:
        known = taught(known, Lesson(f"{namespace}/P{stack}/NeMo/Training", 1.0, 1.0, 0.9, 1.0))
    counts = Counter(key.partition("/")[0] for key in known.by_key)
    assert max(counts.values(), default=0) <= MOST_OF_ONE
    assert sum(counts.values()) <= MOST_KEYS
    # Nobody is kept out by others that hold many.
    last = [namespace for namespace, _ in taught_by][-1:]
    assert all(counts[each] for each in last)
    assert restored(calibration_rows(known)).by_key.keys() == known.by_key.keys()


ELSEWHERE: dict[str, tuple[dict[str, float], float | None]] = {
    "nobody": ({}, None),
    "only itself": ({"mine": 0.9}, None),
    "one other": ({"mine": 0.9, "a": 0.8}, None),
    "two others": ({"mine": 0.9, "a": 0.9, "b": 0.9}, None),
    "three others agree": ({"mine": 1.2, "a": 0.9, "b": 0.9, "c": 0.9}, 0.9),
    "each weighs once": ({"a": 0.90, "b": 0.96, "c": 0.93}, (0.90 * 0.96 * 0.93) ** (1 / 3)),
    "others disagree": ({"a": 0.75, "b": 1.0, "c": 1.0}, None),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_who_is_listened_to(name: str) -> None:
    factors, want = ELSEWHERE[name]
    known = Corrections({f"{teacher}/{KEY}": Correction(factor, 0.05, 3) for teacher, factor in factors.items()})
    found = learned_elsewhere(known, KEY, "mine")
    assert (found.correction.factor if found else None) == (pytest.approx(want) if want else None)
    assert learned_elsewhere(known, f"B200{KEY}", "mine") is None


def test_a_restart_keeps_what_was_learned() -> None:
    plan = evaluate(moment(0.43), NOW)
    assert plan.corrections.by_key
    kept = restored(plan.report.read().calibration)
    assert set(kept.by_key) == set(plan.corrections.by_key)
    for key, each in kept.by_key.items():
        assert each.factor == pytest.approx(plan.corrections.by_key[key].factor, abs=1e-4)
        assert each.observations == plan.corrections.by_key[key].observations
    assert calibration_rows(kept) == plan.report.read().calibration


def test_rows_fit_the_api_however_many_were_learned() -> None:
    many = Corrections({f"team-{number:03d}/product": Correction(0.9, 0.05, 3) for number in range(200)})
    assert len(calibration_rows(many)) == MOST_KEYS == 128


ROW = {"key": KEY, "factor": "0.9000", "relativeSD": "0.0500", "observations": 3}
DAMAGED: dict[str, Any] = {
    "no row": "nonsense",
    "no key": {name: value for name, value in ROW.items() if name != "key"},
    "an empty key": {**ROW, "key": ""},
    "no factor": {name: value for name, value in ROW.items() if name != "factor"},
    "words": {**ROW, "factor": "fast"},
    "nothing": {**ROW, "relativeSD": None},
    "not a number": {**ROW, "factor": "nan"},
    "without end": {**ROW, "observations": "inf"},
    "out of bounds": {**ROW, "factor": "1.9"},
    "no doubt at all": {**ROW, "relativeSD": "0"},
    "more doubt than at first": {**ROW, "relativeSD": "0.5"},
    "never observed": {**ROW, "observations": 0},
}


def rows_of(rows: list[Any] | None) -> tuple[Calibration, ...]:
    """As they are read from a FleetReport that anybody may have written."""
    return Packed(FleetStatus, {"calibration": rows}).read().calibration


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_rows_are_forgotten_and_the_others_stay(name: str) -> None:
    kept = restored(rows_of([DAMAGED[name], {**ROW, "key": "B200/NeMo/Training"}]))
    assert set(kept.by_key) == {"B200/NeMo/Training"}


@pytest.mark.parametrize("rows", [None, []])
def test_without_rows_nothing_is_known(rows: list[Any] | None) -> None:
    assert restored(rows_of(rows)) == Corrections({})


@STEADY
@given(
    st.dictionaries(
        st.text("abc/", min_size=1),
        st.builds(Correction, st.floats(LOWEST, HIGHEST), st.floats(0.001, 0.1), st.integers(1, 10**6)),
        max_size=160,
    )
)
def test_rows_are_bounded_and_read_back(by_key: dict[str, Correction]) -> None:
    rows = calibration_rows(Corrections(by_key))
    counts = Counter(key.partition("/")[0] for key in by_key)
    assert len(rows) == min(MOST_KEYS, sum(min(each, MOST_OF_ONE) for each in counts.values()))
    kept = restored(rows).by_key
    assert len(kept) == len(rows)
    assert calibration_rows(Corrections(kept)) == rows
    assert rows_of([each.to_api() for each in rows]) == rows
