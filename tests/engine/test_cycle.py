"""The whole cycle: order is nothing, once is enough, doubt freezes, pause holds, and news is told once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.fleetreport import FleetStatus
from mfu.api.mfupolicy import PolicySpec
from mfu.api.workload_status import WorkloadStatus
from mfu.engine.evaluate import evaluate
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover, Plan, WorkloadPlan
from mfu.engine.say.hysteresis import Novelty, novelty
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot, WorkloadView
from mfu.predict.types import Corrections
from tests.builders.cases import NAMED, SERVING, TRAINING, node
from tests.builders.scenes import NOW, STEADY, conditions, pod, series, stopped, training, workload, written

POLICY = PolicyView(
    "prices",
    "uid-prices",
    1,
    PolicySpec.model_validate({"prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}]}),
)
OBSERVING = replace(
    POLICY,
    spec=PolicySpec.model_validate({"modes": dict.fromkeys(("admission", "placement", "scaling"), "Observe")}),
    generation=2,
)


def one(
    mfu: float = 0.45, *, counted: float | None = None, view: WorkloadView | None = None, now: float = NOW
) -> Snapshot:
    """A running job."""
    mine = view or workload()
    readings = {mine.key: series(mine, mfu, counted=counted, now=now)}
    return Snapshot((mine,), (pod(),), (node("n0"),), (), {"team-a": {}}, series=readings)


def fleet() -> Snapshot:
    """A bit of everything: running, waiting, conflicting, refused, undeclared, of two products and two namespaces."""
    jobs = [workload(name, NAMED, created_at=float(number)) for number, name in enumerate("abc")]
    older = workload("old", {**TRAINING, "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}})
    younger = replace(older, name="young", uid="uid-young", created_at=9.0)
    wrong = workload("wrong", {**TRAINING, "model": {"preset": "llama-9"}})
    replica = workload("serve", SERVING, namespace="team-b")
    nodes = [node(f"n{number}", mig={"1g.10gb": 7} if number == 3 else {}) for number in range(5)] + [
        node("m0", product="NVIDIA-A100-SXM4-80GB")
    ]
    pods = [pod(f"{name}-0", name, node=f"n{number}", created_at=10.0) for number, name in enumerate("ab")]
    pods += [
        pod("j-0", None, node="n2", owners=(("Job", "j"),)),
        pod("serve-0", "serve", namespace="team-b", gpus=1, node="n3"),
        pod("serve-1", "serve", namespace="team-b", gpus={"nvidia.com/mig-1g.10gb": 1}, node="n3"),
        pod("mystery", None, namespace="team-c", node="m0"),
        pod("c-0", "c", node=None, phase="Pending"),
    ]
    readings = {jobs[0].key: series(jobs[0], 0.45, pod_name="a-0"), jobs[1].key: series(jobs[1], 0.41, pod_name="b-0")}
    namespaces = {name: {"team": name} for name in ("team-a", "team-b", "team-c")}
    return Snapshot(
        (*jobs, older, younger, wrong, replica), tuple(pods), tuple(nodes), (POLICY,), namespaces, series=readings
    )


def essence(plan: Plan) -> dict[str, Any]:
    """What is said of each, without the order in which it is said."""
    workloads = {
        each.key: (each.status, each.annotations, each.events, each.decisions, each.cause, each.lesson)
        for each in plan.workloads
    }
    policies = {each.name: each.status for each in plan.policies}
    return {
        "workloads": workloads,
        "policies": policies,
        "report": plan.report,
        "learned": dict(plan.corrections.by_key),
    }


FLEET = fleet()
PLANNED = evaluate(FLEET, NOW)


@STEADY
@given(st.randoms(use_true_random=False))
def test_the_order_of_everything_is_nothing(random: Any) -> None:
    def mixed(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(items, len(items)))

    def turned(items: Any) -> dict[Any, Any]:
        return dict(mixed(tuple(items.items())))

    shuffled = replace(
        FLEET,
        workloads=mixed(FLEET.workloads),
        pods=mixed(FLEET.pods),
        nodes=mixed(FLEET.nodes),
        series=turned(FLEET.series),
        namespaces=turned(FLEET.namespaces),
    )
    assert essence(evaluate(shuffled, NOW)) == essence(PLANNED)


def told(plan: Plan) -> FleetStatus:
    """The report without what was learned meanwhile."""
    return plan.report.read().model_copy(update={"calibration": ()})


def test_plans_stand_in_the_order_of_their_declarations() -> None:
    assert [each.uid for each in PLANNED.workloads] == [each.uid for each in FLEET.workloads]


def test_what_was_written_is_not_written_again() -> None:
    kept = written(FLEET, PLANNED, corrections=FLEET.corrections)
    for snapshot in (kept, replace(kept, before=Handover())):
        again = evaluate(snapshot, NOW + 10.0)
        for before, after in zip(PLANNED.workloads, again.workloads, strict=True):
            assert after.status == before.status, after.key
            assert after.annotations == before.annotations
            assert after.events == ()
        assert novelty(told(PLANNED), told(again)) is Novelty.NOTHING


def test_two_lessons_of_one_key_are_learned_in_one_order() -> None:
    teaching = [each for each in PLANNED.workloads if each.lesson]
    assert len({each.lesson.key for each in teaching if each.lesson}) < len(teaching) == 2
    assert [each.observations for each in PLANNED.corrections.by_key.values()] == [2]


def step(snapshot: Snapshot, now: float = NOW, **changes: Any) -> tuple[WorkloadPlan, Snapshot]:
    """The only workload's plan, and the cluster after it was written."""
    plan = evaluate(snapshot, now)
    return plan.workloads[0], written(snapshot, plan, **changes)


