"""A suspended Job is told the slice that serves as much for less, and the real scheduler puts its pods onto one."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.stories.resources import fake_node, training_job, training_workload, wait_running
from e2e.stories.stage import Stage
from e2e.testbed.cluster import wait_until
from mfu.api.names import decision_annotation

pytestmark = [pytest.mark.e2e, pytest.mark.owns_control_plane]

SLICE = "nvidia.com/mig-1g.10gb"
SLICED_NODE = "mfu-story-slices"
POLICY = {
    "apiVersion": "mfu.gpuaas.io/v1alpha1",
    "kind": "MFUPolicy",
    "metadata": {"name": "slicing"},
    "spec": {
        "namespaceSelector": {"matchLabels": {"sliced": "yes"}},
        "priority": 100,
        "modes": {"mig": "Enforce"},
        "actions": [{"type": "MIGResource", "minConfidencePercent": 30}],
    },
}


def sliced_node() -> dict[str, Any]:
    """One whose GPU is cut into seven, as the device plugin offers it."""
    made = fake_node(SLICED_NODE, product="NVIDIA-H100-80GB-HBM3")
    made["metadata"]["labels"]["nvidia.com/mig.strategy"] = "mixed"
    for kind in ("allocatable", "capacity"):
        made["status"][kind][SLICE] = "7"
    return made


def serving(name: str) -> dict[str, Any]:
    """A model of 1B with four requests at once: a whole GPU is too much for it."""
    spec = {
        "mode": "Inference",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": "llama-3.2-1b"},
        "accelerators": {"count": 1, "products": ["H100-SXM5"]},
        "inference": {
            "inputTokens": {"mean": 512},
            "outputTokens": {"mean": 128},
            "concurrency": 4,
            "replicas": {"min": 1, "max": 8},
        },
        "tunable": [],
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": name}, "spec": spec}


def suspended(name: str) -> dict[str, Any]:
    container = {"name": "serve", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"suspend": True, "parallelism": 2, "completions": 2, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def test_a_suspended_job_is_told_a_slice_and_its_pods_land_on_it(stage: Stage) -> None:
    plane, fleet = stage.plane, stage.fleet("H100-SXM5=2")
    space = plane.new_namespace("sliced")
    plane.kubectl("label", "namespace", space, "sliced=yes")
    plane.apply(POLICY, sliced_node())
    plane.apply(training_workload("running"), training_job("running"), namespace=space)
    wait_running(plane, "running", space)
    plane.apply(serving("small"), suspended("small"), namespace=space)
    # Nothing of the simulator's answers for the node that it does not know.
    stage.operator(fleet, actions=["MIGResource"], cycle={"warmUpSeconds": 5})

    def asks() -> dict[str, str] | None:
        (container,) = plane.get("job", "small", "-n", space)["spec"]["template"]["spec"]["containers"]
        limits: dict[str, str] = container["resources"]["limits"]
        return limits if "nvidia.com/gpu" not in limits else None

    assert wait_until(asks, what="the slice in its template", within_seconds=240) == {SLICE: "1"}
    job = plane.get("job", "small", "-n", space)
    assert job["spec"]["suspend"], "taking it up is its owner's"
    assert job["metadata"]["annotations"][decision_annotation("Placement")].startswith(f"ask for {SLICE}")

    plane.kubectl("patch", "job", "small", "-n", space, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_running(plane, "small", space)
    pods = plane.get("pods", "-n", space, "-l", "job-name=small")["items"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {SLICED_NODE}
    running = plane.get("job", "running", "-n", space)["spec"]["template"]["spec"]["containers"][0]
    assert running["resources"]["limits"] == {"nvidia.com/gpu": "8"}, "what runs is never written to"
