"""One list over random declarations and readings: it keeps what it promises, and nothing contradicts it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.recommendations import RecommendationKind as Kind
from mfu.api.workload_status import Meter
from mfu.decide.recommend.agree import agreeing_findings, shown_attainable
from mfu.decide.recommend.ranking import reach_of, recommend
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.scale import on_scale
from mfu.decide.types import DecisionType, EffectivePolicy, Load, Outcome, Subject
from mfu.decide.workload.order import Alone, decide
from mfu.hardware.price import PriceBook
from mfu.observe.assessment import Assessment, Finding, Observation, TelemetryState, Window
from mfu.predict import attainable, predict
from mfu.predict.declared import from_spec, placement_for, tunable_of
from mfu.predict.inference.slo import misses
from mfu.predict.types import Attainable, Inference, Placement, Prediction, Problem
from tests.builders.cases import SERVING, TRAINING, case
from tests.builders.fleets import STEADY

TUNABLE = ["MicroBatch", "Recompute", "Layout", "Precision", "Concurrency"]
PRICES = {"H100-SXM5": 2.5, "A100-SXM4-80GB": 1.4, "B200-SXM": 5.0, "L40S": 0.9}
RUNTIME = (Cause.COMMUNICATION, Cause.STRAGGLER, Cause.DATA_STARVATION, Cause.LOW_CONCURRENCY, Cause.IDLE_ALLOCATION)


@st.composite
def training(draw: st.DrawFn) -> dict[str, Any]:
    tensor, data = draw(st.sampled_from([(1, 8), (2, 4), (4, 2), (8, 1)]))
    block = {
        "sequenceLength": draw(st.sampled_from([2048, 4096, 8192])),
        "globalBatchSize": draw(st.sampled_from([16, 64, 256])),
        "microBatchSize": draw(st.sampled_from([1, 2])),
        "parallelism": {"tensor": tensor, "data": data},
        "sharding": draw(st.sampled_from(["DDP", "ZeRO1", "ZeRO3"])),
        "recompute": draw(st.sampled_from(["None", "Selective", "Full"])),
    }
    preset = draw(st.sampled_from(["llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b"]))
    return {**TRAINING, "model": {"preset": preset}, "training": block}


@st.composite
def serving(draw: st.DrawFn) -> dict[str, Any]:
    gpus = draw(st.sampled_from([1, 1, 2, 4]))
    slo = draw(st.sampled_from([None, {"tpotMilliseconds": 5}, {"tpotMilliseconds": 25}, {"ttftMilliseconds": 400}]))
    block: dict[str, Any] = {
        "phase": draw(st.sampled_from(["Mixed", "Decode"])),
        "inputTokens": {"mean": draw(st.sampled_from([256, 2000]))},
        "outputTokens": {"mean": draw(st.sampled_from([64, 500]))},
        "concurrency": draw(st.sampled_from([1, 16, 128, 1024])),
        "parallelism": {"tensor": gpus},
        "replicas": {"min": 1, "max": draw(st.sampled_from([1, 4, 8]))},
    }
    if slo:
        block["slo"] = slo
    preset = draw(st.sampled_from(["llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b"]))
    return {**SERVING, "model": {"preset": preset}, "accelerators": {"count": gpus}, "inference": block}


def finding(cause: Cause, explains: Explains, share: float) -> Finding:
    return Finding(cause, 0.9, explains, share, None, f"mend {cause}", Actor.TENANT, True, (), 1.2)


def observed(expected: Prediction, share: float) -> Assessment:
    mfu, mbu = expected.mfu * share, None if expected.mbu is None else expected.mbu * share
    row = Observation(
        Window.TEN_MINUTES, Meter.PROGRESS, mfu, mfu, mbu, None, None, 1.0, "test", 0.0, 0.9, tokens_per_s_per_gpu=None
    )
    return Assessment((row,), state=TelemetryState.OK)


@st.composite
def subjects(draw: st.DrawFn) -> Subject:
    document = draw(st.one_of(training(), serving()))
    products = draw(st.lists(st.sampled_from(sorted(PRICES)), min_size=1, max_size=3, unique=True))
    document = {**document, "tunable": draw(st.lists(st.sampled_from(TUNABLE), unique=True))}
    document["accelerators"] = {**document["accelerators"], "products": products}
    document["objective"] = draw(st.sampled_from(["Throughput", "Cost"]))
    spec = WorkloadSpec.model_validate(document)
    setup, where = from_spec(spec), placement_for(spec, products[0])
    assert not isinstance(setup, Problem)
    assert isinstance(where, Placement)
    assigned = draw(st.booleans())
    if assigned and draw(st.booleans()):
        where = replace(where, gpus_per_node=1)
    expected, best = predict(setup, where), attainable(setup, where, tunable_of(spec))
    assert isinstance(expected, Prediction), expected
    assert isinstance(best, Attainable), best
    made = Subject("team/w", spec, setup, where, expected, best, None, EffectivePolicy(book=PriceBook(PRICES)))
    return draw(running(made)) if assigned else made


@st.composite
def running(draw: st.DrawFn, made: Subject) -> Subject:
    """On nodes, with readings somewhere between a third of expected and more than the hardware gives."""
    share, aim = draw(st.floats(0.3, 1.4)), on_scale(made.expected) or 0.0
    causes = draw(st.lists(st.sampled_from(RUNTIME), unique=True, max_size=3))
    weights = [draw(st.floats(0.05, 1.0)) for _ in causes]
    gap = max(0.0, 1.0 - share) * aim
    lost = [gap * weight / max(1.0, sum(weights)) for weight in weights]
    found = [finding(cause, Explains.RUNTIME, part) for cause, part in zip(causes, lost, strict=True)]
    found += [finding(Cause.KV_CACHE_PRESSURE, Explains.CONFIGURATION, 0.05)] if draw(st.booleans()) else []
    others = []
    for name in made.spec.accelerators.products[1:]:
        where = placement_for(made.spec, name)
        answer = predict(made.setup, where) if isinstance(where, Placement) else None
        others += [(name, answer)] if isinstance(answer, Prediction) else []
    return replace(
        made,
        assigned=True,
        replicas_running=draw(st.integers(1, 4)),
        load=Load(draw(st.one_of(st.none(), st.floats(1.0, 1e6)))),
        assessment=observed(made.expected, share),
        findings=tuple(found) if share < 1.0 else (),
        alternatives=tuple(others),
    )


@STEADY
@given(subjects())
def test_each_brings_what_it_promises_on_top_of_those_before(subject: Subject) -> None:
    before = reach_of(subject)
    for each in recommend(subject):
        again = predict(each.reach.setup, each.reach.placement)
        assert isinstance(again, Prediction)
        made = again.tokens_per_s_per_gpu * each.reach.placement.gpus * each.reach.replicas * each.reach.share
        assert each.reach.tokens_per_s == pytest.approx(made)
        if before.tokens_per_s and made:
            assert each.gain == pytest.approx(made / before.tokens_per_s - 1.0)
        else:
            assert each.gain is None
        if each.kind in (Kind.SETTING, Kind.MEND, Kind.MOVE, Kind.PRODUCT):
            assert each.gain is not None
            assert each.gain >= -1e-9
        before = each.reach


@STEADY
@given(subjects())
def test_none_breaks_memory_or_a_declared_latency(subject: Subject) -> None:
    for each in recommend(subject):
        if each.kind in (Kind.RELEASE, Kind.MEND, Kind.REPLICAS):
            continue
        assert each.reach.prediction.memory.fits
        if isinstance(each.reach.setup, Inference):
            assert not misses(each.reach.setup, each.reach.prediction)


@STEADY
@given(subjects())
def test_mended_causes_never_bring_more_than_was_expected(subject: Subject) -> None:
    start = reach_of(subject)
    for each in recommend(subject):
        assert each.reach.share <= max(1.0, start.share)


@STEADY
@given(subjects())
def test_no_decision_contradicts_the_list(subject: Subject) -> None:
    alone = decide(subject)
    said = {each.type: each for each in alone.decisions}
    kinds = [each.kind for each in alone.recommended]
    assert kinds.count(Kind.REPLICAS) <= 1
    if Kind.RELEASE in kinds:
        assert kinds == [Kind.RELEASE]
    if DecisionType.MIG in said:
        assert (said[DecisionType.MIG].outcome is Outcome.RESHAPE) == (Kind.SLICE in kinds)
    if DecisionType.PLACEMENT in said and said[DecisionType.PLACEMENT].outcome is Outcome.KEEP:
        assert Kind.MOVE not in kinds
    admission = said[DecisionType.ADMISSION]
    if admission.reason == "FasterProductAllowed":
        assert Kind.PRODUCT in kinds
    if Kind.OBJECTIVE in kinds:
        assert admission.reason in ("MissesObjective", "OutOfMemory", "TensorLeavesDomain")
    assert _one_number_of_replicas(subject, alone)


def _one_number_of_replicas(subject: Subject, alone: Alone) -> bool:
    scaling = next((each for each in alone.decisions if each.type is DecisionType.SCALING), None)
    if scaling is None or not scaling.hint or not alone.recommended or alone.recommended[-1].kind is Kind.RELEASE:
        return True
    later = alone.recommended[-1].reach.replicas
    return later == scaling.hint["replicas"] or f"{later} once the recommendations are followed" in scaling.message


@STEADY
@given(subjects())
def test_changes_beside_attainable_are_those_of_the_list(subject: Subject) -> None:
    listed = recommend(subject)
    best = shown_attainable(subject.attainable, listed)
    assert best is not None
    named = {(each.step.field, each.step.before, each.step.after) for each in listed}
    assert all((each.field, each.before, each.after) in named for each in best.changes)


@STEADY
@given(subjects())
def test_each_setting_is_changed_once(subject: Subject) -> None:
    """`concurrency 16 → 64` is never followed by another number."""
    fields = [each.step.field for each in recommend(subject) if each.kind is Kind.SETTING]
    assert len(fields) == len(set(fields))


def kinds_of(listed: tuple[Recommended, ...]) -> list[Kind]:
    return [each.kind for each in listed]


def test_an_idle_service_is_told_nothing_else() -> None:
    idle = finding(Cause.IDLE_ALLOCATION, Explains.RUNTIME, 0.4)
    listed = recommend(case({**SERVING, "tunable": TUNABLE}, assigned=True, findings=(idle,)))
    assert kinds_of(listed) == [Kind.RELEASE]
    assert listed[0].reach.gpus == 0


def test_what_does_not_fit_is_made_to_fit_first() -> None:
    document = {**TRAINING, "training": {**TRAINING["training"], "parallelism": {"tensor": 1, "data": 8}}}
    document["training"]["sharding"] = "DDP"
    subject = case({**document, "tunable": ["MicroBatch", "Layout"]})
    assert not subject.expected.memory.fits
    listed = recommend(subject)
    assert listed[0].kind is Kind.FIT
    assert listed[0].gain is None
    assert reach_of(subject).tokens_per_s is None


def test_a_latency_that_is_missed_comes_before_speed() -> None:
    block = {**SERVING["inference"], "concurrency": 1024, "slo": {"tpotMilliseconds": 5}}
    subject = case({**SERVING, "inference": block, "tunable": ["Concurrency"]})
    listed = recommend(subject)
    assert kinds_of(listed) == [Kind.OBJECTIVE]
    assert listed[0].reach.prediction.tpot_seconds is not None
    assert listed[0].reach.prediction.tpot_seconds <= 0.005
    admission = decide(subject).decisions[0]
    assert admission.message.endswith(f"; {listed[0].step.action}")


def test_replicas_are_counted_after_what_each_will_carry() -> None:
    """Eight replicas of sixteen requests each, for a load that two of the recommended setting carry."""
    subject = case({**SERVING, "tunable": ["Concurrency"]}, assigned=True, replicas_running=8)
    rate = subject.expected.tokens_per_s_per_gpu
    busy = replace(subject, load=Load(5.0 * rate), assessment=observed(subject.expected, 1.0))
    alone = decide(busy)
    assert kinds_of(alone.recommended) == [Kind.SETTING, Kind.REPLICAS]
    last = alone.recommended[-1]
    assert last.step.before == "8"
    assert int(last.step.after) < 7
    scaling = alone.decisions[-1]
    assert scaling.type is DecisionType.SCALING
    assert f"{last.step.after} once the recommendations are followed" in scaling.message


def test_a_configuration_loss_names_the_step_of_the_list() -> None:
    subject = case({**SERVING, "tunable": ["Concurrency"]}, assigned=True)
    lonely = finding(Cause.LOW_CONCURRENCY, Explains.CONFIGURATION, 0.2)
    listed = recommend(replace(subject, findings=(lonely,)))
    (told,) = agreeing_findings((lonely,), listed)
    assert told.action == "concurrency 16 → 2048: see the recommendations"
    (alone,) = agreeing_findings((lonely,), ())
    assert alone.action.endswith("not recommended: spec.tunable, memory or slo do not allow it")


def test_what_runs_faster_than_its_best_prediction_is_left_alone() -> None:
    subject = case({**TRAINING, "tunable": ["MicroBatch"]}, assigned=True)
    assert recommend(subject)
    assert recommend(replace(subject, assessment=observed(subject.expected, 1.3))) == ()
