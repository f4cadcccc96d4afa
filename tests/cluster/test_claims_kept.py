"""Whose pod is whose is worked out anew where a claim changes, and not where anything else of a declaration does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from mfu.cluster.client import KubeClient
from mfu.cluster.state import ClusterState
from tests.builders.cases import TRAINING
from tests.builders.scenes import pod, workload


def state_of(document: dict[str, Any]) -> ClusterState:
    state = ClusterState(cast(KubeClient, None), changed=lambda: None)
    put(state, document)
    held = pod()
    state.pods.objects[held.key] = held
    return state


def put(state: ClusterState, document: dict[str, Any]) -> None:
    view = workload(document=document)
    state.workloads.objects[view.key] = replace(view, uid="the-same")
    state.workloads.version += 1


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"tunable": ["MicroBatch"]}, True),
        ({"targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "another"}}, False),
        ({"podSelector": {"matchLabels": {"app": "x"}}}, False),
    ],
)
def test_claims_are_kept_while_nobody_claims_anything_else(change: dict[str, Any], kept: bool) -> None:
    state = state_of(TRAINING)
    before = state.claims()
    put(state, {**TRAINING, **change})
    assert (state.claims() is before) == kept
    again = state.claims()
    put(state, {**TRAINING, **change, "objective": "Cost"})
    assert state.claims() is again
