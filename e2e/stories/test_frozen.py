"""An operator that is restarted where nothing changed writes nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from e2e.stories.programs import InstalledOperator
from e2e.stories.resources import (
    changes,
    objects,
    run_workload,
    summary_says,
    training_job,
    training_workload,
    wait_observed,
    wait_running,
)
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ControlPlane, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]


def test_killed_and_restarted_with_inputs_frozen_it_writes_nothing(
    stage: Stage,
) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("frozen")
    run_workload(plane, "steady", namespace)
    plane.apply(training_workload("waiting"), namespace=namespace)
    operator = stage.operator(fleet)
    wait_observed(plane, "steady", namespace)
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