LARGER = {**TRAINING, "model": {"preset": "llama-3.1-70b"}}
"""Does not fit in memory: held, where it is decided."""


def declares(snapshot: Snapshot, document: dict[str, Any]) -> Snapshot:
    """With another declaration."""
    view = replace(snapshot.workloads[0], spec=workload(document=document).spec, generation=2)
    return replace(snapshot, workloads=(view,))


def reads(snapshot: Snapshot, mfu: float = 0.45, *, counted: float | None = None, now: float = NOW) -> Snapshot:
    """With fresh readings of its workload."""
    return replace(snapshot, series=one(mfu, counted=counted, view=snapshot.workloads[0], now=now).series)


LATER = NOW + 60.0
DOUBTS: dict[str, tuple[Callable[[Snapshot], Snapshot], str, str]] = {
    "nothing is read": (
        lambda each: replace(each, series={}, fleet=FleetReadings()),
        "TelemetryAvailable",
        "NoReadings",
    ),
    "readings stopped": (
        lambda each: replace(each, series={"team-a/w": stopped(each.workloads[0], 0.45, now=LATER)}),
        "TelemetryAvailable",
        "ReadingsStale",
    ),
    "the intent is suspect": (
        lambda each: reads(each, counted=0.2, now=LATER),
        "IntentConsistent",
        "MetersDisagree",
    ),
}


@pytest.mark.parametrize("restart", [False, True], ids=["", "after a restart"])
@pytest.mark.parametrize("name", DOUBTS)
def test_in_doubt_decisions_and_annotations_stay(name: str, restart: bool) -> None:
    spoil, kind, reason = DOUBTS[name]
    before, after = step(one())
    assert before.status.document()["decisions"]
    assert before.annotations
    doubtful = spoil(declares(after, LARGER))
    plan = evaluate(replace(doubtful, before=Handover()) if restart else doubtful, LATER)
    (frozen,) = plan.workloads
    assert conditions(frozen)[kind] == ("False", reason)
    assert frozen.status.document()["decisions"] == before.status.document()["decisions"]
    assert frozen.annotations == before.annotations
    assert plan.corrections == doubtful.corrections
    assert conditions(frozen)["FitsMemory"] == ("False", "OutOfMemory")
    clear = evaluate(reads(declares(after, LARGER), now=LATER), LATER).workloads[0]
    assert clear.status.document()["decisions"][0]["outcome"] == "Hold"
    assert (
        clear.status.document()["decisions"][0]["evaluatedAt"]
        != before.status.document()["decisions"][0]["evaluatedAt"]
    )
    assert clear.annotations != before.annotations


