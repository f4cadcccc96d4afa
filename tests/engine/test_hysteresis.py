"""What is news: a table over typed statuses, that noise alone never writes, and that no sentence is read for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from mfu.api.base import Resource
from mfu.api.fleetreport import Coverage, FleetStatus, FleetSummary, NodeFigures
from mfu.api.mfupolicy import PolicyStatus
from mfu.api.workload_status import Attainable, Change, WorkloadStatus
from mfu.engine.say.hysteresis import Novelty, novelty
from tests.builders.scenes import STEADY
from tests.engine.test_packed import statuses

NOTHING, WORDS, NEWS = Novelty.NOTHING, Novelty.WORDS, Novelty.NEWS
THEN, WITHIN, DUE = "2026-11-22T06:00:00Z", "2026-11-22T06:04:59Z", "2026-11-22T06:05:00Z"


def summary(**fields: str) -> dict[str, Any]:
    return {"summary": {"cause": "None", "observed": "41.2%", **fields}}


def observed(**fields: Any) -> dict[str, Any]:
    return {"observed": [{"window": "10m", "meter": "Progress", "mfu": "0.4", "observedAt": THEN, **fields}]}


def loss(**fields: Any) -> dict[str, Any]:
    return {"losses": [{"cause": "Straggler", "explains": "Runtime", "share": "0.1", **fields}]}


def decision(**fields: str) -> dict[str, Any]:
    row = {"type": "Placement", "outcome": "Place", "mode": "Recommend", "reason": "FitsOneDomain", "message": "on n0"}
    return {"decisions": [{**row, **fields}]}


def condition(**fields: Any) -> dict[str, Any]:
    row = {"type": "Ready", "status": "True", "reason": "Ready", "message": "it is", "lastTransitionTime": THEN}
    return {"conditions": [{**row, **fields}]}


ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], Novelty]] = {
    "nothing": (observed(), observed(), NOTHING),
    "noise of a figure": (observed(mfu="0.4120"), observed(mfu="0.4151"), NOTHING),
    "a figure that moved": (observed(mfu="0.4120"), observed(mfu="0.4320"), NEWS),
    "a large figure within two percent": (
        observed(tokensPerSecondPerGPU="10000.0"),
        observed(tokensPerSecondPerGPU="10150.0"),
        NOTHING,
    ),
    "a large figure beyond": (
        observed(tokensPerSecondPerGPU="10000.0"),
        observed(tokensPerSecondPerGPU="10250.0"),
        NEWS,
    ),
    "a figure turned unknown": (observed(), observed(mfu=None), NEWS),
    "a tenth of coverage": (observed(coverage="0.90"), observed(coverage="0.81"), NOTHING),
    "more than a tenth": (observed(coverage="0.90"), observed(coverage="0.70"), NEWS),
    "a column made from figures": (summary(), summary(observed="55.0%"), NOTHING),
    "a column that turned unknown": (summary(), summary(observed="Unknown"), NEWS),
    "a cause": (summary(), summary(cause="Straggler"), NEWS),
    "a part more": ({}, summary(), NEWS),
    "a part less": (summary(), {}, NEWS),
    "a list that grew": ({}, loss(), NEWS),
    "readings inside evidence": (loss(evidence="at 26.1 GB/s"), loss(evidence="at 31.3 GB/s"), WORDS),
    "another loss behind the same words": (loss(share="0.1"), loss(share="0.3"), NEWS),
    "a loss that is no waste": (loss(), loss(wasted=False), NEWS),
    "another node in a sentence": (decision(), decision(message="on n1"), WORDS),
    "another outcome": (decision(), decision(outcome="None"), NEWS),
    "another mode": (decision(), decision(mode="Observe"), NEWS),
    "the same answer later": (decision(evaluatedAt=THEN), decision(evaluatedAt=DUE), NOTHING),
    "a condition's words": (condition(), condition(message="it is so"), WORDS),
    "a condition's reason": (condition(), condition(reason="NotReady"), NEWS),
    "a transition time alone": (condition(), condition(lastTransitionTime=DUE), NOTHING),
    "a fresh time within five minutes": (observed(), observed(observedAt=WITHIN), NOTHING),
    "a time due for refresh": (observed(), observed(observedAt=DUE), NEWS),
    "a time that does not read": (observed(observedAt="yesterday"), observed(), NEWS),
    "a generation": ({"observedGeneration": 1}, {"observedGeneration": 2}, NEWS),
    "money": ({"cost": {"lostPerHour": "332.10"}}, {"cost": {"lostPerHour": "400.00"}}, NEWS),
    "cents": ({"cost": {"lostPerHour": "332.10"}}, {"cost": {"lostPerHour": "332.90"}}, NOTHING),
    "one more sample": ({"history": [{"samples": 4}]}, {"history": [{"samples": 5}]}, NOTHING),
    "words beside news": (
        {**decision(), **observed()},
        {**decision(message="on n1"), **observed(mfu="0.9")},
        NEWS,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_news(name: str) -> None:
    stands, said, want = ROWS[name]
    assert novelty(WorkloadStatus.model_validate(stands), WorkloadStatus.model_validate(said)) is want


OTHERS: dict[str, tuple[Resource, Resource, Novelty]] = {
    "a step of advice": (
        Attainable(changes=(Change(field="f", from_="1", to="2"),)),
        Attainable(changes=(Change(field="f", from_="1", to="4"),)),
        NEWS,
    ),
    "namespaces of a policy": (PolicyStatus(matched_namespaces=2), PolicyStatus(matched_namespaces=3), NEWS),
    "when a policy came into force": (PolicyStatus(last_applied_at=THEN), PolicyStatus(last_applied_at=WITHIN), NEWS),
    "coverage of a node": (
        NodeFigures(node="n", coverage=Coverage(measured="0.500")),
        NodeFigures(node="n", coverage=Coverage(measured="0.600")),
        NEWS,
    ),
    "columns of the fleet": (
        FleetStatus(summary=FleetSummary(gpus="52/64", cause="None")),
        FleetStatus(summary=FleetSummary(gpus="53/64", cause="None")),
        NOTHING,
    ),
    "the fleet's main cause": (
        FleetStatus(summary=FleetSummary(cause="None")),
        FleetStatus(summary=FleetSummary(cause="Straggler")),
        NEWS,
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_news_of_other_statuses(name: str) -> None:
    stands, said, want = OTHERS[name]
    assert novelty(stands, said) is want


@STEADY
@given(statuses)
def test_the_same_is_never_news(said: WorkloadStatus) -> None:
    assert novelty(said, said) is NOTHING


@STEADY
@given(statuses, statuses)
def test_any_two_can_be_compared_and_words_alone_are_no_news(one: WorkloadStatus, other: WorkloadStatus) -> None:
    found = novelty(one, other)
    assert found in Novelty
    reworded = one.model_copy(
        update={"losses": tuple(each.model_copy(update={"evidence": "other"}) for each in one.losses)}
    )
    assert novelty(one, reworded) is not NEWS
