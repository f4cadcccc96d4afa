"""A suspended Job is told its product before it starts, and one that runs is never written to."""

from __future__ import annotations

import pytest

from e2e.stories.resources import training_job, training_workload, wait_running
from e2e.stories.stage import Stage
from e2e.testbed.cluster import wait_until
from mfu.api.names import decision_annotation

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]

PRODUCT = "nvidia.com/gpu.product"
POLICY = {
    "apiVersion": "mfu.gpuaas.io/v1alpha1",
    "kind": "MFUPolicy",
    "metadata": {"name": "telling"},
    "spec": {
        "namespaceSelector": {"matchLabels": {"told": "first"}},
        "priority": 100,
        "modes": {"placement": "Enforce"},
        "actions": [{"type": "NodeSelector", "minConfidencePercent": 30}],
    },
}


def test_a_suspended_job_is_told_its_product_and_starts_with_it(stage: Stage) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=4")
    space = plane.new_namespace("held")
    plane.kubectl("label", "namespace", space, "told=first")
    running, held = training_job("running"), training_job("held")
    held["spec"]["suspend"] = True
    plane.apply(POLICY)
    for job in (running, held):
        plane.apply(training_workload(job["metadata"]["name"]), job, namespace=space)
    wait_running(plane, "running", space)
    stage.operator(fleet, actions=["NodeSelector"])

    def selected() -> dict[str, str] | None:
        found: dict[str, str] | None = plane.get("job", "held", "-n", space)["spec"]["template"]["spec"].get(
            "nodeSelector"
        )
        return found

    told = wait_until(selected, what="the product in its template", within_seconds=240)
    assert told is not None
    assert list(told) == [PRODUCT]
    assert "H100" in told[PRODUCT]
    job = plane.get("job", "held", "-n", space)
    assert job["spec"]["suspend"], "taking it up is its owner's"
    assert job["metadata"]["annotations"][decision_annotation("Placement")].startswith(f"select {PRODUCT}=")

    plane.kubectl("patch", "job", "held", "-n", space, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_running(plane, "held", space)
    (pod, *_) = plane.get("pods", "-n", space, "-l", "job-name=held")["items"]
    node = plane.get("node", pod["spec"]["nodeName"])
    assert node["metadata"]["labels"][PRODUCT] == pod["spec"]["nodeSelector"][PRODUCT]
    assert "nodeSelector" not in plane.get("job", "running", "-n", space)["spec"]["template"]["spec"]
