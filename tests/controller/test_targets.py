"""Whom the operator asks: addresses are the cluster's word; a tenant gives a port and a path on own pods."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mfu.api.modelworkload import Progress
from mfu.cluster.client import KubeClient
from mfu.cluster.exporters import Exporter, ExporterPods
from mfu.cluster.projection import pod_view, workload_view
from mfu.cluster.state import ClusterState
from mfu.controller import config
from mfu.controller.build import discovered
from mfu.controller.targets import exporter_targets, progress_endpoints, speakers

SPEC: dict[str, Any] = {
    "mode": "Training",
    "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "llama"},
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 8},
    "training": {"sequenceLength": 4096, "globalBatchSize": 8},
}


def state_of(progress: dict[str, Any], *pods: dict[str, Any]) -> ClusterState:
    state = ClusterState(cast(KubeClient, None), changed=lambda: None)
    metadata = {"namespace": "a", "name": "llama", "uid": "u", "creationTimestamp": "2026-11-22T00:00:00Z"}
    view = workload_view({"metadata": metadata, "spec": {**SPEC, "progress": progress}})
    assert view.spec is not None, view.invalid
    state.workloads.objects[view.key] = view
    for item in pods:
        found = pod_view(item)
        assert found is not None
        state.pods.objects[found.key] = found
    return state


def pod(name: str, *, owner: str = "llama", ip: str | None = "10.1.2.3", phase: str = "Running") -> dict[str, Any]:
    owners = [{"kind": "Job", "name": owner}]
    limits = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}
    return {
        "metadata": {"namespace": "a", "name": name, "uid": name, "ownerReferences": owners},
        "spec": {"nodeName": "n0", "containers": [limits]},
        "status": {"phase": phase, **({"podIP": ip} if ip else {})},
    }


def urls(state: ClusterState, settings: config.ProgressSettings | None = None) -> list[str]:
    return [each.url for each in progress_endpoints(state, settings or config.ProgressSettings())()]


PROGRESS = {"metric": "tokens_total", "port": 9400, "path": "/metrics", "unit": "Tokens", "scope": "Total"}


def test_only_own_running_pods_are_asked() -> None:
    pods = (
        pod("mine"),
        pod("foreign", owner="other"),
        pod("done", phase="Succeeded"),
        pod("without-address", ip=None),
        pod("six", ip="fd00::7"),
    )
    assert urls(state_of(PROGRESS, *pods)) == ["http://10.1.2.3:9400/metrics", "http://[fd00::7]:9400/metrics"]


def test_the_address_of_any_node_is_refused_until_it_is_another_s() -> None:
    """A control-plane node holds no GPU, and its kubelet and API server are nobody's metrics."""
    state = state_of(PROGRESS, pod("mine", ip="192.168.0.9"))

    def node(address: str) -> dict[str, Any]:
        return {"metadata": {"name": "control"}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}

    def refused() -> list[bool]:
        return [each.refused is not None for each in progress_endpoints(state, config.ProgressSettings())()]

    assert refused() == [False]
    assert state._node(node("192.168.0.9")) is None
    assert refused() == [True]
    state._node(node("192.168.0.10"))
    assert refused() == [False]


def test_addresses_of_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfu.cluster.state.MOST_HOSTS", 2)
    state = state_of(PROGRESS)
    for name in ("a", "b", "a", "c"):
        state._node({"metadata": {"name": name}, "status": {"addresses": [{"address": f"10.0.0.{name}"}]}})
    assert state.node_addresses() == {"10.0.0.a", "10.0.0.c"}


def test_without_declared_progress_nobody_is_asked() -> None:
    state = state_of(PROGRESS, pod("mine"))
    view = workload_view({"metadata": {"namespace": "a", "name": "llama", "uid": "u"}, "spec": SPEC})
    state.workloads.objects[view.key] = view
    assert urls(state) == []


def test_the_operators_own_template_wins() -> None:
    settings = config.ProgressSettings(url_template="http://sim/{namespace}/{pod}")
    assert urls(state_of(PROGRESS, pod("mine")), settings) == ["http://sim/a/mine"]


HOSTILE = [
    "@evil.example/metrics",
    "//evil.example/metrics",
    "/metrics@evil.example",
    "/metrics?target=http://evil.example",
    "/../../admin",
    "http://evil.example/",
    "/metrics#@evil.example",
    "\\\\evil.example",
    "/a\r\nHost: evil.example",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_is_refused_or_stays_on_the_pod(path: str) -> None:
    try:
        Progress.model_validate({**PROGRESS, "path": path})
    except ValidationError:
        return
    (url,) = urls(state_of({**PROGRESS, "path": path}, pod("mine")))
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.port, parts.username) == ("http", "10.1.2.3", 9400, None)


