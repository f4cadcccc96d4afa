"""Raw objects → the few fields that are kept: tables of what Kubernetes sends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mfu.api.names import PAUSED_ANNOTATION, RECOMMENDED_REPLICAS_ANNOTATION, WORKLOAD_LABEL
from mfu.cluster.projection import epoch, namespace_labels, node_view, pod_view, policy_view, workload_view
from mfu.engine.holdings.workload import held

SPEC: dict[str, Any] = {
    "mode": "Training",
    "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "llama"},
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 8},
    "training": {"sequenceLength": 4096, "globalBatchSize": 8},
}
META: dict[str, Any] = {"namespace": "a", "name": "w", "uid": "u", "generation": 2, "resourceVersion": "7"}


def pod(*containers: dict[str, Any], init: tuple[dict[str, Any], ...] = (), **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "a", "name": "p", "uid": "u", **metadata},
        "spec": {"nodeName": "n0", "containers": list(containers), "initContainers": list(init)},
        "status": {"phase": "Running", "podIP": "10.0.0.1"},
    }


WHOLE = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
ONE = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
FIVE = {"nvidia.com/gpu": 5}
SLICE = {"resources": {"requests": {"nvidia.com/mig-1g.10gb": "1", "cpu": "2"}}}


@pytest.mark.parametrize(
    ("item", "held"),
    [
        (pod(WHOLE), {"nvidia.com/gpu": 4}),
        (pod(WHOLE, WHOLE), {"nvidia.com/gpu": 8}),
        (pod(WHOLE, init=({"resources": {"limits": {"nvidia.com/gpu": "6"}}},)), {"nvidia.com/gpu": 6}),
        (
            pod(WHOLE, init=({**ONE, "restartPolicy": "Always"}, {"resources": {"limits": {"nvidia.com/gpu": "2"}}})),
            FIVE,
        ),
        (pod(ONE, init=({**ONE, "restartPolicy": "Always"}, WHOLE)), FIVE),
        (pod(SLICE), {"nvidia.com/mig-1g.10gb": 1}),
        (pod({}, labels={WORKLOAD_LABEL: "w"}), {}),
    ],
    ids=[
        "one container",
        "several add up",
        "a larger init container",
        "a sidecar",
        "init beside a sidecar",
        "a slice",
        "only our label",
    ],
)
def test_devices_of_a_pod(item: dict[str, Any], held: dict[str, int]) -> None:
    view = pod_view(item)
    assert view is not None
    assert view.gpus == held
    assert (view.node, view.address) == ("n0", "10.0.0.1")


def test_other_pods_are_left_out() -> None:
    assert pod_view(pod({"resources": {"limits": {"cpu": "1"}}})) is None
    assert pod_view(pod({"resources": {"limits": {"nvidia.com/gpu": "0"}}})) is None


def test_a_pod_that_is_going_holds_nothing_more() -> None:
    view = pod_view(pod(WHOLE, deletionTimestamp="2026-11-22T00:00:00Z"))
    assert view is not None
    assert not view.active


EIGHT: dict[str, Any] = {"nvidia.com/gpu": "8"}


def node(labels: dict[str, str] | None = None, ready: str = "True", **allocatable: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "n0", "labels": labels or {}},
        "spec": {},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": ready}]},
    }


def test_a_gpu_node() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.clique": "c.1", "team": "x"}
    labels["feature.node.kubernetes.io/cpu-cpuid.AVX2"] = "true"
    view = node_view(node(labels, **{"nvidia.com/gpu": "8", "nvidia.com/mig-1g.10gb": "7", "cpu": "64"}))
    assert view is not None
    assert view.device is not None
    assert (view.device.gpu.api_name, view.gpus, view.mig, view.domain) == ("H100-SXM5", 8, {"1g.10gb": 7}, "c.1")
    assert view.ready
    assert view.labels["team"] == "x"
    assert not [name for name in view.labels if name.startswith("feature.")]


@pytest.mark.parametrize(
    ("labels", "allocatable", "gpus", "replicas"),
    [
        (
            {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED"},
            {"nvidia.com/gpu": "80"},
            8,
            {"nvidia.com/gpu": 10},
        ),
        ({}, {"nvidia.com/gpu.shared": "80"}, 8, {"nvidia.com/gpu.shared": 10}),
        ({}, {"nvidia.com/gpu": "4", "nvidia.com/gpu.shared": "40"}, 8, {"nvidia.com/gpu.shared": 10}),
    ],
    ids=["sliced", "sliced and renamed", "half of them sliced"],
)
def test_slices_of_a_node_are_no_gpus(
    labels: dict[str, str], allocatable: dict[str, str], gpus: int, replicas: dict[str, int]
) -> None:
    told = {
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.replicas": "10",
    }
    view = node_view(node({**told, **labels}, **allocatable))
    assert view is not None
    assert (view.gpus, view.replicas) == (gpus, replicas)
    assert view.sliced("nvidia.com/gpu")
    assert view.free("nvidia.com/gpu", view.gpus) == 0
    assert all(view.share(name) == pytest.approx(0.1) for name in replicas)


def test_absurd_numbers_of_gpus_are_read_as_quantities_and_bounded() -> None:
    view = pod_view(pod({"resources": {"limits": {"nvidia.com/gpu": "1k"}}}))
    assert view is not None
    assert view.gpus == {"nvidia.com/gpu": 1000}
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.count": "8"}
    host = node_view(node(labels, **{"nvidia.com/gpu": "9007199254740993"}))
    assert host is not None
    assert host.gpus == 8
    held_there = held([replace(view, phase="Running"), replace(view, name="other", phase="Running")], {"n0": host})
    assert held_there.gpus <= host.units("nvidia.com/gpu")


def test_nodes_without_gpus_are_left_out_and_unknown_products_stay_unknown() -> None:
    assert node_view(node(cpu="64")) is None
    odd = node_view(node({"nvidia.com/gpu.product": "NVIDIA-X900-Prototype"}, **EIGHT))
    assert odd is not None
    assert (odd.device, odd.gpus) == (None, 8)
    sick = node_view(node(ready="Unknown", **EIGHT))
    assert sick is not None
    assert not sick.ready


def test_a_workload_and_what_is_ours_of_its_annotations() -> None:
    annotations = {PAUSED_ANNOTATION: "true", RECOMMENDED_REPLICAS_ANNOTATION: "3", "mfu.gpuaas.io/forged": "x"}
    item = {"metadata": {**META, "annotations": annotations}, "spec": SPEC, "status": {"observedGeneration": 2}}
    view = workload_view(item)
    assert view.spec is not None
    assert view.paused
    assert view.annotations == {RECOMMENDED_REPLICAS_ANNOTATION: "3"}
    assert view.status.document() == {"observedGeneration": 2}
    assert view.resource_version == "7"


def test_a_spec_that_can_not_be_read_is_answered_by_field() -> None:
    view = workload_view({"metadata": META, "spec": {**SPEC, "mode": "Juggling"}})
    assert view.spec is None
    assert view.invalid is not None
    assert "spec.mode" in view.invalid
    policy = policy_view({"metadata": {**META, "name": "p"}, "spec": {"priority": "high"}})
    assert policy.spec is None
    assert "spec.priority" in (policy.invalid or "")


def test_a_spec_is_read_once_a_generation() -> None:
    item = {"metadata": META, "spec": SPEC}
    first = workload_view(item)
    assert workload_view({**item, "status": {"observedGeneration": 2}}, first).spec is first.spec
    changed = {"metadata": {**META, "generation": 3}, "spec": {**SPEC, "accelerators": {"count": 16}}}
    assert workload_view(changed, first).spec != first.spec
    recreated = {"metadata": {**META, "uid": "other"}, "spec": SPEC}
    assert workload_view(recreated, first).spec is not first.spec


def test_small_ones() -> None:
    assert epoch("1970-01-01T00:01:00Z") == 60.0
    assert epoch(None) == 0.0
    assert namespace_labels({"metadata": {"name": "a"}}) == {}


def test_a_pod_with_resource_claims_is_seen() -> None:
    item = {
        "metadata": {"namespace": "team", "name": "p", "uid": "u"},
        "spec": {
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
            "containers": [{"name": "c", "resources": {"claims": [{"name": "gpu"}]}}],
        },
    }
    view = pod_view(item)
    assert view is not None
    assert (view.gpus, view.claims) == ({}, ("gpu",))


@pytest.mark.parametrize(
    ("generation", "owners", "declared_at"),
    [
        (1, None, 1_700_000_000.0),
        (2, None, None),
        (2, [("f:metadata", 60)], None),
        (2, [("f:spec", 60), ("f:metadata", 90)], 1_700_000_060.0),
        (1, [("f:spec", 0), ("f:spec", 30), ("f:status", 90)], 1_700_000_030.0),
    ],
)
def test_since_when_a_declaration_is_as_it_was_written(
    generation: int, owners: list[tuple[str, int]] | None, declared_at: float | None
) -> None:
    """By the server's record of who owns its fields; annotations and status of ours are no declaration."""

    def stamp(seconds: int) -> str:
        return datetime.fromtimestamp(1_700_000_000 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    metadata = {"namespace": "a", "name": "w", "uid": "u", "generation": generation, "creationTimestamp": stamp(0)}
    fields = [{"manager": name, "time": stamp(at), "fieldsV1": {name: {}}} for name, at in owners or ()]
    view = workload_view({"metadata": {**metadata, **({"managedFields": fields} if owners else {})}, "spec": {}})
    assert view.declared_at == declared_at


def test_a_node_without_feature_discovery_is_read_by_its_clouds_labels() -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}
    view = node_view({"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": "8"}}})
    assert view is not None
    assert view.device is not None
    assert (view.device.label, view.gpus, view.product_label) == ("H100-SXM5", 8, "nvidia-h100-80gb")


