"""One workload over time, what a namespace could save, and which decisions ask for something."""

from __future__ import annotations

import pytest

from mfu.api.causes import Actor, Cause, Explains
from mfu.api.decisions import Decision, DecisionMode, DecisionType
from mfu.api.recommendations import AdviceVerdict, AnsweredAdvice, Recommendation, RecommendationKind
from mfu.api.workload_status import Allocation, Basis, Cost, Drift, Expected, History, Loss, Summary, WorkloadStatus
from mfu.show.decisions import asks
from mfu.show.explanation import ranked
from mfu.show.history import AdviceKept, eras, last_change, promises, replies
from mfu.show.tenant import Amount, lost_to, tenant_view
from mfu.show.workloads import Listed

EARLY, LATE = "2026-11-20T06:00:00Z", "2026-11-21T06:00:00Z"


def test_eras_stand_in_the_order_of_time_and_without_a_figure_there_is_none() -> None:
    rows = (
        History(setting="b", after="0.4", changed_at=LATE, promised="0.2", kept=True),
        History(setting="a", after="0.3", changed_at=EARLY),
        History(setting="c", changed_at=EARLY),
        History(setting="d", after="0.2"),
    )
    found = eras(WorkloadStatus(history=rows))
    assert [(each.setting, each.mfu, each.promised, each.kept) for each in found] == [
        ("a", 0.3, None, None),
        ("b", 0.4, 0.2, True),
    ]
    assert found[1].since - found[0].since == 86_400


@pytest.mark.parametrize(
    ("before", "after", "evidence", "words"),
    [
        ("0.40", "0.33", "", "fell from 40.0 % to 33.0 % reference MFU"),
        ("0.33", "0.40", "", "rose from 33.0 % to 40.0 %"),
        ("0.40", "0.33", "SM clock of node n3 -8 % beside its peers", "Infrastructure; SM clock of node n3 -8 %"),
    ],
)
def test_the_last_change_is_a_sentence(before: str, after: str, evidence: str, words: str) -> None:
    drift = Drift(kind="Infrastructure", before=before, after=after, at=LATE, evidence=evidence)
    change = last_change(WorkloadStatus(drift=drift))
    assert change is not None
    assert words in change.sentence
    assert last_change(WorkloadStatus()) is None


def test_only_promises_that_were_judged_count() -> None:
    rows = (History(kept=True), History(kept=False), History(kept=False), History())
    assert promises([WorkloadStatus(history=rows), WorkloadStatus()]) == AdviceKept(1, 2)


def losing(share: str | None, *, wasted: bool = True, price: str | None = "20.00", currency: str = "$") -> Listed:
    loss = Loss(cause=Cause.COMMUNICATION, explains=Explains.RUNTIME, share=share, actor=Actor.PROVIDER, wasted=wasted)
    status = WorkloadStatus(
        summary=Summary(scale="MFU"),
        expected=(Expected(product="A", basis=Basis.ASSIGNED, mfu="0.4", mbu="0.9"),),
        allocation=Allocation(gpus=8),
        losses=(loss,),
        cost=Cost(currency=currency, per_hour=price, lost_per_hour="3.00") if price else None,
    )
    return Listed("team", "job", "Training", status)


def test_what_a_cause_takes_is_its_share_of_what_is_expected() -> None:
    status = losing("0.1").status
    assert lost_to(status, status.losses[0]) == pytest.approx(5.0)
    capped = losing("0.9").status
    assert lost_to(capped, capped.losses[0]) == 20.0
    for unknown in (losing(None), losing("0.1", wasted=False), losing("0.1", price=None)):
        assert lost_to(unknown.status, unknown.status.losses[0]) is None


def test_a_tenants_amounts_stay_apart_by_currency() -> None:
    view = tenant_view([losing("0.1"), losing("0.2"), losing("0.1", currency="€"), losing("0.1", price=None)])
    assert (view.workloads, view.gpus, view.unpriced) == (4, 32, 1)
    assert view.amounts == (Amount("$", 40.0, 6.0), Amount("€", 20.0, 3.0))
    assert [(each.currency, each.workloads, each.per_hour) for each in view.savings] == [
        ("$", 2, pytest.approx(15.0)),
        ("€", 1, pytest.approx(5.0)),
    ]
    assert tenant_view(()).amounts == ()


def test_a_tenant_sees_what_it_is_charged_beside_what_it_costs() -> None:
    sold = [
        Listed(
            "team", name, "Training", WorkloadStatus(cost=Cost(currency="$", per_hour="20", revenue_per_hour=charge))
        )
        for name, charge in (("a", "24"), ("b", "12"), ("c", None))
    ]
    assert tenant_view(sold).amounts == (Amount("$", 60.0, 0.0, 36.0),)


def test_only_decisions_that_want_a_change_ask_for_one() -> None:
    outcomes = ("Admit", "Keep", "None", "Hold", "Move", "Scale", "Warn", "Refuse")
    types = list(DecisionType)
    decisions = tuple(
        Decision(type=types[at % len(types)], outcome=each, mode=DecisionMode.OBSERVE, reason="R")
        for at, each in enumerate(outcomes)
    )
    found = asks([Listed("team", "job", "Training", WorkloadStatus(decisions=decisions))])
    assert [each.decision.outcome for each in found] == ["Hold", "Move", "Scale", "Warn", "Refuse"]


def test_answers_count_beside_promises() -> None:
    done = AnsweredAdvice(field="training.microBatchSize", verdict=AdviceVerdict.DONE, reason="run 118", gain="0.12")
    declined = AnsweredAdvice(field="training.recompute", verdict=AdviceVerdict.DECLINED, reason="no memory")
    status = WorkloadStatus(history=(History(kept=True), History(kept=False)), answers=(done, declined))
    found = promises([status])
    assert found == AdviceKept(1, 1, 1, 1)
    assert found.sentence == "1 of 2 kept; 1 done, 1 declined"
    assert promises([]).sentence == "none old enough to judge"
    first, second = replies(status)
    assert (first.verdict, first.gain, first.reason) == ("Done", 0.12, "run 118")
    assert (second.verdict, second.gain) == ("Declined", None)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (AdviceVerdict.DONE, "said to be done, and not seen yet: because"),
        (AdviceVerdict.DECLINED, "declined: because"),
    ],
)
def test_a_step_that_is_still_listed_shows_its_answer(verdict: AdviceVerdict, words: str) -> None:
    step = Recommendation(
        rank=1, kind=RecommendationKind.SETTING, field="training.microBatchSize", action="x", actor=Actor.TENANT
    )
    answer = AnsweredAdvice(field=step.field, verdict=verdict, reason="because")
    assert ranked(step, WorkloadStatus(answers=(answer,))).answer == words
    other = answer.model_copy(update={"field": "training.recompute"})
    assert ranked(step, WorkloadStatus(answers=(other,))).answer == ""
