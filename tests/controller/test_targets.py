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
from mfu.cluster.projection import pod_view, workload_view
from mfu.cluster.state import ClusterState, Exporter
from mfu.controller import config
from mfu.controller.targets import exporter_targets, progress_endpoints

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


def urls(state: ClusterState, settings: config.Progress | None = None) -> list[str]:
    return [each.url for each in progress_endpoints(state, settings or config.Progress())()]


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


def test_without_declared_progress_nobody_is_asked() -> None:
    state = state_of(PROGRESS, pod("mine"))
    view = workload_view({"metadata": {"namespace": "a", "name": "llama", "uid": "u"}, "spec": SPEC})
    state.workloads.objects[view.key] = view
    assert urls(state) == []


def test_the_operators_own_template_wins() -> None:
    settings = config.Progress(url_template="http://sim/{namespace}/{pod}")
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
    state = ClusterState(cast(KubeClient, None), changed=lambda: None, exporters={"dcgm": "app=dcgm"})
    state.exporters["dcgm"].objects["gpu/x"] = Exporter("n0", "10.0.0.9")
    state.nodes.objects["n1"] = cast(Any, None)
    discovery = config.PodDiscovery()
    found = exporter_targets(state, "dcgm", None, discovery)()
    assert [(each.url, each.node) for each in found] == [("http://10.0.0.9:9400/metrics", "n0")]
    template = exporter_targets(state, "dcgm", "http://{node}:9400/metrics", discovery)()
    assert [(each.url, each.node) for each in template] == [("http://n1:9400/metrics", "n1")]
