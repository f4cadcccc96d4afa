"""A Job behind Kueue's gate through whole cycles: told first, then Kueue may look at it; or at once, as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mfu.act.templates import HeldOwner, HeldTemplate
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.powers import ActionType
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Plan
from mfu.engine.snapshot import Snapshot
from tests.engine.test_kueue_answers import NOW, cluster, policy

TOPOLOGY = ActionType.TOPOLOGY_ANNOTATION
SLICES = {
    "kueue.x-k8s.io/podset-slice-required-topology": "kubernetes.io/hostname",
    "kueue.x-k8s.io/podset-slice-size": "4",
}


def spec() -> WorkloadSpec:
    """A tensor group of eight in pods of two GPUs."""
    document: dict[str, Any] = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "a"},
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": 8, "products": ["H100-SXM5"]},
        "training": {"sequenceLength": 4096, "globalBatchSize": 64, "parallelism": {"tensor": 8}},
        "tunable": [],
    }
    return WorkloadSpec.model_validate(document)


def owner(*, gated: bool = True, told: bool = False) -> HeldOwner:
    template = HeldTemplate(gpus={"nvidia.com/gpu": 2}, annotations=SLICES if told else {})
    return HeldOwner("team", "Job", "a", "job-uid", queued=True, gated=gated, templates=(template,))


def snapshot(held: HeldOwner, mode: str = "Enforce", *actions: str, busy: bool = False) -> Snapshot:
    made = cluster(
        policies=(policy(mode, *(actions or ("TopologyAnnotation",))),),
        queued=(),
        held=(held,),
        switched_on=frozenset({TOPOLOGY}),
    )
    used = {"nvidia.com/gpu": 8} if busy else {}
    nodes = tuple(replace(node, used=used) for node in made.nodes)
    return replace(made, nodes=nodes, workloads=(replace(made.workloads[0], spec=spec()),))


def said(plan: Plan) -> list[str]:
    return [each.words for each in plan.queue_releases]


def test_its_template_is_told_first() -> None:
    first = evaluate(snapshot(owner()), NOW)
    (hint,) = first.hints
    assert (hint.type, hint.change) == (TOPOLOGY, {"annotations": SLICES})
    assert said(first) == []
    after = replace(snapshot(owner(told=True)), before=first.handover)
    second = evaluate(after, NOW + 1.0)
    assert second.hints == ()
    (release,) = second.queue_releases
    assert (release.namespace, release.name, release.uid) == ("team", "a", "job-uid")
    assert release.words == "Kueue may look at it: its template says what was decided"


@pytest.mark.parametrize(
    ("mode", "action", "why"),
    [
        ("Recommend", "TopologyAnnotation", "modes.placement is Recommend, not Enforce"),
        ("Enforce", "KueueCheck", "the policy's actions do not list TopologyAnnotation"),
    ],
)
def test_what_will_never_be_told_is_not_waited_for(mode: str, action: str, why: str) -> None:
    assert said(evaluate(snapshot(owner(), mode, action), NOW)) == [f"Kueue may look at it as it is: {why}"]


def test_without_a_place_it_waits_for_its_deadline() -> None:
    plan = evaluate(snapshot(owner(), busy=True), NOW)
    assert (said(plan), plan.hints) == ([], ())


def test_who_is_not_gated_is_told_all_the_same() -> None:
    plan = evaluate(snapshot(owner(gated=False)), NOW)
    assert len(plan.hints) == 1
    assert said(plan) == []