@given(st.text(max_size=40))
def test_no_path_ever_leaves_the_pod(path: str) -> None:
    try:
        Progress.model_validate({**PROGRESS, "path": path})
    except ValidationError:
        return
    (url,) = urls(state_of({**PROGRESS, "path": path}, pod("mine")))
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.port, parts.username) == ("http", "10.1.2.3", 9400, None)


def test_exporters_by_template_or_by_pod() -> None:
    state = ClusterState(
        cast(KubeClient, None), changed=lambda: None, exporters={"dcgm": ExporterPods("gpu-operator", "app=dcgm")}
    )
    state.exporters["dcgm"].objects["gpu/x"] = Exporter("x", "n0", "10.0.0.9")
    state.nodes.objects["n1"] = cast(Any, None)
    discovery = config.PodDiscovery()
    found = exporter_targets(state, "dcgm", None, discovery)()
    assert [(each.url, each.node) for each in found] == [("http://10.0.0.9:9400/metrics", "n0")]
    template = exporter_targets(state, "dcgm", "http://{node}:9400/metrics", discovery)()
    assert [(each.url, each.node) for each in template] == [("http://n1:9400/metrics", "n1")]


def exporter(
    name: str, *, kind: str = "DaemonSet", node: str = "n0", phase: str = "Running", **more: Any
) -> dict[str, Any]:
    owners = [{"kind": kind, "name": "nvidia-dcgm-exporter", "controller": True}]
    return {
        "metadata": {"namespace": "gpu-operator", "name": name, "ownerReferences": owners, **more},
        "spec": {"nodeName": node},
        "status": {"phase": phase, "podIP": "10.0.0.9"},
    }


@pytest.mark.parametrize(
    ("item", "believed"),
    [
        (exporter("real"), True),
        (exporter("bare", ownerReferences=[]), False),
        (exporter("tenants", kind="ReplicaSet"), False),
        (exporter("failed", phase="Failed"), False),
        (exporter("starting", phase="Pending"), False),
        (exporter("going", deletionTimestamp="2026-11-22T00:00:00Z"), False),
        (exporter("unbound", node=""), False),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_which_pods_may_speak_for_their_node(item: dict[str, Any], believed: bool) -> None:
    state = ClusterState(cast(KubeClient, None), changed=lambda: None, exporters={"dcgm": ExporterPods("a", "app=x")})
    state.exporters["dcgm"]._take("ADDED", item)
    assert bool(speakers(state, "dcgm").by_node) is believed


def test_two_exporters_of_one_node_silence_it_and_say_so() -> None:
    state = ClusterState(cast(KubeClient, None), changed=lambda: None, exporters={"dcgm": ExporterPods("a", "app=x")})
    for item in (exporter("real"), exporter("forged"), exporter("other", node="n1")):
        state.exporters["dcgm"]._take("ADDED", item)
    found = speakers(state, "dcgm")
    assert list(found.by_node) == ["n1"]
    assert "forged, real" in found.refused["n0"]
    targets = exporter_targets(state, "dcgm", None, config.DCGMSettings().discovery)()
    assert [each.node for each in targets] == ["n1"]


def test_exporters_are_looked_for_in_their_own_namespace_alone() -> None:
    found = discovered(config.OperatorConfig(agent=config.AgentSettings(enabled=True)), "mfu-system")
    assert {name: where.namespace for name, where in found.items()} == {"dcgm": "gpu-operator", "agent": "mfu-system"}


def test_an_answer_that_comes_after_the_address_was_given_to_another_pod_is_not_believed() -> None:
    state = state_of(PROGRESS, pod("mine"))
    (endpoint,) = progress_endpoints(state, config.ProgressSettings())()
    assert (endpoint.uid, endpoint.current()) == ("mine", True)
    for other in (pod("mine", ip="10.1.2.4"), {**pod("mine"), "metadata": {**pod("mine")["metadata"], "uid": "next"}}):
        view = pod_view(other)
        assert view is not None
        state.pods.objects[view.key] = view
        assert not endpoint.current()
    state.pods.objects.clear()
    assert not endpoint.current()


@pytest.mark.parametrize("phase", ["Pending", "Failed", "Succeeded", "Unknown"])
def test_only_running_pods_are_asked_for_progress(phase: str) -> None:
    assert urls(state_of(PROGRESS, pod("mine", phase=phase))) == []
