"""What idles is given notice, suspended by its own controller, and comes back as it was when it is taken up."""

from __future__ import annotations

import time
from typing import Any

import pytest

from e2e.stories.resources import status_of, training_job, training_workload, wait_running
from e2e.stories.stage import Stage
from e2e.testbed.cluster import ControlPlane, wait_until
from mfu.api.names import decision_annotation

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]

POLICY = {
    "apiVersion": "mfu.gpuaas.io/v1alpha1",
    "kind": "MFUPolicy",
    "metadata": {"name": "giving-back"},
    "spec": {
        "namespaceSelector": {"matchLabels": {"gives": "back"}},
        "priority": 100,
        "modes": {"reclaim": "Enforce"},
        "floors": {"idleMinutes": 1},
        "actions": [{"type": "Suspend"}],
        "reclaim": {
            "windowMinutes": 1,
            "steps": [{"afterIdleMinutes": 1, "action": "Suspend", "graceMinutes": 1}],
        },
    },
}


def test_an_idle_job_is_suspended_and_comes_back_and_a_busy_one_never_is(stage: Stage) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    space = plane.new_namespace("idle")
    plane.kubectl("label", "namespace", space, "gives=back")
    plane.apply(POLICY)
    for name in ("forgotten", "busy"):
        plane.apply(training_workload(name), _job(name, idle=name == "forgotten"), namespace=space)
        wait_running(plane, name, space)
    stage.operator(fleet, actions=["Suspend"])

    notice = wait_until(lambda: _reclaim(plane, "forgotten", space, "Notice"), what="a notice", within_seconds=240)
    assert notice is not None
    words = notice["message"].split(", at ")[0]
    gone = wait_until(lambda: _suspended(plane, "forgotten", space), what="its suspension", within_seconds=240)
    assert gone is not None
    assert gone["metadata"]["annotations"][decision_annotation("Reclaim")].startswith(words)
    wait_until(lambda: not _pods(plane, "forgotten", space), what="its pods gone", within_seconds=60)
    given = wait_until(
        lambda: status_of(plane, "forgotten", space).get("reclaim", {}).get("suspendedAt"),
        what="suspendedAt in its status",
        within_seconds=60,
    )
    assert given
    assert _suspended(plane, "busy", space) is None
    assert _pods(plane, "busy", space)

    plane.kubectl("patch", "job", "forgotten", "-n", space, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_running(plane, "forgotten", space)
    wait_until(
        lambda: "suspendedAt" not in status_of(plane, "forgotten", space).get("reclaim", {"suspendedAt": ""}),
        what="a new beginning",
        within_seconds=60,
    )
    time.sleep(5)
    assert _suspended(plane, "forgotten", space) is None


def _job(name: str, *, idle: bool) -> dict[str, Any]:
    job = training_job(name)
    if idle:
        # The simulator lets a pod without a plan hold its GPUs and do nothing.
        job["spec"]["template"]["metadata"] = {}
    return job


def _reclaim(plane: ControlPlane, name: str, space: str, outcome: str) -> dict[str, Any] | None:
    decisions: list[dict[str, Any]] = status_of(plane, name, space).get("decisions", [])
    return next((each for each in decisions if (each["type"], each["outcome"]) == ("Reclaim", outcome)), None)


def _suspended(plane: ControlPlane, name: str, space: str) -> dict[str, Any] | None:
    job: dict[str, Any] = plane.get("job", name, "-n", space)
    return job if job["spec"].get("suspend") else None


def _pods(plane: ControlPlane, name: str, space: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plane.get("pods", "-n", space, "-l", f"job-name={name}")["items"]
    return found
