"""Kueue asks, the cycle answers: by the decision where the policy lets it, and Ready in every other case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mfu.act.checks import CheckQuestion, CheckState, PodSet
from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.powers import ActionType
from mfu.decide.types import NodeView
from mfu.engine import saved
from mfu.engine.evaluate import evaluate
from mfu.engine.snapshot import FleetReadings, PolicyView, Queued, Snapshot, WorkloadView
from mfu.hardware.catalog import load
from mfu.hardware.types import Device
from tests.builders.fleets import H100

NOW = 1_800_000_000.0


def spec(preset: str, gpus: int) -> WorkloadSpec:
    return WorkloadSpec.model_validate(
        {
            "mode": "Training",
            "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "a"},
            "model": {"preset": preset},
            "accelerators": {"count": gpus, "products": ["H100-SXM5"]},
            "training": {
                "sequenceLength": 4096,
                "globalBatchSize": 64,
                "microBatchSize": 1,
                "parallelism": {"data": gpus},
                "sharding": "FSDP",
            },
            "tunable": [],
        }
    )


def policy(mode: str = "Enforce", *actions: str) -> PolicyView:
    listed = [{"type": each, "minConfidencePercent": 1, "maxReadingAgeSeconds": 86_400} for each in actions]
    made = PolicySpec.model_validate(
        {"namespaceSelector": {}, "modes": {"admission": mode, "placement": mode}, "actions": listed}
    )
    return PolicyView("p", "p", 1, made)


def asked(*, since: float = NOW, **fields: Any) -> CheckQuestion:
    made = CheckQuestion("team", "job-a", "u", "7", "mfu", since=since, pod_sets=(PodSet("main", flavors=("h100",)),))
    return replace(made, **fields)


def cluster(preset: str = "llama-3.1-8b", gpus: int = 8, **fields: Any) -> Snapshot:
    device = load().resolve(H100)
    assert isinstance(device, Device)
    nodes = tuple(NodeView(name, H100, device, 8, labels={"kubernetes.io/hostname": name}) for name in ("n0", "n1"))
    made = Snapshot(
        workloads=(WorkloadView("team", "a", "u", 1, NOW, spec(preset, gpus)),),
        nodes=nodes,
        policies=(policy("Enforce", "KueueCheck"),),
        namespaces={"team": {}},
        queued=(Queued("team", ("Job", "a"), 0, asked()),),
        flavors={"h100": {}},
        switched_on=frozenset({ActionType.KUEUE_CHECK}),
        fleet=FleetReadings(observed_at=np.array([NOW])),
    )
    return replace(made, **fields)


def test_what_fits_may_start() -> None:
    (answer,) = evaluate(cluster(), NOW).answers
    assert (answer.state, answer.retry_seconds, answer.selectors) == (CheckState.READY, 0, {})


def test_what_fits_nowhere_is_rejected_with_the_words_of_the_decision() -> None:
    plan = evaluate(cluster("llama-3.1-405b", 8), NOW)
    (answer,) = plan.answers
    assert answer.state in (CheckState.REJECTED, CheckState.RETRY)
    said = next(each for each in plan.workloads[0].status.read().decisions if each.type == "Admission")
    assert answer.message == said.message


@pytest.mark.parametrize("view", [policy("Recommend", "KueueCheck"), policy("Observe", "KueueCheck")])
def test_without_enforce_it_may_start_and_the_dry_run_says_the_same_words(view: PolicyView) -> None:
    (answer,) = evaluate(cluster("llama-3.1-405b", 8, policies=(view,)), NOW).answers
    assert answer.state is CheckState.READY
    assert answer.message.startswith("dry run (modes.admission is")
    assert "to Kueue" in answer.message


def test_a_policy_that_does_not_list_it_holds_nobody_back() -> None:
    snapshot = cluster("llama-3.1-405b", 8, policies=(policy("Enforce", "Suspend"),))
    assert evaluate(snapshot, NOW).answers == ()
    (answer,) = evaluate(snapshot, NOW + 6.0).answers
    assert answer.state is CheckState.READY


def test_what_nobody_declares_waits_a_moment_and_may_start() -> None:
    snapshot = cluster(workloads=())
    assert evaluate(snapshot, NOW).answers == ()
    assert [each.state for each in evaluate(snapshot, NOW + 5.0).answers] == [CheckState.READY]


@pytest.mark.parametrize("change", [{"evicted": True}, {"reserved": False}, {"state": CheckState.READY}])
def test_what_is_not_asked_is_not_answered(change: dict[str, Any]) -> None:
    snapshot = cluster(queued=(Queued("team", ("Job", "a"), 0, asked(**change)),))
    assert evaluate(snapshot, NOW + 100.0).answers == ()


def test_nothing_is_answered_where_it_is_switched_off() -> None:
    assert evaluate(cluster(switched_on=frozenset()), NOW + 100.0).answers == ()


def test_the_same_is_answered_until_it_is_seen_and_again_when_asked_anew() -> None:
    snapshot = cluster("llama-3.1-405b", 8)
    first = evaluate(snapshot, NOW)
    again = evaluate(replace(snapshot, before=first.handover), NOW + 1.0)
    assert [each.entry for each in again.answers] == [each.entry for each in first.answers]
    gone = (Queued("team", ("Job", "a"), 0, asked(evicted=True)),)
    seen = evaluate(replace(snapshot, before=again.handover, queued=gone), NOW + 2.0)
    assert (seen.answers, seen.acts.withdrawals) == ((), ())
    anew = evaluate(replace(snapshot, before=seen.handover), NOW + 3.0)
    assert [each.entry for each in anew.answers] == [each.entry for each in first.answers]


def test_a_place_is_named_where_the_policy_lists_the_node_selector_too() -> None:
    (answer,) = evaluate(cluster(policies=(policy("Enforce", "KueueCheck", "NodeSelector"),)), NOW).answers
    assert set(answer.selectors["main"]) == {"nvidia.com/gpu.product", "kubernetes.io/hostname"}


def test_a_snapshot_keeps_the_question() -> None:
    snapshot = cluster()
    kept, _ = saved.load(saved.dump(snapshot, NOW))
    assert (kept.queued, kept.flavors) == (snapshot.queued, snapshot.flavors)
