"""Nodes that are lost while nobody watches must not show in what the operator decides afterwards."""

from __future__ import annotations

import json

import pytest

from e2e.stories.resources import fleet_report, status_of, training_workload
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ControlPlane, wait_until

GPU_NODES = "nvidia.com/gpu.present"
pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]


def test_nodes_that_vanished_while_the_watch_was_cut_are_gone_from_decisions(
    stage: Stage,
) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("vanish")
    plane.apply(training_workload("waiting"), namespace=namespace)
    operator = stage.operator(fleet)
    chosen = wait_until(lambda: _node_decided(plane, namespace), what="placement on a node")
    assert chosen is not None
    assert fleet_report(plane)["totals"]["gpus"] == "32"

    with plane.second_apiserver() as second:
        plane.stop_apiserver(crash=True)
        others = [node["metadata"]["name"] for node in second.get("nodes", "-l", GPU_NODES)["items"]]
        others.remove(chosen)
        second.kubectl("delete", "node", chosen, others[0])
        plane.start_apiserver()

    wait_until(
        lambda: fleet_report(plane).get("totals", {}).get("gpus") == "16",
        what="fleet report of the two nodes left",
        within_seconds=60,
    )
    wait_until(
        lambda: _node_decided(plane, namespace) in {*others[1:]}, what="placement on a node left", within_seconds=30
    )
    said = json.dumps([plane.get("modelworkload", "waiting", "-n", namespace), fleet_report(plane)])
    assert chosen not in said
    assert others[0] not in said
    assert operator.metric("mfu_operator_objects", kind="nodes") == 2


def _node_decided(plane: ControlPlane, namespace: str) -> str | None:
    """The node that the placement decision of the waiting workload names, if any."""
    decisions = status_of(plane, "waiting", namespace).get("decisions", [])
    text = json.dumps([each for each in decisions if each["type"] == "Placement"])
    nodes = [node["metadata"]["name"] for node in plane.get("nodes", "-l", GPU_NODES)["items"]]
    return next((name for name in nodes if name in text), None)
