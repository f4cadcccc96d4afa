"""What an annotation says is said again when a count, a word or a figure changes, not when a figure trembles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.engine.evaluate import evaluate
from mfu.engine.say.annotations import restated
from mfu.engine.snapshot import Snapshot
from tests.builders.cases import node
from tests.builders.scenes import NOW, pod, series, training, workload

SAID = "Keep: 8 GPUs 34.3% MFU, 56,300 tokens/s"


@pytest.mark.parametrize(
    ("now", "stays"),
    [
        (SAID, True),
        ("Keep: 8 GPUs 34.9% MFU, 56,300 tokens/s", True),
        ("Keep: 8 GPUs 34.3% MFU, 57,000 tokens/s", True),
        ("Keep: 8 GPUs 36.0% MFU, 56,300 tokens/s", False),
        ("Keep: 8 GPUs 34.3% MFU, 66,300 tokens/s", False),
        ("Keep: 9 GPUs 34.3% MFU, 56,300 tokens/s", False),
        ("Scale: 8 GPUs 34.3% MFU, 56,300 tokens/s", False),
        ("Keep: 8 GPUs 34.3% MFU", False),
    ],
)
def test_figures_may_tremble_and_nothing_else(now: str, stays: bool) -> None:
    assert restated({"a": SAID}, {"a": now}) == {"a": SAID if stays else now}


def test_small_steps_add_up() -> None:
    said = {"a": "reaches 30.0%"}
    for tenths in range(300, 340):
        said = restated(said, {"a": f"reaches {tenths / 10:.1f}%"})
    assert abs(float(said["a"][8:12]) - 33.9) <= 0.02 * 33.9


def test_what_is_no_longer_said_goes_and_what_is_new_comes() -> None:
    assert restated({"a": "x", "b": "y"}, {"b": "y", "c": "z"}) == {"b": "y", "c": "z"}


def test_what_somebody_wrote_over_an_annotation_is_never_kept() -> None:
    view = workload(document=training())
    held = {view.key: series(view, 0.45, now=NOW)}
    snapshot = Snapshot((view,), (pod(),), (node("n0"),), series=held)
    first = evaluate(snapshot, NOW)
    said = first.workloads[0].annotations
    assert any("%" in text for text in said.values())
    forged = {name: text.replace("%", ".1%") for name, text in said.items()}
    stands = replace(view, annotations=forged, status=first.workloads[0].status)
    again = evaluate(replace(snapshot, workloads=(stands,), before=first.handover), NOW + 1.0)
    assert again.workloads[0].annotations == said
