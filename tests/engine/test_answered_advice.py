"""An owner's answers: kept with what was promised when they came, through restarts and once the advice is followed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from mfu.api.modelworkload import WorkloadSpec
from mfu.api.recommendations import AdviceAnswer
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Handover, Plan
from mfu.engine.snapshot import Snapshot
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, series, training, workload, written

FIRST = training(recompute="Selective")


def judged(snapshot: Snapshot, now: float) -> tuple[Snapshot, Plan]:
    (view,) = snapshot.workloads
    plan = evaluate(replace(snapshot, series={view.key: series(view, 0.35, now=now)}), now)
    return written(snapshot, plan), plan


def answering(snapshot: Snapshot, document: dict[str, Any]) -> Snapshot:
    (view,) = snapshot.workloads
    spec = workload(document=document).spec
    return replace(snapshot, workloads=(replace(view, spec=spec, generation=view.generation + 1),))


def test_an_answer_keeps_what_was_promised() -> None:
    snapshot = Snapshot((workload(document=FIRST),), (pod(),), (node("n0"),))
    snapshot, plan = judged(snapshot, NOW)
    advised = plan.workloads[0].status.document()["recommendations"][0]
    reply = {"field": advised["field"], "verdict": "Declined", "reason": "not before December"}
    snapshot, plan = judged(answering(snapshot, {**FIRST, "answers": [reply]}), NOW + 60)
    (kept,) = plan.workloads[0].status.document()["answers"]
    assert {name: kept[name] for name in reply} == reply
    assert (kept["to"], kept["gain"]) == (advised["to"], advised["gain"])
    snapshot = replace(snapshot, before=Handover())
    snapshot, plan = judged(snapshot, NOW + 3600)
    assert plan.workloads[0].status.document()["answers"] == [kept]


def test_an_answer_to_nothing_promises_nothing_and_one_taken_back_is_gone() -> None:
    reply = {"field": "training.nothing", "verdict": "Done", "reason": "said so"}
    snapshot = Snapshot((workload(document={**FIRST, "answers": [reply]}),), (pod(),), (node("n0"),))
    snapshot, plan = judged(snapshot, NOW)
    (kept,) = plan.workloads[0].status.document()["answers"]
    assert "gain" not in kept
    snapshot, plan = judged(answering(snapshot, FIRST), NOW + 60)
    assert "answers" not in plan.workloads[0].status.document()


@pytest.mark.parametrize("wrong", [{"verdict": "Maybe"}, {"reason": ""}, {"field": ""}])
def test_an_answer_says_which_what_and_why(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AdviceAnswer.model_validate({"field": "training.microBatchSize", "verdict": "Done", "reason": "x", **wrong})


def test_an_answer_is_no_part_of_the_setting() -> None:
    """It changes no advice and starts no new entry of history."""
    plain, answered = workload(document=FIRST).spec, {"field": "training.recompute", "verdict": "Done", "reason": "x"}
    with_answer = WorkloadSpec.model_validate({**plain.to_api(), "answers": [answered]}) if plain else None
    snapshot = Snapshot((workload(document=FIRST),), (pod(),), (node("n0"),))
    snapshot, before = judged(snapshot, NOW)
    changed = replace(snapshot.workloads[0], spec=with_answer, generation=2)
    _, after = judged(replace(snapshot, workloads=(changed,)), NOW + 60)
    mine, theirs = (each.workloads[0].status.document() for each in (before, after))
    assert mine["recommendations"] == theirs["recommendations"]
    assert len(theirs["history"]) == 1
