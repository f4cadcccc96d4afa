"""What an annotation says is said again when a count, a word or a figure changes, not when a figure trembles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.api.decisions import Decision as Row
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.decide.types import Decision, Outcome
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.say.annotations import restated, sentences
from mfu.engine.snapshot import Snapshot
from mfu.engine.views import WorkloadView
from mfu.sentence import Sentence, Value, sentence
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, series, training, workload


def scaling(share: float = 0.343, tokens: float = 56_300, gpus: int = 8, *, outcome: str = "Keep") -> Sentence:
    mfu, rate = Value(share, f"{share:.1%}"), Value(tokens, f"{tokens:,.0f}")
    return sentence("{}: {} GPUs {} MFU, {} tokens/s", outcome, gpus, mfu, rate)


SAID = scaling()


@pytest.mark.parametrize(
    ("now", "stays"),
    [
        (scaling(), True),
        (scaling(share=0.349), True),
        (scaling(tokens=57_000), True),
        (scaling(share=0.36), False),
        (scaling(tokens=66_300), False),
        (scaling(gpus=9), False),
        (scaling(outcome="Scale"), False),
        (sentence("Keep: 8 GPUs {} MFU", Value(0.343, "34.3%")), False),
    ],
)
def test_figures_may_tremble_and_nothing_else(now: Sentence, stays: bool) -> None:
    assert restated({"a": SAID}, {"a": now}) == {"a": SAID if stays else now}


def test_small_steps_add_up() -> None:
    said: dict[str, str] = {"a": scaling(0.300)}
    for tenths in range(300, 340):
        said = restated(said, {"a": scaling(tenths / 1000)})
    (left,) = said.values()
    assert isinstance(left, Sentence) and left.alike(scaling(0.339), 0.02)
    assert left != scaling(0.300)


def test_what_is_no_longer_said_goes_and_what_is_new_comes() -> None:
    assert restated({"a": "x", "b": "y"}, {"b": "y", "c": "z"}) == {"b": "y", "c": "z"}


def test_while_the_status_waits_with_its_words_only_what_was_read_is_said_anew() -> None:
    said = {"ours": SAID, "read": "Keep: forged"}
    now = {"ours": str(scaling(gpus=9)), "read": "Keep: right", "new": "Admit: fits"}
    assert restated(said, now, waits=True) == {**now, "ours": SAID}


def test_a_row_of_the_status_gets_the_figures_of_the_decision_that_says_the_same() -> None:
    message = sentence("expected {}", Value(0.312, "31.2%"))
    decided = Decision(DecisionType.ADMISSION, Outcome.ADMIT, "Near", message)
    row = Row(type=decided.type, outcome="Admit", mode=DecisionMode.RECOMMEND, reason="Near", message=str(message))
    (with_figures,) = sentences([row], [decided]).values()
    assert isinstance(with_figures, Sentence) and [each.value for each in with_figures.spans] == [0.312]
    (older,) = sentences([row.model_copy(update={"message": "expected 30.0%"})], [decided]).values()
    assert older == "Admit: expected 30.0%" and not isinstance(older, Sentence)
    assert sentences([row.model_copy(update={"mode": DecisionMode.OBSERVE})], [decided]) == {}


def cycle(view: WorkloadView, at: float = NOW, *, before: Plan | None = None, mfu: float = 0.45) -> Plan:
    held = {view.key: series(view, mfu, now=at)}
    snapshot = Snapshot((view,), (pod(),), (node("n0"),), series=held)
    return evaluate(snapshot if before is None else replace(snapshot, before=before.handover), at)


def written(view: WorkloadView, plan: WorkloadPlan) -> WorkloadView:
    """As the cluster shows it once status and annotations were written: plain text."""
    return replace(view, status=plan.status, annotations={name: str(each) for name, each in plan.annotations.items()})


def declared(view: WorkloadView, **block: int) -> WorkloadView:
    changed = workload(document=training(**block))
    return replace(view, spec=changed.spec, generation=view.generation + 1)


def test_a_declaration_under_which_figures_only_tremble_rewrites_no_annotation() -> None:
    view = workload(document=training(globalBatchSize=128))
    first = cycle(view)
    said = first.workloads[0].annotations
    changed = declared(written(view, first.workloads[0]), globalBatchSize=256)
    again = cycle(changed, NOW + 30.0, before=first).workloads[0]
    assert again.status != first.workloads[0].status
    assert again.annotations == said
    fresh = cycle(declared(view, globalBatchSize=256)).workloads[0].annotations
    assert fresh != said, "nothing trembled"
    assert fresh.keys() == said.keys()


def test_a_declaration_that_changes_a_count_or_a_figure_is_said_at_once() -> None:
    view = workload(document=training(globalBatchSize=512))
    first = cycle(view)
    changed = declared(written(view, first.workloads[0]), globalBatchSize=16)
    again = cycle(changed, NOW + 30.0, before=first).workloads[0].annotations
    assert again == cycle(declared(view, globalBatchSize=16)).workloads[0].annotations
    assert again != first.workloads[0].annotations


def test_after_a_restart_nothing_is_unsaid() -> None:
    view = workload(document=training())
    first = cycle(view).workloads[0]
    stands = written(view, first)
    restarted = cycle(stands, NOW + 30.0)
    assert restarted.workloads[0].annotations == first.annotations
    again = cycle(stands, NOW + 60.0, before=restarted).workloads[0]
    assert again.annotations == first.annotations


def test_what_somebody_wrote_over_an_annotation_is_never_kept() -> None:
    view = workload(document=training())
    first = cycle(view)
    said = first.workloads[0].annotations
    assert any("%" in text for text in said.values())
    forged = {name: text.replace("%", ".1%") for name, text in said.items()}
    stands = replace(view, annotations=forged, status=first.workloads[0].status)
    again = cycle(stands, NOW + 1.0, before=first)
    assert again.workloads[0].annotations == said
