"""Over random declarations and readings: what the columns say of cause, loss, fit and surprise never contradicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.workload_status import WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.judged import MOST_MISJUDGED
from mfu.engine.plan import WorkloadPlan
from mfu.engine.snapshot import FleetReadings, Snapshot
from mfu.show.explanation import explanation
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.scenes import NOW, STEADY, pod, series, workload
from tests.engine.test_every_dollar import policy

PRESETS = ("llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b")
LAYOUTS: tuple[dict[str, Any], ...] = (
    {"parallelism": {"data": 8}, "sharding": "FSDP"},
    {"parallelism": {"data": 8}, "sharding": "DDP"},
    {"parallelism": {"tensor": 2, "data": 4}, "sharding": "ZeRO1"},
    {"parallelism": {"tensor": 4, "pipeline": 2}, "sharding": "DDP"},
)


fractions = st.one_of(st.just(0.0), st.floats(1e-9, 0.95))


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    model = {"preset": draw(st.sampled_from(PRESETS))}
    if draw(st.booleans()):
        block = {
            "sequenceLength": draw(st.sampled_from([1024, 4096, 32768])),
            "globalBatchSize": draw(st.sampled_from([8, 64, 512])),
            "microBatchSize": draw(st.sampled_from([1, 4])),
            "recompute": draw(st.sampled_from(["None", "Full"])),
            **draw(st.sampled_from(LAYOUTS)),
        }
        return {**TRAINING, "model": model, "training": block}
    gpus = draw(st.sampled_from([1, 4, 8]))
    block = {
        "inputTokens": {"mean": draw(st.sampled_from([128, 4000]))},
        "outputTokens": {"mean": draw(st.sampled_from([32, 800]))},
        "concurrency": draw(st.sampled_from([1, 32, 512])),
        "parallelism": {"tensor": gpus},
    }
    accelerators = {"count": gpus, "products": ["H100-SXM5"]}
    return {**SERVING, "model": model, "accelerators": accelerators, "inference": block}


@st.composite
def judged(draw: st.DrawFn) -> WorkloadPlan:
    """One workload that runs as it declares or otherwise, with a price, at any MFU that a reading can have."""
    document = draw(declarations())
    view = workload("w", document)
    gpus = int(document["accelerators"]["count"])
    mfu = draw(fractions)
    counted = draw(st.one_of(st.none(), fractions))
    read = {view.key: series(view, mfu, counted=counted)} if draw(st.booleans()) else {}
    prices = (policy("p", "$", {"H100-SXM5": "2.50"}),)
    snapshot = Snapshot((view,), (pod(gpus=gpus),), (node("n0"),), prices, {"team-a": {}}, FleetReadings(), read)
    (plan,) = evaluate(snapshot, NOW).workloads
    assert plan.error is None
    return plan


def said(plan: WorkloadPlan) -> WorkloadStatus:
    return plan.status.read()


def fraction(text: str) -> float | None:
    return None if text == "Unknown" else float(text.rstrip("%")) / 100


@STEADY
@given(judged())
def test_cause_none_never_stands_beside_a_loss_that_counts(plan: WorkloadPlan) -> None:
    summary = said(plan).summary
    assert summary is not None
    if summary.cause == "None":
        assert summary.lost_per_hour in ("$0.00", "Unknown")
        assert plan.lost_per_hour in (None, 0.0)
    if plan.lost_per_hour:
        assert summary.cause != "None"


@STEADY
@given(judged())
def test_what_does_not_fit_shows_no_expected_number(plan: WorkloadPlan) -> None:
    status = said(plan)
    fits = next(each for each in status.conditions if each.type == "FitsMemory")
    if fits.status != "False" or status.summary is None or status.memory is None:
        return
    need, capacity = (float(str(each).removesuffix("Gi")) for each in (status.memory.per_gpu, status.memory.capacity))
    if need <= MOST_MISJUDGED * capacity:
        # It runs all the same: that shows that it fits, within what memory is misjudged by.
        return
    assert (status.summary.expected, status.summary.lost_per_hour) == ("Unknown", "Unknown")
    assert all(each.mfu is None and each.tokens_per_second_per_gpu is None for each in status.expected)
    assert not status.waterfall


@STEADY
@given(judged())
def test_observed_above_attainable_is_explained(plan: WorkloadPlan) -> None:
    status = said(plan)
    assert status.summary is not None
    observed, attainable = fraction(status.summary.observed), fraction(status.summary.attainable)
    if observed is None or attainable is None or observed <= attainable + 0.0011:
        return
    page = explanation("team-a", "w", status, paused=False)
    assert any("above attainable" in each for each in page.warnings)


@st.composite
def two_tenants(draw: st.DrawFn) -> Snapshot:
    views = [workload("w", namespace=name) for name in ("team-a", "team-b")]
    pods = tuple(pod("w-0", namespace=name, node=f"n{row}") for row, name in enumerate(("team-a", "team-b")))
    prices = [draw(st.sampled_from(["0.01", "2.50", "98.765432"])) for _ in views]
    only_b = {"namespaceSelector": {"matchLabels": {"team": "team-b"}}, "priority": 1}
    policies = (
        policy("dollars", "$", {"H100-SXM5": prices[0]}),
        policy("euros", "€", {"H100-SXM5": prices[1]}, **only_b),
    )
    names = {name: {"team": name} for name in ("team-a", "team-b")}
    read = {view.key: series(view, draw(fractions)) for view in views}
    return Snapshot(tuple(views), pods, (node("n0"), node("n1")), policies, names, FleetReadings(), read)


@STEADY
@given(two_tenants())
def test_two_currencies_are_never_summed(snapshot: Snapshot) -> None:
    """Every amount of the report is one tenant's alone: nobody's is the sum of a dollar's and a euro's."""
    plan = evaluate(snapshot, NOW)
    costs = {each.key: each.cost_per_hour for each in plan.workloads}
    dollars, euros = costs["team-a/w"], costs["team-b/w"]
    assert dollars is not None
    assert euros is not None
    report = plan.report.read()
    assert {each.currency: float(each.per_hour) for each in report.bills} == {
        "$": pytest.approx(dollars, abs=0.006),
        "€": pytest.approx(euros, abs=0.006),
    }
    mine = dollars if report.currency == "$" else euros
    assert report.totals is not None
    assert float(report.totals.cost_per_hour or 0) == pytest.approx(mine, abs=0.011)
    by_space = {each.namespace: each for each in report.namespaces}
    for name, cost in (("team-a", dollars), ("team-b", euros)):
        shown = by_space[name].cost_per_hour
        assert shown is None or float(shown) == pytest.approx(cost, abs=0.011)
