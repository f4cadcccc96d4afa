"""What could be declared better: what is searched for, and what is kept of what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.recommend import settings
from mfu.decide.recommend.settings import changes, fitting, in_time, late, possible
from mfu.decide.workload.remedy import Cure, remedy
from mfu.predict import attainable
from mfu.predict import predict as real
from mfu.predict.types import Attainable, Inference, Placement, Prediction, Problem, Setup, Tunable
from tests.builders.cases import SERVING, TRAINING, case, too_large

EVERYTHING = frozenset(Tunable)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was answered by hand-made searches is nobody's answer later."""
    for _ in range(2):
        for each in (changes, fitting, in_time):
            each.cache_clear()
        if _ == 0:
            yield


def served(**slo: int) -> tuple[Inference, Placement, Prediction]:
    block = {**SERVING["inference"], **({"slo": slo} if slo else {})}
    subject = case({**SERVING, "inference": block})
    assert isinstance(subject.setup, Inference)
    return subject.setup, subject.placement, subject.expected


def test_steps_to_the_attainable_setting_in_their_order() -> None:
    setup, where, expected = served()
    best = attainable(setup, where, EVERYTHING)
    assert isinstance(best, Attainable) and len(best.changes) > 1
    found = changes(setup, where, EVERYTHING)
    assert [each.kind for each in found] == [Kind.SETTING] * len(best.changes)
    for step, change in zip(found, best.changes, strict=True):
        assert (step.field, step.before, step.after, step.setup) == (
            change.field,
            change.before,
            change.after,
            change.setting,
        )
    assert found[-1].prediction is not None
    assert found[-1].prediction.tokens_per_s_per_gpu > expected.tokens_per_s_per_gpu
    assert changes(setup, where, frozenset()) == ()


@pytest.mark.parametrize("answer", ["a problem", "too large"])
def test_no_step_is_told_where_one_of_them_is_impossible(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    setup, where, expected = served()
    asked = []

    def predict(each: Setup, there: Placement) -> Prediction | Problem:
        asked.append(each)
        if len(asked) == 1:
            return real(each, there)
        if answer == "a problem":
            return Problem("NoAnswer", "", "is not told")  # type: ignore[arg-type]
        return replace(expected, memory=too_large(case()).expected.memory)

    monkeypatch.setattr(settings, "predict", predict)
    assert changes(setup, where, EVERYTHING) == ()
    assert len(asked) == 2


def test_nothing_attainable_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    setup, where, _ = served()
    monkeypatch.setattr(settings, "attainable", lambda *_: Problem("NoAnswer", "", "is not told"))  # type: ignore[arg-type]
    assert changes(setup, where, EVERYTHING) == ()


def test_late_is_what_the_declared_latency_is_missed_by() -> None:
    setup, _, expected = served(tpotMilliseconds=1)
    assert late(setup, expected, surely=True) and late(setup, expected)
    assert not possible(setup, expected)
    roomy, _, expected = served(tpotMilliseconds=10_000)
    assert late(roomy, expected) == ()
    assert possible(roomy, expected)
    assert not possible(roomy, replace(expected, memory=too_large(case()).expected.memory))


def test_what_may_be_in_time_is_not_surely_late() -> None:
    setup, _, expected = served(tpotMilliseconds=5)
    nearly = replace(expected, tpot_seconds=0.0051)
    assert late(setup, nearly)
    assert late(setup, nearly, surely=True) == ()


def test_training_is_never_late() -> None:
    subject = case()
    assert late(subject.setup, replace(subject.expected, tpot_seconds=9.0)) == ()


def unfitting() -> tuple[Setup, Placement]:
    block = {**TRAINING["training"], "parallelism": {"tensor": 1, "data": 8}, "sharding": "DDP"}
    subject = case({**TRAINING, "training": block})
    assert not subject.expected.memory.fits
    return subject.setup, subject.placement


def test_what_makes_it_fit_as_admission_names_it() -> None:
    setup, where = unfitting()
    cure = remedy(setup, where)
    found = fitting(setup, where)
    assert cure is not None and found is not None
    assert (found.kind, found.action) == (Kind.FIT, f"run on {cure.gpus} GPUs with {cure.layout}, which fits")
    assert found.setup == cure.setup
    assert found.placement is not None and found.placement.gpus == cure.gpus
    assert found.prediction is not None and found.prediction.memory.fits


@pytest.mark.parametrize(("gpus", "a_node", "becomes"), [(16, 8, 8), (4, 8, 4), (16, 16, 16), (2, 1, 2), (8, 4, 8)])
def test_nodes_are_as_large_as_they_are_or_usually_are(
    monkeypatch: pytest.MonkeyPatch, gpus: int, a_node: int, becomes: int
) -> None:
    subject = case()
    cure = Cure(subject.setup, gpus, False, "a layout", 1.0)
    monkeypatch.setattr(settings, "remedy", lambda *_: cure)
    monkeypatch.setattr(settings, "predict", lambda *_: subject.expected)
    found = fitting(subject.setup, replace(subject.placement, gpus_per_node=a_node))
    assert found is not None and found.placement is not None
    assert (found.placement.gpus, found.placement.gpus_per_node) == (gpus, becomes)


@pytest.mark.parametrize("answer", [None, "a problem", "too large"])
def test_what_fits_nowhere_is_not_told(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    subject = case()
    cure = None if answer is None else Cure(subject.setup, 8, True, "a layout", 1.0)
    found: Any = Problem("NoAnswer", "", "is not told")  # type: ignore[arg-type]
    found = too_large(subject).expected if answer == "too large" else found
    monkeypatch.setattr(settings, "remedy", lambda *_: cure)
    monkeypatch.setattr(settings, "predict", lambda *_: found)
    assert fitting(subject.setup, subject.placement) is None


def test_the_fastest_setting_in_time_says_what_it_is_for() -> None:
    block = {**SERVING["inference"], "concurrency": 1024, "slo": {"tpotMilliseconds": 5}}
    subject = case({**SERVING, "inference": block})
    found = in_time(subject.setup, subject.placement, frozenset({Tunable.CONCURRENCY}))
    assert found is not None
    assert (found.kind, found.field, found.before) == (Kind.OBJECTIVE, "concurrency", "1024")
    assert found.action == f"concurrency 1024 → {found.after}, to keep inference.slo"
    assert found.prediction is not None and found.setup is not None
    assert late(found.setup, found.prediction) == ()
    assert in_time(subject.setup, subject.placement, frozenset()) is None
    training = case()
    assert in_time(training.setup, training.placement, EVERYTHING) is None
