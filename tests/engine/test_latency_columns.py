"""Columns, admission and prediction agree on whether a service answers in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.api.decisions import DecisionType
from mfu.api.workload_status import LatencyObjective, Summary, WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.say.latency import attained_words
from mfu.engine.snapshot import Snapshot
from mfu.observe.attainment import Attained
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
    assert said.expected_slo == "Missed: TPOT"
    assert admission(status) == ("Hold", "MissesObjective")


def test_limits_that_are_kept() -> None:
    status = told({"slo": {"tpotMilliseconds": 500, "ttftMilliseconds": 9000}})
    said = columns(status)
    assert said.expected_slo == "Kept"
    assert said.ttft.endswith(" of 9000 ms")
    assert admission(status)[0] == "Admit"


def test_a_first_token_limit_is_of_the_p95_prompt() -> None:
    mean = columns(told()).ttft
    tail = columns(told({"inputTokens": {"mean": 512, "p95": 4096}, "slo": {"ttftMilliseconds": 1}}))
    assert float(tail.ttft.split()[0]) > 4 * float(mean.split()[0])
    assert tail.expected_slo == "Missed: TTFT"


@pytest.mark.parametrize(("document", "empty"), [(TRAINING, True), (SERVING, False)])
def test_training_answers_nobody(document: dict[str, Any], empty: bool) -> None:
    said = columns(told(document=document))
    assert (said.ttft == "", said.tpot == "", said.expected_slo) == (empty, empty, "")


def test_explain_says_it() -> None:
    page = explanation("team", "chat", told({"slo": {"tpotMilliseconds": 1}}))
    facts = {each.label: each.value for each in page.facts}
    assert facts["latency"].endswith(" expected")
    assert facts["expected SLO"] == "Missed: TPOT"
    assert facts["observed SLO"] == "Unknown"
    assert not [each for each in explanation("team", "job", told(document=TRAINING)).facts if each.label == "latency"]


TTFT, TPOT = (Attained(each, 0.5) for each in (LatencyObjective.TTFT, LatencyObjective.TPOT))
SEEN = {
    "": (),
    "Unknown": (TTFT, TPOT),
    "Kept: TTFT 99.2%": (replace(TTFT, share=0.992),),
    "Unknown: TTFT 99.2%, TPOT Unknown": (replace(TTFT, share=0.992), TPOT),
    "Missed: TTFT 99.2%, TPOT 3.1%": (replace(TTFT, share=0.992), replace(TPOT, share=0.031)),
    "Missed: TTFT 94.9%, TPOT Unknown": (replace(TTFT, share=0.949), TPOT),
}


@pytest.mark.parametrize("words", SEEN)
def test_what_engines_timed_has_a_verdict_of_its_own(words: str) -> None:
    assert attained_words(SEEN[words]) == words


def test_a_service_that_is_faster_than_expected_shows_both_and_says_which_is_measured() -> None:
    said = WorkloadStatus(
        summary=Summary(ttft="900 of 500 ms", expected_slo="Missed: TTFT", observed_slo="Kept: TTFT 100.0%")
    )
    facts = {each.label: each.value for each in explanation("team", "chat", said).facts}
    assert facts["expected SLO"] == "Missed: TTFT"
    assert facts["observed SLO"] == "Kept: TTFT 100.0% of the last ten minutes' answers in time; 95% are promised"
