"""GPU pods without a declaration: one draft an owner, and the command that adopts it."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.engine.drafts import MOST_DRAFTS, target_of, undeclared
from mfu.engine.views import PodView


def pod(name: str, **more: Any) -> PodView:
    known: dict[str, Any] = {"phase": "Running", "gpus": {"nvidia.com/gpu": 4}, "node": "n0"} | more
    return PodView("team", name, f"uid-{name}", 0.0, **known)


REPLICA: dict[str, Any] = {"labels": {"pod-template-hash": "abc"}, "owners": (("ReplicaSet", "llm-abc"),)}


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({}, "pod/p"),
        (REPLICA, "deployment/llm"),
        ({"owners": (("Job", "train"),)}, "job/train"),
        ({"owners": (("Job", "nightly-29100000"),)}, "cronjob/nightly"),
        (
            {"owners": (("Job", "js-w-0"),), "labels": {"jobset.sigs.k8s.io/jobset-name": "js"}},
            "jobset/js",
        ),
        (
            {"owners": (("Pod", "l"), ("LeaderWorkerSet", "l")), "labels": {"leaderworkerset.sigs.k8s.io/name": "l"}},
            "leaderworkerset/l",
        ),
        ({"labels": {"ray.io/cluster": "c-raycluster-abcde"}}, "raycluster/c-raycluster-abcde"),
        (
            {
                "labels": {
                    "ray.io/cluster": "c-raycluster-abcde",
                    "ray.io/originated-from-crd": "RayJob",
                    "ray.io/originated-from-cr-name": "c",
                }
            },
            "rayjob/c",
        ),
        (
            REPLICA | {"labels": REPLICA["labels"] | {"serving.kserve.io/inferenceservice": "chat"}},
            "inferenceservice/chat",
        ),
        ({"owners": (("SomethingElse", "x"),)}, "pod/p"),
    ],
)
def test_what_to_adopt(more: dict[str, Any], target: str) -> None:
    assert target_of(pod("p", **more)) == target


def test_pods_of_one_owner_are_one_draft() -> None:
    pods = [pod(f"llm-{index}", seems="vLLM serves x", **REPLICA) for index in range(3)]
    (draft,) = undeclared(pods)
    assert (draft.namespace, draft.target, draft.pods, draft.gpus) == ("team", "deployment/llm", 3, 12)
    assert draft.seems == "vLLM serves x"
    assert draft.command == "mfu adopt deployment/llm -n team | kubectl apply -f -"


def test_most_gpus_first_and_no_more_than_that() -> None:
    found = undeclared(pod(f"p{index:02}", gpus={"nvidia.com/gpu": index % 5 + 1}) for index in range(40))
    assert len(found) == MOST_DRAFTS
    assert [each.gpus for each in found] == sorted((each.gpus for each in found), reverse=True)


@pytest.mark.parametrize("more", [{"phase": "Succeeded"}, {"gpus": {}}])
def test_what_holds_nothing_needs_no_declaration(more: dict[str, Any]) -> None:
    assert undeclared([pod("p", **more)]) == ()


def test_claims_hide_how_many() -> None:
    (draft,) = undeclared([pod("p", gpus={}, claims=("gpus",))])
    assert draft.gpus == 0
