"""What is restarted or lost under the operator must not show in what it says afterwards."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from e2e.stories.conftest import Stage
from e2e.stories.programs import InstalledOperator
from e2e.stories.resources import (
    changes,
    fleet_report,
    objects,
    status_of,
    summary_says,
    training_job,
    training_workload,
    wait_running,
)
from e2e.testbed.cluster import ControlPlane, wait_until

GPU_NODES = "nvidia.com/gpu.present"
pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]


def test_the_operator_works_on_after_the_api_server_was_restarted(
    stage: Stage,
) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("restart")
    _run_workload(plane, "first", namespace)
    operator = stage.operator(fleet)
    _wait_observed(plane, "first", namespace)
    before = operator.pod.pid

    plane.restart_apiserver(crash=True)

    _run_workload(plane, "second", namespace)
    _wait_observed(plane, "second", namespace)
    assert operator.pod.pid == before
    assert operator.pod.ready
    assert operator.pod.failure is None
    plane.kubectl("delete", "modelworkload,job", "first", "-n", namespace)
    wait_until(
        lambda: fleet_report(plane).get("totals", {}).get("allocatedGPUs") == "8",
        what="fleet report without the deleted Job",
        within_seconds=30,
    )


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


def test_killed_and_restarted_with_inputs_frozen_it_writes_nothing(
    stage: Stage,
) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("frozen")
    _run_workload(plane, "steady", namespace)
    plane.apply(training_workload("waiting"), namespace=namespace)
    operator = stage.operator(fleet)
    _wait_observed(plane, "steady", namespace)
    fleet.break_telemetry("refused")
    wait_until(lambda: not summary_says(plane, "steady", namespace, "observed"), what="unknown MFU", within_seconds=60)
    before = _settled(plane, operator)

    operator.pod.kill()
    _a_new_job_is_scheduled_and_goes(plane, namespace)
    assert not changes(before, _objects(plane))
    operator.pod.start()
    operator.pod.wait_ready(within_seconds=90)
    operator.wait_for_cycles(1)
    time.sleep(60)  # the promise is about a minute of doing nothing

    assert operator.metric("mfu_operator_leader") == 1
    operator.wait_for_cycles(1)
    assert not changes(before, _objects(plane))


def test_killed_and_restarted_it_unsays_nothing(stage: Stage) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("live")
    _run_workload(plane, "steady", namespace)
    operator = stage.operator(fleet)
    _wait_observed(plane, "steady", namespace)

    operator.pod.kill()
    operator.pod.start()
    forgotten, seconds_ready = 0, 0.0
    while seconds_ready < 8:
        assert operator.pod.failure is None
        forgotten += not summary_says(plane, "steady", namespace, "expected", "observed")
        time.sleep(0.5)
        seconds_ready += 0.5 if operator.pod.ready else 0

    assert forgotten == 0


def _run_workload(plane: ControlPlane, name: str, namespace: str) -> None:
    plane.apply(training_workload(name), training_job(name), namespace=namespace)
    wait_running(plane, name, namespace)


def _wait_observed(plane: ControlPlane, name: str, namespace: str) -> None:
    wait_until(
        lambda: summary_says(plane, name, namespace, "expected", "observed"),
        what=f"expected and observed MFU of {name}",
        within_seconds=90,
    )


def _node_decided(plane: ControlPlane, namespace: str) -> str | None:
    """The node that the placement decision of the waiting workload names, if any."""
    decisions = status_of(plane, "waiting", namespace).get("decisions", [])
    text = json.dumps([each for each in decisions if each["type"] == "Placement"])
    nodes = [node["metadata"]["name"] for node in plane.get("nodes", "-l", GPU_NODES)["items"]]
    return next((name for name in nodes if name in text), None)


def _objects(plane: ControlPlane) -> dict[str, Any]:
    """Everything that the operator may write, and what it decides on; the resourceVersion of each is in it."""
    return objects(plane, "modelworkloads", "mfupolicies", "gpunodes", "fleetreports", "nodes", "pods", "jobs")


def _settled(plane: ControlPlane, operator: InstalledOperator) -> dict[str, Any]:
    """All objects once two further cycles have changed none of them."""
    while True:
        seen = _objects(plane)
        operator.wait_for_cycles(2)
        if _objects(plane) == seen:
            return seen


def _a_new_job_is_scheduled_and_goes(plane: ControlPlane, namespace: str) -> None:
    plane.apply(training_job("meanwhile"), namespace=namespace)
    wait_running(plane, "meanwhile", namespace)
    plane.kubectl("delete", "job", "meanwhile", "-n", namespace, "--cascade=foreground", "--timeout=30s")
