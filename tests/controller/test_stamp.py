"""What the stamping webhook answers: a gate beside those that are there, and never a refusal."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from mfu.api.names import GATED_ANNOTATION, PLACEMENT_GATE
from mfu.controller.stamp import stamped

GATE = {"name": PLACEMENT_GATE}
OTHER = {"name": "a.b/c"}


def answer(pod: dict[str, Any] | None) -> list[dict[str, Any]]:
    said = stamped({"request": {"uid": "u", **({} if pod is None else {"object": pod})}})
    assert (said["kind"], said["apiVersion"]) == ("AdmissionReview", "admission.k8s.io/v1")
    response = said["response"]
    assert (response["uid"], response["allowed"]) == ("u", True)
    if "patch" not in response:
        return []
    found: list[dict[str, Any]] = json.loads(base64.b64decode(response["patch"]))
    return found


def test_a_pod_gets_the_gate_and_says_so() -> None:
    assert answer({"metadata": {"generateName": "a-"}, "spec": {"containers": []}}) == [
        {"op": "add", "path": "/metadata/annotations", "value": {GATED_ANNOTATION: "true"}},
        {"op": "add", "path": "/spec/schedulingGates", "value": [GATE]},
    ]


def test_what_it_brings_along_stays() -> None:
    pod = {"metadata": {"annotations": {"own": "kept"}}, "spec": {"containers": [], "schedulingGates": [OTHER]}}
    assert answer(pod) == [
        {"op": "add", "path": "/metadata/annotations/mfu.gpuaas.io~1gated", "value": "true"},
        {"op": "add", "path": "/spec/schedulingGates/-", "value": GATE},
    ]


@pytest.mark.parametrize(
    "pod",
    [
        None,
        {},
        {"metadata": {}, "spec": {"nodeName": "n0", "containers": []}},
        {"metadata": {}, "spec": {"containers": [], "schedulingGates": [OTHER, GATE]}},
    ],
    ids=["no object", "no pod", "it has its node", "it has the gate"],
)
def test_others_are_let_through_as_they_are(pod: dict[str, Any] | None) -> None:
    assert answer(pod) == []


def test_what_is_no_review_is_allowed() -> None:
    assert stamped({})["response"] == {"uid": "", "allowed": True}