def test_a_policy_binds_at_once_even_while_decisions_are_frozen() -> None:
    before, after = step(one())
    assert {each["mode"] for each in before.status.document()["decisions"]} == {"Recommend"}
    frozen = evaluate(replace(after, series={}, policies=(OBSERVING,)), NOW + 60.0).workloads[0]
    assert {each["type"]: each["mode"] for each in frozen.status.document()["decisions"]} == {
        "Admission": "Observe",
        "Placement": "Observe",
        "Scaling": "Observe",
    }
    assert [each["reason"] for each in frozen.status.document()["decisions"]] == [
        each["reason"] for each in before.status.document()["decisions"]
    ]
    assert frozen.annotations == {}


def test_what_is_only_observed_is_not_annotated() -> None:
    observed, _ = step(replace(one(), policies=(OBSERVING,)))
    assert {each["mode"] for each in observed.status.document()["decisions"]} == {"Observe"}
    assert observed.annotations == {}


def test_annotations_that_are_not_ours_are_never_carried_over() -> None:
    _, after = step(one())
    forged = replace(after.workloads[0], annotations={**after.workloads[0].annotations, "example.com/x": "y"})
    frozen = evaluate(replace(after, workloads=(forged,), series={}), NOW + 60.0).workloads[0]
    assert "example.com/x" not in frozen.annotations


def test_a_paused_workload_stays_exactly_as_it_is() -> None:
    _, after = step(one())
    paused = replace(declares(after, LARGER).workloads[0], paused=True, annotations={"mfu.gpuaas.io/x": "y"})
    plan = evaluate(replace(after, workloads=(paused,), series={}), NOW + 60.0).workloads[0]
    assert (plan.status, plan.annotations) == (paused.status, paused.annotations)
    assert [each.reason for each in plan.events] == ["Paused"]
    assert (plan.lesson, plan.decisions) == (None, ())


Forgets = Callable[[Snapshot], Snapshot]


def repeated(snapshot: Snapshot) -> Snapshot:
    """A round in which it was not its turn, after a restart."""
    waiting = replace(snapshot, before=Handover(), turn=frozenset())
    return written(waiting, evaluate(waiting, NOW + 60.0), turn=None)


def paused(snapshot: Snapshot) -> Snapshot:
    """A round in which it was paused, after a restart."""
    held = replace(snapshot.workloads[0], paused=True)
    still = replace(snapshot, before=Handover(), workloads=(held,))
    after = written(still, evaluate(still, NOW + 60.0))
    return replace(after, workloads=(replace(after.workloads[0], paused=False),))


HISTORY: dict[str, Forgets] = {
    "another round": lambda each: each,
    "a restart": lambda each: replace(each, before=Handover()),
    "a restart, and a round that was not its turn": repeated,
    "a restart while it was paused": paused,
}


@pytest.mark.parametrize("name", HISTORY)
def test_history_outlives(name: str) -> None:
    snapshot = one(0.40)
    for minute in range(6):
        now = NOW + 60.0 * minute
        _, snapshot = step(reads(snapshot, 0.40, now=now), now)
    known = snapshot.workloads[0].status.document()["history"]
    changed = HISTORY[name](declares(snapshot, training(microBatchSize=2)))
    now += 120.0
    rows = evaluate(reads(changed, 0.45, now=now), now).workloads[0].status.document()["history"]
    assert len(rows) == 2
    assert rows[1]["setting"] == known[0]["setting"]
    assert rows[0]["before"] == known[0]["after"]


def test_a_defect_of_ours_keeps_the_numbers_and_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = step(one())

    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a defect")

    both = replace(after, workloads=(*after.workloads, workload("v")))
    with monkeypatch.context() as patch:
        patch.setattr("mfu.engine.judge.assess", fails)
        failed, healthy = evaluate(both, NOW + 60.0).workloads
    assert failed.error == "ZeroDivisionError: a defect"
    assert conditions(failed)["Ready"] == ("False", "InternalError")
    for kept in ("expected", "observed", "decisions", "history"):
        assert failed.status.document()[kept] == before.status.document()[kept]
    assert failed.memory.history == before.memory.history
    assert conditions(healthy)["Accepted"] == ("True", "Accepted")
    assert healthy.error is None


