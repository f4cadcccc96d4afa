"""Every cause planted at three strengths: at least 95 % named right, none of the healthy accused."""

from __future__ import annotations

from collections import Counter

import pytest

from mfu.api.causes import Cause
from mfu.observe.assess import assess
from mfu.predict import predict
from mfu.predict.types import Prediction
from tests.builders.fault_catalog import every_run
from tests.builders.faults import DATA, Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="shared recordings are not here"),
]
NAMED_RIGHT = 0.95


def judge(run: Run) -> Cause:
    expected = None
    if run.setup is not None:
        answer = predict(run.setup, run.placement)
        expected = answer if isinstance(answer, Prediction) else None
    now = float(run.series.times[-1])
    found = assess(run.setup, run.placement, expected=expected, attainable=run.attainable, series=run.series, now=now)
    return found.cause


@pytest.fixture(scope="module")
def confusion() -> Counter[tuple[Cause, Cause]]:
    return Counter((run.cause, judge(run)) for run in every_run())


def test_at_least_95_percent_are_named_right(confusion: Counter[tuple[Cause, Cause]]) -> None:
    total = sum(confusion.values())
    right = sum(count for (planted, named), count in confusion.items() if planted is named)
    wrong = {f"{planted} → {named}": count for (planted, named), count in confusion.items() if planted is not named}
    assert right / total >= NAMED_RIGHT, wrong


def test_no_healthy_run_is_accused(confusion: Counter[tuple[Cause, Cause]]) -> None:
    accused = {named for (planted, named) in confusion if planted is Cause.NONE and named is not Cause.NONE}
    assert not accused


def test_every_cause_was_planted(confusion: Counter[tuple[Cause, Cause]]) -> None:
    planted = {cause for cause, _ in confusion}
    assert planted == set(Cause) - {Cause.UNKNOWN}
