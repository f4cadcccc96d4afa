"""A declaration that changed, judged alone, says what a cycle says; what hangs on others is left to the cycle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.redeclared import rejudged
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.engine.workload import Asked
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, series, training, workload

BEFORE = workload(document=training(microBatchSize=1))
AFTER = replace(BEFORE, spec=workload(document=training(microBatchSize=2)).spec, generation=2)


def moment(view: WorkloadView, *pods: Any) -> Snapshot:
    held = {view.key: series(view, 0.45, now=NOW)} if pods else {}
    return Snapshot((view,), pods, (node("n0"), node("n1")), series=held)


def asked(view: WorkloadView, plan: Plan) -> Asked:
    before = plan.workloads[0]
    assert before.judged is not None
    return Asked(view, before.judged[1], series(BEFORE, 0.45, now=NOW), before.policy, before=before)


def answer(view: WorkloadView, plan: Plan) -> WorkloadPlan | None:
    assert plan.around is not None
    return rejudged(asked(view, plan), plan.around.at(NOW + 1.0))


def test_it_says_what_a_cycle_says() -> None:
    first = evaluate(moment(BEFORE, pod()), NOW)
    said = answer(AFTER, first)
    whole = evaluate(replace(moment(AFTER, pod()), before=first.handover), NOW + 1.0).workloads[0]
    assert said is not None
    assert said.status.document() == whole.status.document()
    assert said.status.answers == 2 != first.workloads[0].status.answers
    assert said.annotations == whole.annotations
    assert (said.events, said.judged_at, said.policy) == (whole.events, NOW + 1.0, whole.policy)


def test_a_cycle_after_it_has_nothing_to_add() -> None:
    first = evaluate(moment(BEFORE, pod()), NOW)
    said = answer(AFTER, first)
    assert said is not None
    merged = first.with_answers({said.uid: said.told})
    written = replace(AFTER, status=said.status, annotations=said.annotations)
    next_one = replace(moment(written, pod()), before=merged.handover, turn=frozenset())
    assert evaluate(next_one, NOW + 2.0).workloads == merged.workloads


@pytest.mark.parametrize(
    ("before", "after", "pods"),
    [
        (BEFORE, AFTER, ()),
        (BEFORE, AFTER, (pod(node=None, phase="Pending"),)),
        (replace(BEFORE, paused=True), AFTER, (pod(),)),
        (BEFORE, replace(AFTER, paused=True), (pod(),)),
        (BEFORE, replace(AFTER, spec=None, invalid="no"), (pod(),)),
        (BEFORE, replace(AFTER, spec=workload("other").spec), (pod(),)),
    ],
    ids=["asks for GPUs", "waits for a node", "was paused", "is paused", "does not read", "claims other pods"],
)
def test_what_hangs_on_others_is_left_to_the_cycle(
    before: WorkloadView, after: WorkloadView, pods: tuple[Any, ...]
) -> None:
    assert answer(after, evaluate(moment(before, *pods), NOW)) is None


def test_what_was_never_judged_is_left_to_the_cycle() -> None:
    plan = evaluate(moment(BEFORE, pod()), NOW)
    assert plan.around is not None
    assert rejudged(replace(asked(AFTER, plan), before=None), plan.around) is None