def test_feature_discovery_goes_before_the_clouds_labels() -> None:
    labels = {"cloud.google.com/gke-accelerator": "nvidia-l4", "nvidia.com/gpu.product": "Tesla-T4"}
    view = node_view({"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": "1"}}})
    assert view is not None
    assert view.device is not None
    assert view.device.label == "T4"


def test_partitions_of_an_amd_gpu_are_no_gpus() -> None:
    """CPX shows eight devices of one MI300X (AMD's k8s-device-plugin, node labeller)."""
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/compute-memory-partition": "cpx_nps4"}
    view = node_view({"metadata": {"name": "n", "labels": labels}, "status": {"allocatable": {"amd.com/gpu": "64"}}})
    assert view is not None
    assert (view.gpus, view.device) == (8, None)


def test_what_thousands_of_objects_repeat_is_kept_once() -> None:
    told = json.dumps(pod(WHOLE))
    one, other = (pod_view(json.loads(told)) for _ in range(2))
    assert one is not None and other is not None and one is not other
    for name in ("namespace", "name", "node", "phase", "gpus"):
        assert getattr(one, name) is getattr(other, name)


def test_which_fields_were_given_is_recorded_once_for_declarations_that_give_the_same() -> None:
    first, second = (workload_view({"metadata": {**META, "name": name}, "spec": SPEC}) for name in ("v", "w"))
    assert first.spec is not None and second.spec is not None and first.spec is not second.spec
    assert first.spec.training is not None and second.spec.training is not None
    for one, other in ((first.spec, second.spec), (first.spec.training, second.spec.training)):
        assert one.__pydantic_fields_set__ is other.__pydantic_fields_set__
    assert first.spec.training.model_fields_set == {"sequence_length", "global_batch_size"}
    bare = first.spec.model_copy(update={"tunable": ()})
    assert "tunable" in bare.model_fields_set and "tunable" not in second.spec.model_fields_set
