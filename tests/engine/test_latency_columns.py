"""Columns, admission and prediction agree on whether a service answers in time."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.api.decisions import DecisionType
from mfu.api.workload_status import Summary, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import Snapshot
from mfu.show.explanation import explanation
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.scenes import NOW, workload


def told(inference: dict[str, Any] | None = None, document: dict[str, Any] = SERVING) -> WorkloadStatus:
    changed = {**document, "inference": {**document["inference"], **inference}} if inference else document
    (plan,) = evaluate(Snapshot((workload(document=changed),), (), (node("n0"),)), NOW).workloads
    return plan.status.read()


def columns(status: WorkloadStatus) -> Summary:
    assert status.summary is not None
    return status.summary


def admission(status: WorkloadStatus) -> tuple[str, str]:
    found = next(each for each in status.decisions if each.type == DecisionType.ADMISSION)
    return str(found.outcome), str(found.reason)


def test_a_limit_that_is_missed_stands_in_the_row_and_holds_admission() -> None:
    status = told({"slo": {"tpotMilliseconds": 1}})
    said = columns(status)
    assert said.tpot.endswith(" of 1 ms")
    assert said.slo == "Missed: TPOT"
    assert admission(status) == ("Hold", "MissesObjective")


def test_limits_that_are_kept() -> None:
    status = told({"slo": {"tpotMilliseconds": 500, "ttftMilliseconds": 9000}})
    said = columns(status)
    assert said.slo == "Kept"
    assert said.ttft.endswith(" of 9000 ms")
    assert admission(status)[0] == "Admit"


def test_a_first_token_limit_is_of_the_p95_prompt() -> None:
    mean = columns(told()).ttft
    tail = columns(told({"inputTokens": {"mean": 512, "p95": 4096}, "slo": {"ttftMilliseconds": 1}}))
    assert float(tail.ttft.split()[0]) > 4 * float(mean.split()[0])
    assert tail.slo == "Missed: TTFT"


@pytest.mark.parametrize(("document", "empty"), [(TRAINING, True), (SERVING, False)])
def test_training_answers_nobody(document: dict[str, Any], empty: bool) -> None:
    said = columns(told(document=document))
    assert (said.ttft == "", said.tpot == "", said.slo) == (empty, empty, "")


def test_explain_says_it() -> None:
    page = explanation("team", "chat", told({"slo": {"tpotMilliseconds": 1}}))
    (fact,) = (each.value for each in page.facts if each.label == "latency")
    assert "(Missed: TPOT)" in fact
    assert not [each for each in explanation("team", "job", told(document=TRAINING)).facts if each.label == "latency"]
