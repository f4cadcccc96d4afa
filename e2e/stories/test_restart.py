"""Restarted, the API server or the operator: what is said goes on as before."""

from __future__ import annotations

import time

import pytest

from e2e.stories.resources import fleet_report, run_workload, summary_says, wait_observed
from e2e.stories.stage import Stage
from e2e.testbed.cluster import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane, pytest.mark.prove(times=20)]


def test_the_operator_works_on_after_the_api_server_was_restarted(
    stage: Stage,
) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("restart")
    run_workload(plane, "first", namespace)
    operator = stage.operator(fleet)
    wait_observed(plane, "first", namespace)
    before = operator.pod.pid

    plane.restart_apiserver(crash=True)

    run_workload(plane, "second", namespace)
    wait_observed(plane, "second", namespace)
    assert operator.pod.pid == before
    assert operator.pod.ready
    assert operator.pod.failure is None
    plane.kubectl("delete", "modelworkload,job", "first", "-n", namespace)
    wait_until(
        lambda: fleet_report(plane).get("totals", {}).get("allocatedGPUs") == "8",
        what="fleet report without the deleted Job",
        within_seconds=30,
    )


def test_killed_and_restarted_it_unsays_nothing(stage: Stage) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    namespace = plane.new_namespace("live")
    run_workload(plane, "steady", namespace)
    operator = stage.operator(fleet)
    wait_observed(plane, "steady", namespace)

    operator.pod.kill()
    operator.pod.start()
    forgotten, seconds_ready = 0, 0.0
    while seconds_ready < 8:
        assert operator.pod.failure is None
        forgotten += not summary_says(plane, "steady", namespace, "expected", "observed")
        time.sleep(0.5)
        seconds_ready += 0.5 if operator.pod.ready else 0

    assert forgotten == 0
