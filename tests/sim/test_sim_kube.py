"""Pod objects become simulated pods; what is no GPU pod is none."""

import logging
from typing import cast

import pytest

from mfu.cluster.client import KubeClient
from mfu.sim.faults import degraded
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.kube import PodFollower, owner_name, sim_pod, with_distance
from mfu.sim.progress import text
from mfu.sim.truth import IDLE, Fault, InvalidPlan, Truth

PREFIX = "sim.mfu.gpuaas.io/"


def pod(name="t-0", *, gpus=8, annotations=None, phase="Running", node="h100-sxm5-00", **metadata):
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {}
    return {
        "metadata": {
            "namespace": "a",
            "name": name,
            "creationTimestamp": "2026-11-22T06:00:00Z",
            "annotations": annotations or {},
            **metadata,
        },
        "spec": {"nodeName": node, "containers": [{"name": "side"}, {"name": "main", "resources": resources}]},
        "status": {"phase": phase},
    }


def owned_by(kind, name, **labels):
    return {"ownerReferences": [{"kind": kind, "name": name, "controller": True}], "labels": labels}


def test_a_bound_gpu_pod_is_simulated_as_annotated() -> None:
    found = sim_pod(pod(annotations={PREFIX + "mfu": "0.14", PREFIX + "fault": "slow-link"}), {})

    assert found is not None
    assert found.truth == Truth(0.14, Fault.SLOW_LINK)
    assert (found.count, found.container, found.node, found.started) == (8, "main", "h100-sxm5-00", 1795327200.0)


def test_an_unannotated_pod_is_idle_or_as_planned() -> None:
    planned = Truth(0.3)

    idle, owned = sim_pod(pod(), {}), sim_pod(pod(**owned_by("Job", "t")), {"a/t": planned})
    assert idle is not None and idle.truth is IDLE
    assert owned is not None and owned.truth is planned


@pytest.mark.parametrize("other", [pod(gpus=0), pod(phase="Succeeded"), pod(phase="Failed")])
def test_pods_that_hold_no_gpu_are_none(other) -> None:
    assert sim_pod(other, {}) is None


def test_owners_are_jobs_and_deployments() -> None:
    assert owner_name({"name": "p"}) == "p"
    assert owner_name({"name": "p", **owned_by("Job", "train")}) == "train"
    assert owner_name({"name": "p", **owned_by("ReplicaSet", "web-7c9d", **{"pod-template-hash": "7c9d"})}) == "web"


def test_bad_annotations_are_refused() -> None:
    with pytest.raises(InvalidPlan):
        sim_pod(pod(annotations={PREFIX + "mfu": "lots"}), {})


def follower():
    fleet = SimFleet(parse_nodes("H100-SXM5=1"), (), 0)
    return fleet, PodFollower(cast(KubeClient, None), fleet, clock=lambda: 1795327300.0)


def seen(watcher, *pods):
    found = (watcher._project(each) for each in pods)
    watcher.informer.objects = {each.key: each for each in found if each is not None}
    watcher._reconcile()


def test_the_fleet_follows_the_pods() -> None:
    fleet, watcher = follower()
    seen(watcher, pod("t-0", gpus=4), pod("t-1", gpus=4), pod("u", node="real-node"))
    assert set(fleet.pods) == {"a/t-0", "a/t-1"}
    seen(watcher, pod("t-1", gpus=4), pod("t-2", gpus=2))

    assert set(fleet.pods) == {"a/t-1", "a/t-2"}
    assert [slot.index for slot in fleet.held_by("a/t-1")] == [4, 5, 6, 7]


def test_a_changed_annotation_changes_the_truth() -> None:
    fleet, watcher = follower()
    seen(watcher, pod())
    seen(watcher, pod(annotations={PREFIX + "mfu": "0.4"}))

    assert fleet.pods["a/t-0"].truth.mfu == 0.4


def test_a_changed_truth_keeps_devices_and_counters() -> None:
    planted = {PREFIX + "mfu": "0.4", PREFIX + "model": "llama-3.1-8b"}
    fleet, watcher = follower()
    seen(watcher, pod("t-0", gpus=4, annotations=planted), pod("t-1", gpus=4))
    before, held = text(fleet, "a/t-0", 1795327300.0), fleet.held_by("a/t-0")
    seen(watcher, pod("t-0", gpus=4, annotations=planted | {PREFIX + "mfu": "0.2"}), pod("t-1", gpus=4))

    assert fleet.held_by("a/t-0") == held
    assert text(fleet, "a/t-0", 1795327300.0) == before


def test_the_command_lines_faults_are_switched_on() -> None:
    fleet = SimFleet(parse_nodes("H100-SXM5=1"), (), 0)
    watcher = PodFollower(cast(KubeClient, None), fleet, adjust=lambda pod: degraded(pod.truth, Fault.SLOW_LINK))
    seen(watcher, pod(annotations={PREFIX + "mfu": "0.4"}))

    assert fleet.pods["a/t-0"].truth.fault is Fault.SLOW_LINK


def test_a_pod_that_cannot_be_simulated_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    _, watcher = follower()
    with caplog.at_level(logging.WARNING):
        seen(watcher, pod(gpus=9))
        seen(watcher, pod(gpus=9))

    assert len(caplog.records) == 1


def test_a_pod_with_nonsense_annotations_is_idle_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    fleet, watcher = follower()
    with caplog.at_level(logging.WARNING):
        seen(watcher, pod(annotations={PREFIX + "mfu": "lots"}))

    assert fleet.pods["a/t-0"].truth is IDLE
    assert "mfu" in caplog.text


def test_pods_of_a_workload_on_several_nodes_run_as_planted_for_that() -> None:
    planted = {PREFIX + "mfu": "0.4", PREFIX + "scattered-mfu": "0.16"}

    def placed(*nodes: str) -> list[Truth]:
        made = [
            sim_pod(pod(f"t-{index}", annotations=planted, node=node, **owned_by("Job", "t")), {})
            for index, node in enumerate(nodes)
        ]
        found = with_distance({each.key: each for each in made if each is not None})
        return [each.truth for each in found.values()]

    assert placed("n0", "n0") == [Truth(0.4, scattered_mfu=0.16)] * 2
    assert placed("n0", "n1") == [Truth(0.16, Fault.SLOW_LINK)] * 2
    with pytest.raises(InvalidPlan, match="scattered-mfu"):
        sim_pod(pod(annotations={**planted, PREFIX + "scattered-mfu": "16"}), {})