def test_a_status_that_does_not_read_is_written_anew() -> None:
    _, after = step(one())
    said = after.workloads[0].status.document()
    spoiled: dict[str, Any] = {
        **said,
        "conditions": [{"type": "Ready"}, *said["conditions"][:2]],
        "observed": [{**each, "observedAt": "yesterday"} for each in said["observed"]],
        "history": [{"nonsense": 1}],
    }
    view = replace(after.workloads[0], status=Packed(WorkloadStatus, spoiled))
    for before in (Handover(), after.before):
        plan = evaluate(replace(after, workloads=(view,), before=before), NOW + 10.0).workloads[0]
        assert plan.error is None
        assert conditions(plan)["Ready"] == ("True", "Ready")
        assert plan.status.document()["observed"] == said["observed"]


BAD: dict[str, tuple[dict[str, Any], float | None, str]] = {
    "refused": ({**TRAINING, "targetRef": None}, None, "InvalidSpec"),
    "does not fit": (LARGER, None, "OutOfMemory"),
    "the intent is suspect": (TRAINING, 0.2, "MetersDisagree"),
}


def goes(
    snapshot: Snapshot, minute: int, document: dict[str, Any], counted: float | None
) -> tuple[list[str], Snapshot]:
    """Events of that minute, with that declaration and what the counters see of it."""
    now = NOW + 60.0 * minute
    plan, after = step(reads(declares(snapshot, document), counted=counted, now=now), now)
    return [f"{each.type} {each.reason}" for each in plan.events], after


@pytest.mark.parametrize("name", BAD)
def test_an_event_on_a_turn_to_the_bad_alone(name: str) -> None:
    document, counted, reason = BAD[name]
    first, after = goes(one(), 0, document, counted)
    again, after = goes(after, 1, document, counted)
    restarted, after = goes(replace(after, before=Handover()), 2, document, counted)
    mended, after = goes(after, 3, TRAINING, None)
    relapsed, after = goes(after, 4, document, counted)
    assert [first, again, restarted, mended, relapsed] == [[f"Warning {reason}"], [], [], [], [f"Warning {reason}"]]


def test_an_event_is_not_repeated_while_its_status_is_not_written_yet() -> None:
    bad = declares(one(), LARGER)
    first = evaluate(bad, NOW)
    assert first.workloads[0].events
    unwritten = replace(bad, before=first.handover)
    assert evaluate(unwritten, NOW + 1.0).workloads[0].events == ()


def test_lost_telemetry_is_no_event() -> None:
    _, after = step(one())
    assert evaluate(replace(after, series={}), NOW + 60.0).workloads[0].events == ()


def test_transition_and_decision_times_stay_while_answers_do() -> None:
    before, after = step(one())
    later = evaluate(replace(after, series={"team-a/w": series(after.workloads[0], 0.40, now=NOW + 600)}), NOW + 600.0)
    status = later.workloads[0].status.document()
    assert status["observed"] != before.status.document()["observed"]
    assert [each["evaluatedAt"] for each in status["decisions"]] == [
        each["evaluatedAt"] for each in before.status.document()["decisions"]
    ]
    assert {each["lastTransitionTime"] for each in status["conditions"]} == {
        each["lastTransitionTime"] for each in before.status.document()["conditions"]
    }


def test_who_is_not_in_turn_repeats_itself_without_events_and_lessons() -> None:
    first, after = step(one(counted=0.2))
    assert first.events
    waiting = evaluate(replace(after, turn=frozenset()), NOW + 60.0).workloads[0]
    assert (waiting.status, waiting.events, waiting.judged_at) == (first.status, (), NOW)
    taught, after = step(one(view=workload(document=NAMED)))
    assert taught.lesson
    repeated = evaluate(replace(after, turn=frozenset()), NOW + 60.0)
    assert repeated.workloads[0].lesson is None
    assert repeated.corrections == after.corrections


def test_money_needs_a_price() -> None:
    free, _ = step(one())
    priced, _ = step(replace(one(), policies=(POLICY,)))
    assert free.status.document()["summary"]["costPerHour"] == "Unknown"
    assert "cost" not in free.status.document()
    assert priced.status.document()["summary"]["costPerHour"] == "$20.00"
    assert priced.cost_per_hour == 20.0


def test_what_was_learned_moves_no_expectation() -> None:
    learned = PLANNED.corrections
    assert learned != Corrections()
    other = {f"B200/{key}": each for key, each in learned.by_key.items()}
    found = [
        evaluate(replace(one(view=workload(document=NAMED)), corrections=Corrections(each)), NOW).workloads[0].expected
        for each in ({}, other, learned.by_key)
    ]
    assert found[0] == found[1] == found[2]
